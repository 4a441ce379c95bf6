"""The settings of the app: each has a default, a unit and a sentence.

A project overrides a setting in its settings module, under its name with the prefix `IMPORTS_`::

    IMPORTS_MAX_UPLOAD_BYTES = 20 * 1024 * 1024

Code of the app reads them from `app_settings`: `app_settings.MAX_UPLOAD_BYTES`. Most values are
read each time that they are used, so `override_settings` works in tests; MAX_CONCURRENT_DOWNLOADS
and REDIS_URL are used once in each process. docs/settings.md lists all settings;
`python -m docs.tables` generates it from this module.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Generic, TypeVar, overload

from django.conf import settings

PREFIX = "IMPORTS_"
MEGABYTES = 1024 * 1024
# Size of what surrounds the file in a request: the multipart headers and the other form fields.
MAX_FORM_OVERHEAD_BYTES = MEGABYTES

# A time as PostgreSQL reads it, and a rate as Django REST framework reads it.
DURATION = re.compile(r"[0-9]+ *(us|ms|s|min|h|d)?")
RATE = re.compile(r"[0-9]+/(s|sec|second|m|min|minute|h|hour|d|day)")

T = TypeVar("T")


class Setting(Generic[T]):
    """One setting, as an attribute of `AppSettings`. `unit` is "" if the value has none.

    The value, or each value of a dictionary, matches the whole `pattern`, if there is one.
    """

    def __init__(
        self,
        default: T,
        unit: str,
        description: str,
        *,
        pattern: re.Pattern[str] | None = None,
        allows_none: bool = False,
    ) -> None:
        self.default = default
        self.unit = unit
        self.description = description
        self.pattern = pattern
        self.allows_none = allows_none

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = PREFIX + name

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Setting[T] | T:
        return self if instance is None else self.read()

    def read(self) -> T:
        """Return the project's value, or the default."""
        value: T = getattr(settings, self.name, self.default)
        return value


class MappingSetting(Setting[dict[str, T]]):
    """A setting that is a dictionary. A key that the project leaves out has its default."""

    def read(self) -> dict[str, T]:
        return {**self.default, **getattr(settings, self.name, {})}


