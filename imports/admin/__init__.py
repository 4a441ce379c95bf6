"""The admin's view of imports, of their batches and of the workers; Django looks for it here."""

from imports.admin import batches, jobs, workers  # noqa: F401
