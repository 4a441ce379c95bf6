"""Settings of the site. Those that differ between installations come first.

They are read from environment variables. A value that cannot be used stops the process with a
message that names the variable.
"""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import django
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from config.csp import CONTENT_SECURITY_POLICY  # noqa: F401
from config.env import (
    add_redis_timeouts,
    env,
    make_mailer,
    read_app_settings,
    read_bool,
    read_database,
    read_duration,
    read_int,
    read_rate,
)
from config.logging import build_logging_config
from config.openapi import SPECTACULAR_SETTINGS as SPECTACULAR_SETTINGS
from imports.broker import (
    REDIS_HEARTBEAT_TIMEOUT_MILLISECONDS,
    REDIS_MAINTENANCE_CHANCE,
    REDIS_NAMESPACE,
    REDIS_TIMEOUT_SECONDS,
)
from imports.conf import MEGABYTES, AppSettings, list_settings

BASE_DIR = Path(__file__).resolve().parent.parent

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# --- The installation --------------------------------------------------------

DEBUG = read_bool("DEBUG", False)
SECRET_KEY = env.str("SECRET_KEY", "insecure-development-key" if DEBUG else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "Set SECRET_KEY. For the site of `make demo` or `make run`, use `make manage ARGS=…`."
    )
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
# The web process runs requests in threads that it keeps: see imports.live.request_threads.
DATABASES["default"]["CONN_MAX_AGE"] = 600
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

REDIS_URL = env.str("REDIS_URL", "redis://localhost:6379/0")
TIME_ZONE = env.str("TIME_ZONE", "UTC")
LOG_LEVEL = env.str("LOG_LEVEL", "INFO").upper()
if LOG_LEVEL not in LOG_LEVELS:
    raise ImproperlyConfigured(f"LOG_LEVEL must be one of {', '.join(LOG_LEVELS)}.")

# --- Imports -----------------------------------------------------------------

# A setting of the app that is a number, a switch or a text can be set by an environment variable
# of its name.
# Limits of the reader process and timeouts of the database have one variable for each entry.
IMPORTS_REDIS_URL = REDIS_URL
globals().update(
    read_app_settings(list_settings(), excluded=["IMPORTS_REDIS_URL", "IMPORTS_TRUSTED_PROXIES"])
)
IMPORTS_READER_LIMITS = {
    name: read_int(f"IMPORTS_READER_{name.upper()}", limit)
    for name, limit in AppSettings.READER_LIMITS.default.items()
}
IMPORTS_DATABASE_TIMEOUTS = {
    "lock_timeout": read_duration("IMPORTS_LOCK_TIMEOUT", "500ms"),
    "statement_timeout": read_duration("IMPORTS_STATEMENT_TIMEOUT", "30s"),
    "idle_in_transaction_session_timeout": read_duration("IMPORTS_IDLE_TIMEOUT", "10s"),
}

# --- Customers ---------------------------------------------------------------

CUSTOMERS_PHONE_REGION = env.str("CUSTOMERS_PHONE_REGION", "GH")

# The earlier contract checks a file, or imports a short list of customers, inside the request.
EXCEL_UPLOAD_MAX_BYTES = read_int("EXCEL_UPLOAD_MAX_BYTES", 5 * MEGABYTES)
EXCEL_UPLOAD_MAX_ROWS = read_int("EXCEL_UPLOAD_MAX_ROWS", 10_000)
EXCEL_MAX_CUSTOMERS = read_int("EXCEL_MAX_CUSTOMERS", 50_000)
EXCEL_MAX_LIST_BYTES = read_int("EXCEL_MAX_LIST_BYTES", 32 * MEGABYTES)
EXCEL_SYNC_MAX_CUSTOMERS = read_int("EXCEL_SYNC_MAX_CUSTOMERS", 500)
# Number of these requests that a web process handles at the same time.
EXCEL_MAX_CONCURRENT_REQUESTS = read_int("EXCEL_MAX_CONCURRENT_REQUESTS", 2)
EXCEL_READER_LIMITS = IMPORTS_READER_LIMITS | {
    "memory_bytes": 200 * MEGABYTES,
    "cpu_seconds": min(4, IMPORTS_READER_LIMITS["cpu_seconds"]),
    "wall_seconds": 4,
    "inflated_bytes": 64 * MEGABYTES,
    "rows": EXCEL_UPLOAD_MAX_ROWS + 100,  # Allow for title rows and blank rows.
}

# --- The application ---------------------------------------------------------

INSTALLED_APPS = [
    "daphne",
    # Before other apps, so that none of their translations replaces a text of these two.
    "imports",
    "customers",
    "config.apps.SiteConfig",
    "config.apps.SiteAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.postgres",  # For the fields of the app `imports`.
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
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
]
MIDDLEWARE = [
    "imports.request_ids.add_request_id",  # First, for responses that other middleware makes.
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.login_limits.LoginMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # First: it refuses before a password is checked.
    "django.contrib.auth.backends.ModelBackend",
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
                "config.second_factor.make_second_factor_context",
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
}
# For the fields of a form, without files. Anonymous users may send forms to the log-in page, and a
# form may take fifty times its size in memory while it is parsed.
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024
FILE_UPLOAD_HANDLERS = ["config.upload_handler.UserUploadHandler"]

# Holds the request counts of throttling, separately in each process.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

# --- E-mail ------------------------------------------------------------------

