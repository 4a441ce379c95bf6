"""Settings of a project without the optional packages of the API."""

SECRET_KEY = "only-for-tests"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_dramatiq",
    "rest_framework",
    "imports",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "not_used"}}
DRAMATIQ_BROKER = {
    "BROKER": "dramatiq.brokers.stub.StubBroker",
    "MIDDLEWARE": ["dramatiq.middleware.TimeLimit"],
}
ROOT_URLCONF = "tests.hostile.minimal_urls"
USE_TZ = True
