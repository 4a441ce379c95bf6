"""Settings of drf-spectacular: the description of the app together with the calls of customers."""

from imports.api import openapi

INTRODUCTION = """
This API imports customers from spreadsheets. Every uploaded file becomes an import, whose progress
you can follow.
"""
TAGS = [
    *openapi.TAGS,
    {
        "name": "customers",
        "description": "The customers you may see, and the import that wrote each.",
    },
    {
        "name": "earlier contract",
        "description": "The calls of the earlier system, unchanged. A task is an import.",
    },
]
SPECTACULAR_SETTINGS = {
    **openapi.SPECTACULAR_SETTINGS,
    "TITLE": "Customer import",
    "DESCRIPTION": f"{INTRODUCTION}{openapi.GUIDE}",
    "TAGS": TAGS,
    "SCHEMA_PATH_PREFIX": "/api/",
    "ENUM_NAME_OVERRIDES": {"TaskStatus": "customers.api.legacy.results.TASK_STATUSES"},
}
