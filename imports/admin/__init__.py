"""The admin of imports, batches and workers. Django's autodiscovery imports this package.

The classes are registered with the default site. Another site registers them itself, all three
together, because their pages link to each other::

    from imports import admin, models

    site.register(models.ImportJob, admin.ImportJobAdmin)
    site.register(models.ImportBatch, admin.ImportBatchAdmin)
    site.register(models.Worker, admin.WorkerAdmin)
"""

from imports.admin.batches import ImportBatchAdmin
from imports.admin.jobs import ImportJobAdmin
from imports.admin.workers import WorkerAdmin

__all__ = ["ImportBatchAdmin", "ImportJobAdmin", "WorkerAdmin"]
