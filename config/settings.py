"""Settings of the site. Those that differ between installations come first.

They are read from environment variables. A value that cannot be used stops the process with a
message that names the variable.
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
    env,
    read_bool,
    read_database,
    read_duration,
    read_int,
    read_rate,
    read_seconds,
)
from config.logging import build_logging_config
from config.openapi import SPECTACULAR_SETTINGS as SPECTACULAR_SETTINGS

BASE_DIR = Path(__file__).resolve().parent.parent

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# --- The installation --------------------------------------------------------

DEBUG = read_bool("DEBUG", False)
SECRET_KEY = env.str("SECRET_KEY", "insecure-development-key" if DEBUG else "")
if not SECRET_KEY:
    raise ImproperlyConfigured("Set SECRET_KEY. `make demo` sets it for you.")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Origins of front ends on other sites, such as https://app.example.com. They authenticate with
# tokens, never with cookies.
CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", default=[])
# Off only if the site is served over plain HTTP, as by `make demo`.
HTTPS_ONLY = read_bool("HTTPS_ONLY", not DEBUG)

# Bound the time that the site waits for a PostgreSQL server that does not respond.
DATABASE_TIMEOUTS = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
DATABASES = {"default": read_database("DATABASE_URL", DATABASE_TIMEOUTS)}
# Under Daphne every thread would keep its own connection open, so the web process keeps none. The
# Procfile sets CONN_MAX_AGE for the worker.
DATABASES["default"]["CONN_MAX_AGE"] = read_int("CONN_MAX_AGE", 0)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

REDIS_URL = env.str("REDIS_URL", "redis://localhost:6379/0")
TIME_ZONE = env.str("TIME_ZONE", "UTC")
LOG_LEVEL = env.str("LOG_LEVEL", "INFO").upper()
if LOG_LEVEL not in LOG_LEVELS:
    raise ImproperlyConfigured(f"LOG_LEVEL must be one of {', '.join(LOG_LEVELS)}.")

# --- Imports -----------------------------------------------------------------

MEGABYTES = 1024 * 1024
IMPORT_MAX_UPLOAD_BYTES = read_int("IMPORT_MAX_UPLOAD_BYTES", 100 * MEGABYTES)

# Limits of the reader process, which is started for each file. A file that exceeds a limit fails
# with an error code.
IMPORT_READER = {
    "memory_bytes": read_int("IMPORT_READER_MEMORY_BYTES", 400 * MEGABYTES),
    "cpu_seconds": read_int("IMPORT_READER_CPU_SECONDS", 240),
    "wall_seconds": read_int("IMPORT_READER_WALL_SECONDS", 480),
    "inflated_bytes": read_int("IMPORT_READER_INFLATED_BYTES", 1024 * MEGABYTES),
    # Sheets up to this uncompressed size are read by calamine, which is ten times faster but keeps
    # the whole sheet in memory. Larger sheets are read row by row.
    "calamine_bytes": read_int("IMPORT_READER_CALAMINE_BYTES", 64 * MEGABYTES),
    "rows": read_int("IMPORT_READER_ROWS", 2_000_000),  # Blank rows are counted.
    "columns": read_int("IMPORT_READER_COLUMNS", 16_384),  # The limit of the XLSX format.
    "cell_length": read_int("IMPORT_READER_CELL_LENGTH", 32_767),  # The limit of Excel.
}
# While a worker reads a large file it reads a second file, if that is no larger than this. If the
# second file exceeds IMPORT_SMALL_READER, it waits for the main reader.
IMPORT_SMALL_FILE_BYTES = read_int("IMPORT_SMALL_FILE_BYTES", MEGABYTES)
IMPORT_SMALL_READER = IMPORT_READER | {
    "memory_bytes": min(128 * MEGABYTES, IMPORT_READER["memory_bytes"]),
    "cpu_seconds": min(4, IMPORT_READER["cpu_seconds"]),
    "wall_seconds": min(8, IMPORT_READER["wall_seconds"]),
    "inflated_bytes": min(32 * MEGABYTES, IMPORT_READER["inflated_bytes"]),
}
# If a reader's heartbeat is older than this, another worker continues at the reader's cursor.
IMPORT_READER_SILENT_SECONDS = read_int("IMPORT_READER_SILENT_SECONDS", 8)

# Number of failed-rows files that a web process builds at the same time.
IMPORT_REPORTS_AT_ONCE = read_int("IMPORT_REPORTS_AT_ONCE", 2)

# Rows staged in one transaction. The first chunk is smaller, so that progress shows early.
IMPORT_CHUNK_ROWS = 5_000
# Rows applied in one transaction. A small file is divided into about IMPORT_BATCHES_A_FILE smaller
# batches, so that its progress is visible.
IMPORT_BATCH_ROWS = 5_000
IMPORT_BATCHES_A_FILE = 20
# Batches of one import that may be enqueued at the same time. Two keep a worker busy while one of
# them commits. More would let a large import delay a small one.
IMPORT_BATCHES_IN_FLIGHT = read_int("IMPORT_BATCHES_IN_FLIGHT", 2)
# Time for which a worker applies small batches of one import before it turns to another import.
IMPORT_TURN_SECONDS = read_seconds("IMPORT_TURN_SECONDS", 0.2)
# A message that is older than this is considered lost and is sent again.
IMPORT_RESEND_SECONDS = read_int("IMPORT_RESEND_SECONDS", 10)
# Interval at which each worker sends its heartbeat and looks for work whose message was lost.
IMPORT_RECOVERY_SECONDS = read_seconds("IMPORT_RECOVERY_SECONDS", 2.0)
IMPORT_WORKER_SILENT_SECONDS = read_int("IMPORT_WORKER_SILENT_SECONDS", 8)
# A running import that has not committed for this time is shown as stalled.
IMPORT_STALLED_SECONDS = 15
# PostgreSQL ends a transaction of an import that waits for a lock, executes one statement, or is
# idle for longer than this.
IMPORT_TIMEOUTS = {
    "lock_timeout": read_duration("IMPORT_LOCK_TIMEOUT", "500ms"),
    "statement_timeout": read_duration("IMPORT_STATEMENT_TIMEOUT", "30s"),
    "idle_in_transaction_session_timeout": read_duration("IMPORT_IDLE_TIMEOUT", "10s"),
}
# Finding the duplicates among a million rows is one statement that takes up to a minute.
IMPORT_FINISH_CHECK_TIMEOUT = "300s"

# What people type into a cell that has no value. In optional columns of numbers, dates, choices,
# addresses or lookups a cell with one of these texts is empty, in upper or lower case. A column can
# define its own list.
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

# Live progress. The server ends a stream after IMPORT_STREAM_SECONDS, and the client reconnects.
IMPORT_POLL_SECONDS = read_seconds("IMPORT_POLL_SECONDS", 2.0)
IMPORT_PING_SECONDS = read_seconds("IMPORT_PING_SECONDS", 15.0)
IMPORT_STREAM_SECONDS = read_seconds("IMPORT_STREAM_SECONDS", 600.0)
# Time for which a signed stream URL is valid. The REST API sends a new one every five minutes.
IMPORT_TICKET_SECONDS = read_int("IMPORT_TICKET_SECONDS", 3_600)
IMPORT_STREAMS_PER_USER = read_int("IMPORT_STREAMS_PER_USER", 20)
IMPORT_STREAMS_PER_PROCESS = read_int("IMPORT_STREAMS_PER_PROCESS", 3_000)

# --- Customers ---------------------------------------------------------------

CUSTOMERS_PHONE_REGION = env.str("CUSTOMERS_PHONE_REGION", "GH")

# The earlier contract checks a file, or imports a short list of customers, inside the request.
EXCEL_UPLOAD_MAX_BYTES = read_int("EXCEL_UPLOAD_MAX_BYTES", 5 * MEGABYTES)
EXCEL_UPLOAD_MAX_ROWS = read_int("EXCEL_UPLOAD_MAX_ROWS", 10_000)
EXCEL_MAX_CUSTOMERS = read_int("EXCEL_MAX_CUSTOMERS", 50_000)
EXCEL_MAX_LIST_BYTES = read_int("EXCEL_MAX_LIST_BYTES", 32 * MEGABYTES)
EXCEL_SYNC_MAX_CUSTOMERS = read_int("EXCEL_SYNC_MAX_CUSTOMERS", 500)
# Number of these requests that a web process handles at the same time.
EXCEL_AT_ONCE = read_int("EXCEL_AT_ONCE", 2)
EXCEL_READER = IMPORT_READER | {
    "memory_bytes": 200 * MEGABYTES,
    "cpu_seconds": min(4, IMPORT_READER["cpu_seconds"]),
    "wall_seconds": 4,
    "inflated_bytes": 64 * MEGABYTES,
    "rows": EXCEL_UPLOAD_MAX_ROWS + 100,  # Allow for title rows and blank rows.
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
LANGUAGES = [("en", _("English")), ("fr", _("French"))]  # Languages with complete translations.
LOCALE_PATHS = [BASE_DIR / "locale"]

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # Development needs no collectstatic.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    # The web process and the workers have no common disk, so files are stored in PostgreSQL.
    "imports": {"BACKEND": "imports.storage.DatabaseStorage"},
}
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]

# Holds the request counts of throttling, separately in each process.
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
CSRF_FAILURE_VIEW = "config.errors.csrf_failure"

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
    # For each user; logins are counted for each IP address.
    "DEFAULT_THROTTLE_RATES": {
        "reads": read_rate("THROTTLE_READS", "1200/min"),
        "writes": read_rate("THROTTLE_WRITES", "120/min"),
        "logins": read_rate("THROTTLE_LOGINS", "20/min"),
    },
    # Number of proxies whose X-Forwarded-For is trusted. Hosting platforms have one.
    "NUM_PROXIES": read_int("TRUSTED_PROXIES", 1 if HTTPS_ONLY else 0),
    "EXCEPTION_HANDLER": "imports.api.errors.handle_exception",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SIMPLE_JWT = {
    # Long, because scripts written for the earlier system log in only once.
    "ACCESS_TOKEN_LIFETIME": timedelta(hours=read_int("ACCESS_TOKEN_HOURS", 12)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=read_int("REFRESH_TOKEN_DAYS", 30)),
    # Separate from SECRET_KEY, and long enough for any SECRET_KEY.
    "SIGNING_KEY": sha256(f"tokens:{SECRET_KEY}".encode()).hexdigest(),
    "CHECK_REVOKE_TOKEN": True,  # Changing the password revokes all tokens.
}
# Credentials are not allowed: a page of another site cannot use a person's session.
CORS_URLS_REGEX = r"^/api/"
CORS_EXPOSE_HEADERS = ["Content-Disposition", "ETag", "Location", "Retry-After"]
CORS_ALLOW_HEADERS = [
    "accept",
    "authorization",
    "cache-control",
    "content-type",
    "idempotency-key",
    "if-none-match",
    "last-event-id",
    "x-csrftoken",
]

# --- Background jobs ---------------------------------------------------------

DRAMATIQ_BROKER = {
    "BROKER": "dramatiq.brokers.redis.RedisBroker",
    "OPTIONS": {
        # The broker ignores other options if `url` is given, so the timeouts are part of the URL.
        "url": add_redis_timeouts(REDIS_URL, 1.5),
        "namespace": "imports",
        # A worker that is silent for longer than `heartbeat_timeout` (milliseconds) has crashed,
        # and its messages are delivered again. No code holds the GIL for that long. With
        # `maintenance_chance` the check happens on every command. With Dramatiq's defaults the
        # messages would return after thirteen minutes.
        "heartbeat_timeout": 30_000,
        "maintenance_chance": 1_000_000,
    },
    # AgeLimit and ShutdownNotifications are not needed, because messages carry no work. Retries
    # keeps delayed messages in a worker's memory, where they get stuck when Redis restarts.
    # Instead, imports.recovery enqueues unfinished work again from the rows in PostgreSQL.
    "MIDDLEWARE": [
        "dramatiq.middleware.TimeLimit",
        "django_dramatiq.middleware.DbConnectionsMiddleware",
        "imports.worker_process.MaintenanceMiddleware",
    ],
}
# The default is ["tasks"]. With it a worker would start without any actor.
DRAMATIQ_AUTODISCOVER_MODULES = ["actors", "recovery"]

# --- Logging -----------------------------------------------------------------

LOGGING = build_logging_config(LOG_LEVEL)
