"""All settings, what varies from place to place first.

Everything that differs between machines comes from the environment; a value that cannot
be used stops the process with a sentence.
"""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from config.csp import CONTENT_SECURITY_POLICY  # noqa: F401
from config.env import (
    add_redis_timeouts,
    database,
    duration,
    env,
    read_rate,
    seconds,
    switch,
    whole,
)
from config.logging import to_console
from config.openapi import SPECTACULAR_SETTINGS as SPECTACULAR_SETTINGS

BASE_DIR = Path(__file__).resolve().parent.parent

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# --- What varies -------------------------------------------------------------

DEBUG = switch("DEBUG", False)
SECRET_KEY = env.str("SECRET_KEY", "insecure-development-key" if DEBUG else "")
if not SECRET_KEY:
    raise ImproperlyConfigured("Set SECRET_KEY; on your own machine `make demo` needs nothing.")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Front ends on other sites, as https://app.example.com: they use tokens, never cookies.
CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", default=[])
# Off only where the site is served over plain HTTP, as `make demo` does on this machine.
HTTPS_ONLY = switch("HTTPS_ONLY", not DEBUG)

DATABASES = {"default": database("DATABASE_URL")}
# Under Daphne every thread would keep a connection of its own open, so the web process
# keeps none; the worker's line in the Procfile sets this.
DATABASES["default"]["CONN_MAX_AGE"] = whole("CONN_MAX_AGE", 0)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# An end to waiting for a server that is silent.
DATABASES["default"].setdefault("OPTIONS", {}).update(
    connect_timeout=5, keepalives_idle=30, keepalives_interval=10, keepalives_count=3
)

REDIS_URL = env.str("REDIS_URL", "redis://localhost:6379/0")
TIME_ZONE = env.str("TIME_ZONE", "UTC")
LOG_LEVEL = env.str("LOG_LEVEL", "INFO").upper()
if LOG_LEVEL not in LOG_LEVELS:
    raise ImproperlyConfigured(f"LOG_LEVEL must be one of {', '.join(LOG_LEVELS)}.")

# --- Imports -----------------------------------------------------------------

MEGABYTES = 1024 * 1024
IMPORT_MAX_UPLOAD_BYTES = whole("IMPORT_MAX_UPLOAD_BYTES", 100 * MEGABYTES)

# What the process that opens a file may use. It is started for each file and killed when
# it asks for more; every limit ends in a status with a code.
IMPORT_READER = {
    "memory_bytes": whole("IMPORT_READER_MEMORY_BYTES", 400 * MEGABYTES),
    "cpu_seconds": whole("IMPORT_READER_CPU_SECONDS", 240),
    "wall_seconds": whole("IMPORT_READER_WALL_SECONDS", 480),
    "inflated_bytes": whole("IMPORT_READER_INFLATED_BYTES", 1024 * MEGABYTES),
    # Up to this inflated size calamine reads, ten times faster but with the whole sheet
    # in memory; above it openpyxl does, row by row.
    "calamine_bytes": whole("IMPORT_READER_CALAMINE_BYTES", 64 * MEGABYTES),
    "rows": whole("IMPORT_READER_ROWS", 2_000_000),  # Blank ones too: they take their time.
    "columns": whole("IMPORT_READER_COLUMNS", 16_384),  # Of the format itself.
    "cell_length": whole("IMPORT_READER_CELL_LENGTH", 32_767),  # Excel's own limit.
}
# Beside a file that takes its time a worker opens another one, if it is no larger than this;
# what proves to cost more than the second reader may waits for its turn.
IMPORT_SMALL_FILE_BYTES = whole("IMPORT_SMALL_FILE_BYTES", MEGABYTES)
IMPORT_SMALL_READER = IMPORT_READER | {
    "memory_bytes": min(128 * MEGABYTES, IMPORT_READER["memory_bytes"]),
    "cpu_seconds": min(4, IMPORT_READER["cpu_seconds"]),
    "wall_seconds": min(8, IMPORT_READER["wall_seconds"]),
    "inflated_bytes": min(32 * MEGABYTES, IMPORT_READER["inflated_bytes"]),
}
# A reader silent for longer than this is taken for dead, and another begins where it stood.
IMPORT_READER_SILENT_SECONDS = whole("IMPORT_READER_SILENT_SECONDS", 8)

# Reports of refused rows that a web process builds at the same time.
IMPORT_REPORTS_AT_ONCE = whole("IMPORT_REPORTS_AT_ONCE", 2)

