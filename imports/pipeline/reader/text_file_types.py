"""Text files that are not tables. Each type has a code, so that the user learns what the file is.

The rules look at the first lines only. They are strict, because a table that only resembles another
type must be read. A file with a line that names two or more fields of the importer is a table.
"""

import re
from collections.abc import Callable, Sequence

from headers import MAX_HEADER_SEARCH_ROWS, FieldHeaders, match_fields
from options import COMMON_DELIMITERS

MAX_SAMPLE_LINES = 40
# A log or a YAML file has at least so many lines.
MIN_SIMILAR_LINES = 3

VCARD_START = re.compile(r"begin\s*:\s*vcard\s*$", re.IGNORECASE)
CALENDAR_START = re.compile(r"begin\s*:\s*vcalendar\s*$", re.IGNORECASE)
# Header fields at the start of a message.
# Source: RFC 5322, 3.6; RFC 2045, 3.
MAIL_HEADER = re.compile(
    r"(?:from|to|cc|subject|date|received|return-path|message-id|mime-version|reply-to|sender|"
    r"delivered-to|content-type|content-transfer-encoding|content-location|x-[\w-]+)\s*:\s*\S",
    re.IGNORECASE,
)
ANY_MAIL_HEADER = re.compile(r"[A-Za-z][\w-]*:|\s+\S")  # A header field or its continuation.
MBOX_START = re.compile(r"From \S+@\S+ .*\d{4}\s*$")
MULTIPART_RELATED = re.compile(r"content-type\s*:\s*multipart/related", re.IGNORECASE)
MIME_VERSION = re.compile(r"mime-version\s*:", re.IGNORECASE)
SQL_COMMENT = re.compile(r"\s*(?:--|/\*|#|\*/|\*)|\s*$")
SQL_STATEMENT = re.compile(
    r"\s*(?:create\s+(?:table|database|schema|sequence|extension|index|type)\b"
    r"|insert\s+(?:ignore\s+)?into\b|drop\s+table\b|pragma\s+\w+|begin(?:\s+transaction)?\s*;"
    r"|copy\s+\S+\s*\(.*\)\s+from\s+stdin|set\s+(?:names\s+['\w]+\s*;|\w+\s*=|@)|use\s+`?\w+`?\s*;"
    r"|select\s+pg_catalog\.|lock\s+tables\b|start\s+transaction\s*;|alter\s+table\b)",
    re.IGNORECASE,
)
XML_START = re.compile(
    r"<\?xml\b|<[A-Za-z_][\w.-]*(?::[\w.-]+)?(?:\s+[\w:.-]+\s*=\s*[\"'][^>]*)?/?>"
)
YAML_START = re.compile(r"---\s*(?:#.*)?$|%YAML\b")
YAML_LINE = re.compile(r"\s*(?:-\s+)?[\w-]+:(?:\s+[^,;|\t]*)?$|\s*-\s+[^,;|\t]*$|\s*#|\s*$")
YAML_ITEM = re.compile(r"-\s+[\w-]+:(?:\s|$)")
YAML_ITEM_REST = re.compile(r"\s+[\w-]+:(?:\s|$)")
LOG_LINES = (
    re.compile(r"\S+ \S+ \S+ \[\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2}"),  # Web server
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


def detect_non_table(text: str, fields: FieldHeaders) -> str | None:
    """Return the error code for the type of the file, or None if the file may be a table.

    text: the beginning of the file.
    """
    lines = [line for line in text.splitlines()[: 5 * MAX_SAMPLE_LINES] if line.strip()][
        :MAX_SAMPLE_LINES
    ]
    for code, matches in DETECTION_RULES.items():
        if matches(lines):
            return None if _has_header(lines, fields) else code
    return None


def _has_header(lines: Sequence[str], fields: FieldHeaders) -> bool:
    return any(
        match_fields(line.split(delimiter), fields)[0] > 1
        for line in lines[:MAX_HEADER_SEARCH_ROWS]
        for delimiter in COMMON_DELIMITERS
    )


def _starts_with(pattern: re.Pattern[str]) -> Callable[[Sequence[str]], bool]:
    return lambda lines: bool(lines) and pattern.match(lines[0]) is not None


def _is_mail(lines: Sequence[str]) -> bool:
    """Return whether the text starts with two known header fields.

    Only other header fields may come before the second one.
    """
    if lines and MBOX_START.match(lines[0]):
        return True
    known_count = 0
    for line in lines:
        if not ANY_MAIL_HEADER.match(line):
            break
        known_count += MAIL_HEADER.match(line) is not None
        if known_count > 1:
            return True
    return False


def _is_web_archive(lines: Sequence[str]) -> bool:
    head = lines[:20]
    return any(map(MIME_VERSION.match, head)) and any(map(MULTIPART_RELATED.match, head))


def _is_sql(lines: Sequence[str]) -> bool:
    statement = next((line for line in lines if not SQL_COMMENT.match(line)), "")
    return SQL_STATEMENT.match(statement) is not None


def _is_yaml(lines: Sequence[str]) -> bool:
    body = [line for line in lines if not YAML_START.match(line)]
    if len(lines) < MIN_SIMILAR_LINES or len(body) < 2 or not all(map(YAML_LINE.match, body)):
        return False
    is_list = YAML_ITEM.match(body[0]) and YAML_ITEM_REST.match(body[1])
    return YAML_START.match(lines[0]) is not None or bool(is_list)


def _is_log(lines: Sequence[str]) -> bool:
    head = lines[:MIN_SIMILAR_LINES]
    return len(head) == MIN_SIMILAR_LINES and any(all(map(log.match, head)) for log in LOG_LINES)


DETECTION_RULES: dict[str, Callable[[Sequence[str]], bool]] = {
    "vcard_file": _starts_with(VCARD_START),
    "calendar_file": _starts_with(CALENDAR_START),
    "web_archive": _is_web_archive,
    "email_file": _is_mail,
    "sql_file": _is_sql,
    "xml_file": _starts_with(XML_START),
    "yaml_file": _is_yaml,
    "log_file": _is_log,
}