class AppSettings:
    """All settings of the app."""

    # --- Uploads -------------------------------------------------------------

    MAX_UPLOAD_BYTES = Setting(
        100 * MEGABYTES, "bytes", "Largest file. The REST API answers a larger one with status 413."
    )
    STORAGE = Setting(
        "imports",
        "alias in `STORAGES`",
        "Where uploaded files are stored. Without this alias in `STORAGES` they are stored in the "
        "database, so that web and worker processes need no shared disk.",
    )

    MAX_UPLOADS_PER_USER_PER_MINUTE: Setting[int | None] = Setting(
        60,
        "uploads",
        "Files that one user may upload in a minute, on the pages and with the REST API. Further "
        "ones receive status 429. None: no limit.",
        allows_none=True,
    )
    MAX_UNFINISHED_IMPORTS_PER_USER: Setting[int | None] = Setting(
        200,
        "imports",
        "Imports of one user that have not ended: waiting, checked, paused or running. Further "
        "uploads receive status 409, which says what to cancel. None: no limit.",
        allows_none=True,
    )
    MAX_STORED_BYTES_PER_USER: Setting[int | None] = Setting(
        2048 * MEGABYTES,
        "bytes",
        "Size of the uploaded files of one user that are kept. Further uploads receive status 409, "
        "which says what to delete. None: no limit.",
        allows_none=True,
    )
    MAX_STORED_ROWS_PER_USER: Setting[int | None] = Setting(
        10_000_000,
        "rows",
        "Rows of the imports of one user that are kept. The check of a further import fails with "
        "an error that says what to delete. None: no limit.",
        allows_none=True,
    )

    # --- Reading a file ------------------------------------------------------

    READER_LIMITS = MappingSetting(
        {
            "memory_bytes": 400 * MEGABYTES,
            "cpu_seconds": 240,
            "wall_seconds": 480,
            "inflated_bytes": 1024 * MEGABYTES,
            # calamine reads ten times faster than row by row, but holds the sheet in memory.
            "calamine_bytes": 64 * MEGABYTES,
            "rows": 2_000_000,
            "columns": 16_384,  # The limit of the XLSX format.
            "cell_length": 32_767,  # The limit of Excel.
        },
        "per key",
        "What the process that reads one file may use. A file that needs more fails with an "
        "error code. `memory_bytes`: address space. `cpu_seconds`: processor time, which is also "
        "limited to 6 s plus 4 s for each MB that the file unpacks to. `wall_seconds`: total "
        "time. `inflated_bytes`: size of a workbook after decompression, and of all cells of a "
        "file. `calamine_bytes`: a workbook up to this unpacked size is read in memory, which is "
        "ten times faster. `rows`: rows, blank rows included. `columns`: columns. "
        "`cell_length`: characters of a cell.",
    )
    SMALL_FILE_BYTES = Setting(
        MEGABYTES,
        "bytes",
        "While a worker reads a larger file, it also reads a file of at most this size.",
    )
    SMALL_READER_LIMITS = MappingSetting(
        {
            "memory_bytes": 128 * MEGABYTES,
            "cpu_seconds": 4,
            "wall_seconds": 8,
            "inflated_bytes": 32 * MEGABYTES,
        },
        "per key",
        "Limits of the process that reads a small file beside a larger one. A file that exceeds "
        "them is read again later, with `IMPORTS_READER_LIMITS`.",
    )
    READER_HEARTBEAT_TIMEOUT_SECONDS = Setting(
        8,
        "seconds",
        "If the heartbeat of a file that is read is older than this, its worker counts as "
        "crashed, and another worker continues.",
    )
    CHUNK_ROWS = Setting(5_000, "rows", "Rows that are checked and staged in one transaction.")
    PLACEHOLDERS: Setting[Sequence[str]] = Setting(
        [
            "-", "--", "---", "\u2013", "\u2014", ".", "..", "...", "\u2026", "?", "??", "???",
            "n/a", "n.a.", "n.a", "n / a", "na", "nan", "nil", "null", "none", "<null>", "\\n",
            "(null)", "(none)", "(blank)", "(empty)", "blank", "empty", "unknown", "nothing",
            "no value", "not available", "not applicable", "not known", "not given",
            "not provided", "tba", "tbc", "tbd", "no email", "no e-mail", "no mail",
            "keine", "keiner", "keins", "keine angabe", "k.a.", "k. a.", "unbekannt",
            "nicht bekannt", "aucun", "aucune", "néant", "neant", "sans", "inconnu", "inconnue",
            "non renseigné", "nc", "n.c.", "n/c", "ninguno", "ninguna", "desconocido",
            "sin datos", "s/d", "nenhum", "nenhuma", "desconhecido", "nessuno", "nessuna",
            "sconosciuto", "geen", "onbekend", "n.v.t.", "nvt", "brak", "nieznany", "yok",
            "bilinmiyor", "нет", "нет данных", "неизвестно", "无", "無", "没有", "لا يوجد",
        ],
        "texts",
        'Texts that mean "no value". In optional columns of numbers, dates, choices, e-mail and '
        "web addresses, or lookups, a cell with one of these texts counts as empty. Case is "
        "ignored. `Column.placeholders` replaces the list for one column.",
    )  # fmt: skip

    # --- Writing -------------------------------------------------------------

    BATCH_ROWS = Setting(5_000, "rows", "Rows that are written in one transaction.")
    BATCHES_PER_SMALL_FILE = Setting(
        5,
        "batches",
        "A file with fewer than `IMPORTS_BATCH_ROWS` times this number of rows is divided into "
        "about this many batches, so that its progress is visible.",
    )
    MAX_BATCHES_IN_FLIGHT = Setting(
        2,
        "batches",
        "Batches of one import that are enqueued or written at the same time. Two keep a worker "
        "busy while one of them commits. More would let a large import delay a small one.",
    )
    TURN_SECONDS = Setting(
        0.2,
        "seconds",
        "A worker writes small batches of one import for this long, before it turns to another "
        "import.",
    )
    DATABASE_TIMEOUTS = MappingSetting(
        {
            "lock_timeout": "500ms",
            "statement_timeout": "30s",
            "idle_in_transaction_session_timeout": "10s",
        },
        "PostgreSQL's notation",
        "PostgreSQL ends a transaction of an import that waits for a lock, executes one "
        "statement, or is idle for longer than this.",
        pattern=DURATION,
    )
    FINISH_CHECK_TIMEOUT = Setting(
        "300s",
        "PostgreSQL's notation",
        "`statement_timeout` of the statement that finds the duplicates of a file, which takes "
        "up to a minute for a million rows.",
        pattern=DURATION,
    )

    # --- Workers and recovery ------------------------------------------------

    BROKER = Setting(
        "",
        "dotted path",
        "The Dramatiq broker that carries the messages to workers, such as "
        "`project.queue.broker`. If the setting is empty, the app uses the broker of "
        "`django_dramatiq` if that app is installed, and otherwise its own broker on the server "
        "`IMPORTS_REDIS_URL`.",
    )
    MESSAGE_TIMEOUT_SECONDS = Setting(
        10, "seconds", "A message that is older than this counts as lost and is sent again."
    )
    RECOVERY_INTERVAL_SECONDS = Setting(
        2.0,
        "seconds",
        "Interval at which each worker sends its heartbeat and looks for work whose message was "
        "lost.",
    )
    WORKER_HEARTBEAT_TIMEOUT_SECONDS = Setting(
        6,
        "seconds",
        "A worker whose last heartbeat is older than this does not count as running. Pages say so "
        "within three seconds more.",
    )
    HOOK_TIMEOUT_SECONDS = Setting(
        60,
        "seconds",
        "A call of `after_batch`, `after_import` or the receivers of a signal that has not ended "
        "after this time counts as crashed and is made again. A failed call is repeated after this "
        "time. The time doubles with each failure, up to an hour.",
    )
    HOOK_MAX_SECONDS = Setting(
        86_400,
        "seconds",
        "A call of `after_batch` or `after_import` that still fails after this time, and after at "
        "least ten attempts, is given up. The pages of the import and the admin show it, and the "
        "admin can make the call again.",
    )
    STALLED_AFTER_SECONDS = Setting(
        15, "seconds", "A running import that has not committed for this time is shown as stalled."
    )

    # --- Keeping and deleting data -------------------------------------------

    KEEP_CONTENTS_DAYS = Setting(
        30,
        "days",
        "After an import has ended, its file, its rows and its sample values are kept for this "
        "long. Until then it can be undone. Imported records are never deleted.",
    )
    KEEP_HISTORY_DAYS = Setting(
        400,
        "days",
        "After an import has ended, its counts and its history are kept for this long.",
    )
    CANCEL_WAITING_DAYS = Setting(
        7,
        "days",
        "An import that has waited for a person for this long is cancelled: for a column "
        "mapping, or for a start.",
    )
    KEEP_PREVIEWS_DAYS = Setting(
        1, "days", "A file that was uploaded only for a preview is deleted after this time."
    )
    PURGE_HOUR = Setting(
        3,
        "hour of the day",
        "One worker deletes old data once a day, at or after this hour in `TIME_ZONE`.",
    )

    # --- Live progress -------------------------------------------------------

    REDIS_URL = Setting(
        "redis://localhost:6379/0",
        "URL",
        "The Redis server that carries live progress and, unless there "
        "is another broker, the messages to workers.",
        pattern=re.compile(r"(rediss?|unix)://.+"),
    )
    STREAM_POLL_SECONDS = Setting(
        2.0,
        "seconds",
        "Interval at which a web process reads the imports of its streams from the database, in "
        "case Redis lost a message.",
    )
    STREAM_PING_SECONDS = Setting(
        15.0, "seconds", "Interval of the keep-alive messages of a stream."
    )
    MAX_STREAM_SECONDS = Setting(
        600.0, "seconds", "The server ends a stream after this time, and the client reconnects."
    )
    TICKET_SECONDS = Setting(
        3_600, "seconds", "Time for which a signed address of a stream is valid."
    )
    MAX_STREAMS_PER_USER = Setting(
        20, "streams", "Streams of one user in one process. Further streams receive status 429."
    )
    MAX_STREAMS_PER_PROCESS = Setting(
        3_000, "streams", "Streams in one process. Further streams receive status 503."
    )

    # --- Notices -------------------------------------------------------------

    SITE_URL = Setting(
        "",
        "URL",
        "The address of the site, such as `https://imports.example.com`, for links in e-mails and "
        "webhooks. Workers know no address of their own. Empty: notices have no links.",
        pattern=re.compile(r"(https?://[^\s?#]+)?"),
    )
    EMAIL_OWNERS = Setting(
        False,
        "",
        "Whether the owner of an import receives an e-mail when it has ended. It holds counts and "
        "a link, and nothing of the file. Django's `EMAIL_…` settings say how it is sent.",
    )
    EMAIL_LANGUAGE = Setting(
        "", "language code", "The language of these e-mails. Empty: `LANGUAGE_CODE`."
    )
    NOTICE_RETRY_SECONDS: Setting[Sequence[float]] = Setting(
        [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400],
        "seconds",
        "The pauses between the attempts to send an e-mail or a webhook. After the last one, it is "
        "given up.",
    )
    WEBHOOK_TIMEOUT_SECONDS = Setting(
        10.0, "seconds", "A webhook without a complete response after this time has failed."
    )
    WEBHOOK_PRIVATE_TARGETS = Setting(
        False,
        "",
        "Whether webhooks may be sent to private, loopback and link-local addresses, and without "
        "TLS. On a platform this lets administrators reach its internal services.",
    )

    # --- REST API ------------------------------------------------------------

    THROTTLE_RATES = MappingSetting[str | None](
        {"reads": "1200/min", "writes": "120/min", "logins": "20/min"},
        "requests per s, min, hour or day",
        "Rate limits of the REST API. `reads` (GET) and `writes` (all others) count for each user, "
        "`logins` for each IP address. Further requests receive status 429. None: no limit. "
        "The counts are in Django's default cache. REST framework's own settings do not "
        "apply to this API.",
        pattern=RATE,
        allows_none=True,
    )
    TRUSTED_PROXIES = Setting(
        0,
        "proxies",
        "Number of proxies in front of the site whose X-Forwarded-For is trusted, for the IP "
        "addresses of logins and of the web server. 0: the address of the connection counts.",
    )

    # --- Web server ----------------------------------------------------------

    SERVER_MAX_CONNECTIONS = Setting(
        4_000,
        "connections",
        "Open connections of a web process, streams included. A further connection takes the place "
        "of the one that has waited longest without a complete request. If all others are being "
        "served, it receives status 503.",
    )
    SERVER_MAX_CONNECTIONS_PER_ADDRESS = Setting(
        256,
        "connections",
        "Open connections from one IP address (of IPv6, from one /64 network) in a web process. "
        "Further ones receive status 429. With `IMPORTS_TRUSTED_PROXIES` all connections come from "
        "the proxy; then the requests and streams that are open at the same time count for the "
        "address of the client.",
    )
    SERVER_HEAD_TIMEOUT_SECONDS = Setting(
        15.0,
        "seconds",
        "Time for a request line with all headers, from its first byte, or from the start of the "
        "connection. After it the connection is closed with status 408.",
    )
    SERVER_IDLE_TIMEOUT_SECONDS = Setting(
        75.0, "seconds", "Time for which a connection stays open between two requests."
    )
    SERVER_BODY_TIMEOUT_SECONDS = Setting(
        30.0,
        "seconds",
        "Longest pause in a request body. After it the connection is closed with status 408.",
    )
    SERVER_MIN_BODY_BYTES_PER_SECOND = Setting(
        4_096,
        "bytes per second",
        "Slowest request body, on average after the first `IMPORTS_SERVER_BODY_TIMEOUT_SECONDS`. "
        "The connection of a slower one is closed with status 408.",
    )
    SERVER_MAX_STORED_BYTES = Setting(
        512 * MEGABYTES,
        "bytes",
        "Disk space for the request bodies that a web process holds at the same time. If they "
        "need more, the largest incomplete body of the address that uses most receives status 503 "
        "with Retry-After.",
    )
    SERVER_MAX_CHUNKED_BODY_BYTES = Setting(
        MEGABYTES,
        "bytes",
        "Largest request body without Content-Length, which is sent in chunks. A larger one "
        "receives status 411. An upload always needs a Content-Length.",
    )
    SERVER_SEND_TIMEOUT_SECONDS = Setting(
        60.0,
        "seconds",
        "A connection whose client reads nothing of a response or stream for this time is closed.",
    )
    SERVER_LINGER_SECONDS = Setting(
        30.0,
        "seconds",
        "Longest time for which the rest of a refused body is received and discarded. A client "
        "that still sends could not read the response otherwise.",
    )
    SERVER_MAX_HEADERS = Setting(
        100, "headers", "Headers of one request. A request with more receives status 431."
    )
    SERVER_MAX_HEAD_BYTES = Setting(
        16 * 1024,
        "bytes",
        "Size of a request line with all headers. A larger one receives status 431. It is also how "
        "much of the following requests is received while a response is sent (pipelining).",
    )
    SERVER_MAX_SEND_BUFFER_BYTES = Setting(
        256 * 1024,
        "bytes",
        "A response waits while more than this waits to be sent on its connection.",
    )
    SERVER_MAX_CONCURRENT_REQUESTS = Setting(
        20,
        "requests",
        "Requests for which a web process runs Django at the same time. Each may use a thread and "
        "a database connection. A request counts until its response begins, so streams and "
        "downloads do not count.",
    )
    SERVER_MAX_WAIT_SECONDS = Setting(
        10.0,
        "seconds",
        "Time for which a request waits while too many others run. After it the response is status "
        "503 with Retry-After.",
    )

    REFRESH_REPEAT_SECONDS = Setting(
        30,
        "seconds",
        "Time for which a refresh token that was replaced returns its successor again, for a "
        "client that has lost the response. Later, its use ends all tokens of the log-in.",
    )

    # --- Files to download ---------------------------------------------------

    MAX_CONCURRENT_DOWNLOADS = Setting(
        2,
        "files",
        "Failed-rows files that a web process builds at the same time. At most half of them, but "
        "at least one, are for the same user. Further requests receive status 503.",
    )


app_settings = AppSettings()


def list_settings() -> list[Setting[Any]]:
    """Return all settings of the app, in the order of their definition."""
    return [value for value in vars(AppSettings).values() if isinstance(value, Setting)]


def get_small_reader_limits() -> dict[str, int]:
    """Return the limits of the reader of a small file: never more than READER_LIMITS allows."""
    limits = app_settings.READER_LIMITS
    small = app_settings.SMALL_READER_LIMITS
    return {**limits, **{name: min(value, limits[name]) for name, value in small.items()}}
