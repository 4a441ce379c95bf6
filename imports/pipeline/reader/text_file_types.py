"""Text files that are no tables: each has a code, so that the user hears what the file is.

A rule looks at the first lines only, and is strict: a table that merely resembles something else
must be read. A file with a line that names two or more fields of the importer is always a table.
"""

import re
from collections.abc import Callable, Sequence

from headers import MAX_HEADER_SEARCH_ROWS, FieldHeaders, named_fields

MAX_LINES = 40  # From the beginning; more tell nothing new.
MIN_ALIKE_LINES = 3  # So many lines in a row must look like lines of a log.
DELIMITERS = ",;\t|"

CONTACTS = re.compile(r"begin\s*:\s*vcard\s*$", re.IGNORECASE)
CALENDAR = re.compile(r"begin\s*:\s*vcalendar\s*$", re.IGNORECASE)
# Header fields of RFC 5322 and MIME with a value, as they begin a message.
MAIL_HEADER = re.compile(
    r"(?:from|to|cc|subject|date|received|return-path|message-id|mime-version|reply-to|sender|"
    r"delivered-to|content-type|content-transfer-encoding|content-location|x-[\w-]+)\s*:\s*\S",
    re.IGNORECASE,
)
ANY_MAIL_HEADER = re.compile(r"[A-Za-z][\w-]*:|\s+\S")  # Or the continuation of one.
MAILBOX = re.compile(r"From \S+@\S+ .*\d{4}\s*$")
WEB_ARCHIVE = re.compile(r"content-type\s*:\s*multipart/related", re.IGNORECASE)
MIME = re.compile(r"mime-version\s*:", re.IGNORECASE)
SQL_COMMENT = re.compile(r"\s*(?:--|/\*|#|\*/|\*)|\s*$")
SQL = re.compile(
    r"\s*(?:create\s+(?:table|database|schema|sequence|extension|index|type)\b"
    r"|insert\s+(?:ignore\s+)?into\b|drop\s+table\b|pragma\s+\w+|begin(?:\s+transaction)?\s*;"
    r"|copy\s+\S+\s*\(.*\)\s+from\s+stdin|set\s+(?:names\s+['\w]+\s*;|\w+\s*=|@)|use\s+`?\w+`?\s*;"
    r"|select\s+pg_catalog\.|lock\s+tables\b|start\s+transaction\s*;|alter\s+table\b)",
    re.IGNORECASE,
)
XML = re.compile(r"<\?xml\b|<[A-Za-z_][\w.-]*(?::[\w.-]+)?(?:\s+[\w:.-]+\s*=\s*[\"'][^>]*)?/?>")
YAML_BEGINS = re.compile(r"---\s*(?:#.*)?$|%YAML\b")
YAML_LINE = re.compile(r"\s*(?:-\s+)?[\w-]+:(?:\s+[^,;|\t]*)?$|\s*-\s+[^,;|\t]*$|\s*#|\s*$")
YAML_ITEM = re.compile(r"-\s+[\w-]+:(?:\s|$)")
YAML_NEXT = re.compile(r"\s+[\w-]+:(?:\s|$)")
LOGS = (
    re.compile(r"\S+ \S+ \S+ \[\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2}"),  # Web servers.
    re.compile(r"(?:<\d{1,3}>)?[A-Z][a-z]{2}\s+\d{1,2} \d{2}:\d{2}:\d{2} \S+ \S+"),  # syslog
    re.compile(
        r"\[?\d{4}[-/]\d{2}[-/]\d{2}[T ]\d{2}:\d{2}:\d{2}\S*?\]?\s+(?:\S+\s+)?"
        r"[\[(<]?(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)\b"
    ),
    re.compile(
        r"[\[(<]?(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)[\])>:]*\s+"
        r"\[?\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}"
    ),
)


def find_other_kind(text: str, fields: FieldHeaders) -> str | None:
    """The code of what this beginning of a file is, if it is no table; None if it may be one."""
    lines = [line for line in text.splitlines()[: 5 * MAX_LINES] if line.strip()][:MAX_LINES]
    for code, matches in RULES.items():
        if matches(lines):
            return None if _names_fields(lines, fields) else code
    return None


def _names_fields(lines: Sequence[str], fields: FieldHeaders) -> bool:
    return any(
        named_fields(line.split(delimiter), fields)[0] > 1
        for line in lines[:MAX_HEADER_SEARCH_ROWS]
        for delimiter in DELIMITERS
    )


def _begins(pattern: re.Pattern[str]) -> Callable[[Sequence[str]], bool]:
    return lambda lines: bool(lines) and pattern.match(lines[0]) is not None


def _is_mail(lines: Sequence[str]) -> bool:
    """Two header fields at least, and nothing but header fields from the first line to them."""
    if lines and MAILBOX.match(lines[0]):
        return True
    known = 0
    for line in lines:
        if not ANY_MAIL_HEADER.match(line):
            break
        known += MAIL_HEADER.match(line) is not None
        if known > 1:
            return True
    return False


def _is_web_archive(lines: Sequence[str]) -> bool:
    head = lines[:20]
    return any(map(MIME.match, head)) and any(map(WEB_ARCHIVE.match, head))


def _is_sql(lines: Sequence[str]) -> bool:
    statement = next((line for line in lines if not SQL_COMMENT.match(line)), "")
    return SQL.match(statement) is not None


def _is_yaml(lines: Sequence[str]) -> bool:
    body = [line for line in lines if not YAML_BEGINS.match(line)]
    if len(lines) < MIN_ALIKE_LINES or len(body) < 2 or not all(map(YAML_LINE.match, body)):
        return False
    is_list = YAML_ITEM.match(body[0]) and YAML_NEXT.match(body[1])
    return YAML_BEGINS.match(lines[0]) is not None or bool(is_list)


def _is_log(lines: Sequence[str]) -> bool:
    head = lines[:MIN_ALIKE_LINES]
    return len(head) == MIN_ALIKE_LINES and any(all(map(log.match, head)) for log in LOGS)


RULES: dict[str, Callable[[Sequence[str]], bool]] = {
    "vcard_file": _begins(CONTACTS),
    "calendar_file": _begins(CALENDAR),
    "web_archive": _is_web_archive,
    "email_file": _is_mail,
    "sql_file": _is_sql,
    "xml_file": _begins(XML),
    "yaml_file": _is_yaml,
    "log_file": _is_log,
}
