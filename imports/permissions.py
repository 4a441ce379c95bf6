"""Who may do what to imports and to what they wrote: the only place that decides."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.db.models import Model, QuerySet

from imports.models import ImportJob
from imports.provenance import find_written_records

User = AbstractUser | AnonymousUser


def can_import(user: User) -> bool:
    return user.has_perm("imports.add_importjob")


def get_visible_imports(user: User) -> QuerySet[ImportJob]:
    """Imports the user may list, read and stream."""
    return ImportJob.objects.all() if can_view_all(user) else _own(user)


def can_view_all(user: User) -> bool:
    return user.has_perm("imports.view_all") or user.has_perm("imports.control_all")


def find_earlier_import_of_same_file(user: User, job: ImportJob) -> ImportJob | None:
    """The newest earlier import of this very file that the user may see."""
    alike = get_visible_imports(user).filter(file_digest=job.file_digest, importer=job.importer)
    earlier = alike.exclude(file_digest="").filter(created_at__lt=job.created_at)
    return earlier.order_by("-created_at").first()


def get_controllable_imports(user: User) -> QuerySet[ImportJob]:
    """Imports the user may start, stop and change."""
    if user.has_perm("imports.control_all"):
        return ImportJob.objects.all()
    return _own(user)


def get_visible_records(user: User, model: type[Model]) -> QuerySet[Model]:
    """Records of an imported model: all, or those that the user's own imports have written.

    Seeing or controlling every import is no right to what they wrote.
    """
    meta = model._meta
    if user.has_perm(f"{meta.app_label}.view_{meta.model_name}"):
        return model._default_manager.all()
    return find_written_records(_own(user), model)


def _own(user: User) -> QuerySet[ImportJob]:
    if not can_import(user):
        return ImportJob.objects.none()
    return ImportJob.objects.filter(owner=user.pk)
