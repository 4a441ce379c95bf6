"""Permissions: who may do what with imports and the records they wrote.

No other module decides about permissions.
"""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.db.models import F, Model, Q, QuerySet

from imports.models import ImportJob
from imports.provenance import find_written_records
from imports.value_mask import SHOW_ALL, ValueMask, make_value_mask

User = AbstractUser | AnonymousUser


def can_import(user: User) -> bool:
    return user.has_perm("imports.add_importjob")


def get_visible_imports(user: User) -> QuerySet[ImportJob]:
    """Return the imports that the user may read and stream."""
    return ImportJob.objects.all() if can_view_all(user) else _get_own_imports(user)


def get_listed_imports(user: User) -> QuerySet[ImportJob]:
    """Return the imports that lists show the user: the visible ones that are no previews."""
    return get_visible_imports(user).filter(is_preview=False)


def can_view_all(user: User) -> bool:
    return user.has_perm("imports.view_all") or user.has_perm("imports.control_all")


def find_earlier_import_of_same_file(user: User, job: ImportJob) -> ImportJob | None:
    """Return the newest import of the same file before `job` that the user may see, or None.

    Another import of the file is nothing new for an import that retries failed rows.
    """
    if job.retry_of_id is not None:
        return None
    same = get_listed_imports(user).filter(file_digest=job.file_digest, importer=job.importer)
    earlier = same.exclude(file_digest="").filter(created_at__lt=job.created_at)
    return earlier.order_by("-created_at").first()


def get_controllable_imports(user: User) -> QuerySet[ImportJob]:
    """Return the imports that the user may start, cancel and change."""
    if user.has_perm("imports.control_all"):
        return ImportJob.objects.all()
    return _get_own_imports(user)


def get_visible_records(user: User, model: type[Model]) -> QuerySet[Model]:
    """Return the records of an imported model that the user may see.

    With the model's view permission these are all records, otherwise those that the user's own
    imports have written. A permission for all imports gives no permission for their records.
    """
    meta = model._meta
    if user.has_perm(f"{meta.app_label}.view_{meta.model_name}"):
        return model._default_manager.all()
    return find_written_records(_get_own_imports(user), model)


def get_unread_imports(user: User) -> QuerySet[ImportJob]:
    """Return the user's own imports that have ended since the user last opened their pages."""
    ended = get_listed_imports(user).filter(owner=user.pk, finished_at__isnull=False)
    return ended.filter(Q(seen_at=None) | Q(seen_at__lt=F("finished_at")))


def get_value_mask(user: User, job: ImportJob) -> ValueMask:
    """Return which values of an import are hidden from the user: those of sensitive columns.

    The owner has the file, and sees all of its values. Others need the permission
    `imports.view_sensitive`.
    """
    if job.owner_id is not None and job.owner_id == user.pk:
        return SHOW_ALL
    return get_record_mask(user, job)


def get_record_mask(user: User, job: ImportJob) -> ValueMask:
    """Return which values of existing records are hidden from the user, also from the owner.

    The file of an import does not hold them.
    """
    may_view = user.has_perm("imports.view_sensitive")
    return SHOW_ALL if may_view else make_value_mask(job.importer)


def can_download(user: User, job: ImportJob) -> bool:
    """Return whether the user may download the files of an import: the original and its rows.

    A file is never masked, because it may be corrected and uploaded again. So it is only for those
    from whom nothing is hidden.
    """
    return not get_value_mask(user, job).hides_values


def _get_own_imports(user: User) -> QuerySet[ImportJob]:
    if not can_import(user):
        return ImportJob.objects.none()
    return ImportJob.objects.filter(owner=user.pk)
