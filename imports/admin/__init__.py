"""The admin of imports, batches and workers. Django's autodiscovery imports this package."""

from imports.admin import batches, jobs, workers  # noqa: F401