# Rows staged in one transaction. A first small chunk moves the bar early.
IMPORT_CHUNK_ROWS = 5_000
# Rows written in one transaction: as many as this, but a small file is cut into about
# twenty batches, so that its bar moves.
IMPORT_BATCH_ROWS = 5_000
IMPORT_BATCHES_A_FILE = 20
# Batches of one import that may be in flight at once. Two keep a worker busy while one
# commits; more would only let a large import crowd out a small one.
IMPORT_BATCHES_IN_FLIGHT = whole("IMPORT_BATCHES_IN_FLIGHT", 2)
# For so long small batches follow each other; then it is another import's turn.
IMPORT_TURN_SECONDS = seconds("IMPORT_TURN_SECONDS", 0.2)
# A message older than this is taken for lost and sent again.
IMPORT_RESEND_SECONDS = whole("IMPORT_RESEND_SECONDS", 10)
# How often each worker looks for what a lost message left behind, and says it is alive.
IMPORT_RECOVERY_SECONDS = seconds("IMPORT_RECOVERY_SECONDS", 2.0)
IMPORT_WORKER_SILENT_SECONDS = whole("IMPORT_WORKER_SILENT_SECONDS", 8)
# Without a commit for this long, a running import is shown as stalled.
IMPORT_STALLED_SECONDS = 15
# PostgreSQL evicts whoever waits, works or freezes longer than this inside a transaction.
IMPORT_TIMEOUTS = {
    "lock_timeout": duration("IMPORT_LOCK_TIMEOUT", "500ms"),
    "statement_timeout": duration("IMPORT_STATEMENT_TIMEOUT", "30s"),
    "idle_in_transaction_session_timeout": duration("IMPORT_IDLE_TIMEOUT", "10s"),
}
# Judging a million rows against each other is one statement of up to a minute.
IMPORT_SETTLE_TIMEOUT = "300s"

# What people write in a cell that has no value. In an optional column of numbers, dates, choices,
# addresses or lookups these texts, in any case, count as empty; a column can name its own.
IMPORT_PLACEHOLDERS = [
    "-", "--", "---", "\u2013", "\u2014", ".", "..", "...", "\u2026", "?", "??", "???",
    "n/a", "n.a.", "n.a", "n / a", "na", "nan", "nil", "null", "none", "<null>", "\\n",
    "(null)", "(none)", "(blank)", "(empty)", "blank", "empty", "unknown", "nothing", "no value",
    "not available", "not applicable", "not known", "not given", "not provided",
    "tba", "tbc", "tbd", "no email", "no e-mail", "no mail",
    "keine", "keiner", "keins", "keine angabe", "k.a.", "k. a.", "unbekannt", "nicht bekannt",
    "aucun", "aucune", "néant", "neant", "sans", "inconnu", "inconnue", "non renseigné",
    "nc", "n.c.", "n/c", "ninguno", "ninguna", "desconocido", "sin datos", "s/d",
    "nenhum", "nenhuma", "desconhecido", "nessuno", "nessuna", "sconosciuto",
    "geen", "onbekend", "n.v.t.", "nvt", "brak", "nieznany", "yok", "bilinmiyor",
    "нет", "нет данных", "неизвестно", "无", "無", "没有", "لا يوجد",
]  # fmt: skip

# Live progress. A stream ends after its longest time and the browser asks again.
IMPORT_POLL_SECONDS = seconds("IMPORT_POLL_SECONDS", 2.0)
IMPORT_PING_SECONDS = seconds("IMPORT_PING_SECONDS", 15.0)
IMPORT_STREAM_SECONDS = seconds("IMPORT_STREAM_SECONDS", 600.0)
# How long a signed stream address is good for; every answer holds a fresh one.
IMPORT_TICKET_SECONDS = whole("IMPORT_TICKET_SECONDS", 3_600)
IMPORT_STREAMS_PER_USER = whole("IMPORT_STREAMS_PER_USER", 20)
IMPORT_STREAMS_PER_PROCESS = whole("IMPORT_STREAMS_PER_PROCESS", 3_000)

# --- Customers ---------------------------------------------------------------

CUSTOMERS_PHONE_REGION = env.str("CUSTOMERS_PHONE_REGION", "GH")

