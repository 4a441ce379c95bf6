"""The admin of imports, batches, notices, webhooks and workers.

Django's autodiscovery imports this package.

The classes are registered with the default site. Another site registers them itself, all
together, because their pages link to each other::

    from imports import admin, models

    site.register(models.ImportJob, admin.ImportJobAdmin)
    site.register(models.ImportBatch, admin.ImportBatchAdmin)
    site.register(models.Notice, admin.NoticeAdmin)
    site.register(models.WebhookEndpoint, admin.WebhookEndpointAdmin)
    site.register(models.Worker, admin.WorkerAdmin)
"""

from imports.admin.batches import ImportBatchAdmin
from imports.admin.jobs import ImportJobAdmin
from imports.admin.notices import NoticeAdmin, WebhookEndpointAdmin
from imports.admin.workers import WorkerAdmin

__all__ = [
    "ImportBatchAdmin",
    "ImportJobAdmin",
    "NoticeAdmin",
    "WebhookEndpointAdmin",
    "WorkerAdmin",
]