# Such as smtp+tls://user:password@mail.example.com:587. Without it, Django's default applies.
email_settings = env.email_url("EMAIL_URL") if env.str("EMAIL_URL", "") else {}
email_settings["EMAIL_TIMEOUT"] = 10
if django.VERSION >= (6, 1):  # It deprecates the settings EMAIL_….
    MAILERS = {"default": make_mailer(email_settings)}
else:
    globals().update(email_settings)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "imports@localhost")

# --- Security ----------------------------------------------------------------

SECURE_SSL_REDIRECT = HTTPS_ONLY
# Number of proxies whose X-Forwarded-For is trusted. Hosting platforms have one. Without a proxy,
# clients send X-Forwarded-For and X-Forwarded-Proto themselves, so both must be ignored.
IMPORTS_TRUSTED_PROXIES = read_int("TRUSTED_PROXIES", 1 if HTTPS_ONLY else 0)
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS_ONLY and IMPORTS_TRUSTED_PROXIES else None
)
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS_ONLY else 0
# SECURE_HSTS_INCLUDE_SUBDOMAINS and SECURE_HSTS_PRELOAD bind other hosts of the domain, so they are
# the decision of whoever owns the domain, not of this site.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "config.errors.csrf_failure"

# --- Log-ins: config/login_limits.py -----------------------------------------

AXES_HANDLER = "config.login_limits.LoginHandler"
AXES_USERNAME_CALLABLE = "config.login_limits.get_login_name"
AXES_CLIENT_IP_CALLABLE = "config.login_limits.get_login_address"
AXES_LOCKOUT_CALLABLE = "config.login_limits.make_lockout_response"
# With other parameters, a log-in to an account of the attacker would reset the count of others.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = read_int("LOGIN_FAILURES", 5)
AXES_COOLOFF_TIME = timedelta(minutes=read_int("LOGIN_COOLOFF_MINUTES", 15))
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # A lock ends, whatever an attacker does.
AXES_DISABLE_ACCESS_LOG = True  # The handler stores one row for each user and address.
AXES_VERBOSE = False  # Log neither names nor addresses.
LOGIN_FAILURES_PER_ADDRESS = read_int("LOGIN_FAILURES_PER_ADDRESS", 50)
LOGIN_FAILURES_PER_ACCOUNT = read_int("LOGIN_FAILURES_PER_ACCOUNT", 20)
LOGIN_ACCOUNT_PERIOD = timedelta(minutes=read_int("LOGIN_ACCOUNT_MINUTES", 60))
SILENCED_SYSTEM_CHECKS += ["axes.W002"]  # It does not recognize LoginMiddleware.
LOGIN_KNOWN_DAYS = read_int("LOGIN_KNOWN_DAYS", 30)

# --- The second factor of staff: config/second_factor.py ---------------------

ADMIN_SECOND_FACTOR = read_bool("ADMIN_SECOND_FACTOR", False)
OTP_TOTP_ISSUER = ALLOWED_HOSTS[0] if ALLOWED_HOSTS else "imports"  # What the app shows.
OTP_ADMIN_HIDE_SENSITIVE_DATA = True  # The admin shows neither keys nor backup codes.

# --- REST --------------------------------------------------------------------

# The views of the API name their own classes; only the OpenAPI description is configured here.
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
# For each user; logins are counted for each IP address.
IMPORTS_THROTTLE_RATES = {
    "reads": read_rate("THROTTLE_READS", "1200/min"),
    "writes": read_rate("THROTTLE_WRITES", "120/min"),
    "logins": read_rate("THROTTLE_LOGINS", "20/min"),
}
SIMPLE_JWT = {
    # Long, because scripts written for the earlier system log in only once.
    "ACCESS_TOKEN_LIFETIME": timedelta(hours=read_int("ACCESS_TOKEN_HOURS", 12)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=read_int("REFRESH_TOKEN_DAYS", 30)),
    # Separate from SECRET_KEY, and long enough for any SECRET_KEY.
    "SIGNING_KEY": sha256(f"tokens:{SECRET_KEY}".encode()).hexdigest(),
    "USER_AUTHENTICATION_RULE": "config.second_factor.may_have_tokens",
    "CHECK_REVOKE_TOKEN": True,  # Changing the password revokes all tokens.
}
# Credentials are not allowed: a page of another site cannot use a person's session.
CORS_URLS_REGEX = r"^/api/"
CORS_EXPOSE_HEADERS = [
    "Content-Disposition",
    "ETag",
    "Location",
    "Retry-After",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-ID",
]
CORS_ALLOW_HEADERS = [
    "accept",
    "authorization",
    "cache-control",
    "content-type",
    "idempotency-key",
    "if-none-match",
    "last-event-id",
    "x-csrftoken",
    "x-request-id",
]

# --- Background jobs ---------------------------------------------------------

# The app adds the middleware that it needs, and has the same options in imports.broker.
DRAMATIQ_BROKER = {
    "BROKER": "imports.redis_broker.NotifyingRedisBroker",
    "OPTIONS": {
        # The broker ignores other options if `url` is given, so the timeouts are part of the URL.
        "url": add_redis_timeouts(REDIS_URL, REDIS_TIMEOUT_SECONDS),
        "namespace": REDIS_NAMESPACE,
        "heartbeat_timeout": REDIS_HEARTBEAT_TIMEOUT_MILLISECONDS,
        "maintenance_chance": REDIS_MAINTENANCE_CHANCE,
    },
    "MIDDLEWARE": ["dramatiq.middleware.TimeLimit"],
}

# --- Logging -----------------------------------------------------------------

LOGGING = build_logging_config(LOG_LEVEL)