# The earlier contract checks a file, and imports a short list, inside the request.
EXCEL_UPLOAD_MAX_BYTES = whole("EXCEL_UPLOAD_MAX_BYTES", 5 * MEGABYTES)
EXCEL_UPLOAD_MAX_ROWS = whole("EXCEL_UPLOAD_MAX_ROWS", 10_000)
EXCEL_MAX_CUSTOMERS = whole("EXCEL_MAX_CUSTOMERS", 50_000)
EXCEL_MAX_LIST_BYTES = whole("EXCEL_MAX_LIST_BYTES", 32 * MEGABYTES)
EXCEL_SYNC_MAX_CUSTOMERS = whole("EXCEL_SYNC_MAX_CUSTOMERS", 500)
EXCEL_AT_ONCE = whole("EXCEL_AT_ONCE", 2)  # Such requests that a process works on.
EXCEL_READER = IMPORT_READER | {
    "memory_bytes": 200 * MEGABYTES,
    "cpu_seconds": min(4, IMPORT_READER["cpu_seconds"]),
    "wall_seconds": 4,
    "inflated_bytes": 64 * MEGABYTES,
    "rows": EXCEL_UPLOAD_MAX_ROWS + 100,  # Titles and blank rows among them.
}

# --- The application ---------------------------------------------------------

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_dramatiq",
    "corsheaders",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "imports",
    "customers",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
LOGIN_URL = reverse_lazy("login")
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = reverse_lazy("login")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("fr", _("French"))]  # Those that are whole.
LOCALE_PATHS = [BASE_DIR / "locale"]

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # Nothing to collect on a developer's machine.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    # Web and worker share no disk, but they share PostgreSQL.
    "imports": {"BACKEND": "imports.storage.DatabaseStorage"},
}
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]

# Only counts of requests, which each process keeps for itself.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

# --- Security ----------------------------------------------------------------

SECURE_SSL_REDIRECT = HTTPS_ONLY
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS_ONLY else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS_ONLY else 0
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "config.errors.no_csrf_token"

# --- REST --------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "imports.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "imports.api.pagination.KeysetPagination",
    "DEFAULT_THROTTLE_CLASSES": [
        "imports.api.throttles.ReadThrottle",
        "imports.api.throttles.WriteThrottle",
    ],
    # Each user's, and for logins each address's. Twenty reads a second are no burden.
    "DEFAULT_THROTTLE_RATES": {
        "reads": read_rate("THROTTLE_READS", "1200/min"),
        "writes": read_rate("THROTTLE_WRITES", "120/min"),
        "logins": read_rate("THROTTLE_LOGINS", "20/min"),
    },
    # Whose word on a client's address is taken: behind a platform's proxy, that proxy's.
    "NUM_PROXIES": whole("TRUSTED_PROXIES", 1 if HTTPS_ONLY else 0),
    "EXCEPTION_HANDLER": "imports.api.errors.handle_exception",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SIMPLE_JWT = {
    # Long, because scripts written for the earlier system log in once.
    "ACCESS_TOKEN_LIFETIME": timedelta(hours=whole("ACCESS_TOKEN_HOURS", 12)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=whole("REFRESH_TOKEN_DAYS", 30)),
    # A key of its own, and long enough whatever SECRET_KEY is.
    "SIGNING_KEY": sha256(f"tokens:{SECRET_KEY}".encode()).hexdigest(),
    "CHECK_REVOKE_TOKEN": True,  # A changed password ends every token.
}
# No credentials: another site never acts by a person's session.
CORS_URLS_REGEX = r"^/api/"
CORS_EXPOSE_HEADERS = ["Content-Disposition", "ETag", "Location", "Retry-After"]
CORS_ALLOW_HEADERS = [
    *("accept", "authorization", "content-type", "x-csrftoken"),
    *("idempotency-key", "if-none-match", "last-event-id", "cache-control"),
]

# --- Background jobs ---------------------------------------------------------

DRAMATIQ_BROKER = {
    "BROKER": "dramatiq.brokers.redis.RedisBroker",
    "OPTIONS": {
        # Options beside the address are ignored, so the timeouts are a part of it.
        "url": add_redis_timeouts(REDIS_URL, 1.5),
        "namespace": "imports",
        # Longer than anything of ours holds the GIL, and looked at on every command: left
        # alone, Dramatiq gives a killed worker's messages back after thirteen minutes.
        "heartbeat_timeout": 30_000,
        "maintenance_chance": 1_000_000,
    },
    # No AgeLimit and no notices of a shutdown, for messages carry no work. No Retries: it
    # keeps waiting messages in a worker's memory, where a restart of Redis freezes them. What
    # must be done again is a row, and imports.recovery asks for it.
    "MIDDLEWARE": [
        "dramatiq.middleware.TimeLimit",
        "django_dramatiq.middleware.DbConnectionsMiddleware",
        "imports.worker_process.MaintenanceMiddleware",
    ],
}
# It looks for modules named "tasks" unless told; then a worker starts, and does nothing.
DRAMATIQ_AUTODISCOVER_MODULES = ["actors", "recovery"]

# --- Logging -----------------------------------------------------------------

LOGGING = to_console(LOG_LEVEL)
