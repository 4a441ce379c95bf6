"""Settings of a project in which no default of Django REST framework fits the API."""

from tests.settings import *  # noqa: F403
from tests.settings import MIDDLEWARE

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.BrowsableAPIRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FileUploadParser"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 1,
    "DEFAULT_FILTER_BACKENDS": ["tests.hostile.rest.NoRecords"],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"user": "1/day"},
    "NUM_PROXIES": 3,
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.URLPathVersioning",
    "ALLOWED_VERSIONS": ["v7"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "tests.hostile.rest.NoNegotiation",
    "DEFAULT_SCHEMA_CLASS": "rest_framework.schemas.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "tests.hostile.rest.handle_exception",
    "NON_FIELD_ERRORS_KEY": "__all__",
    "URL_FORMAT_OVERRIDE": "search",
    "FORMAT_SUFFIX_KWARG": "pk",
    "DATETIME_FORMAT": "%d.%m.%Y",
    "DATETIME_INPUT_FORMATS": ["%d.%m.%Y"],
    "COMPACT_JSON": False,
    "UNICODE_JSON": False,
    "UNAUTHENTICATED_USER": None,
}
TIME_ZONE = "Asia/Kathmandu"
MIDDLEWARE = [each for each in MIDDLEWARE if "LocaleMiddleware" not in each]
LANGUAGE_CODE = "fr"
ROOT_URLCONF = "tests.hostile.urls"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
