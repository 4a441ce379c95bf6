"""Permissions: who may do what with imports and the records they wrote.

No other module decides about permissions.

Uploading, starting, changing, resuming, retrying and undoing an import also need the permissions
that its importer asks for. They are asked for when the command is given, and the one who gives it
needs them. An import that starts by itself after its check needs no second permission: the upload
was the decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import F, Model, Q, QuerySet

from imports import error_messages
from imports.history import Actor, Command, Via
from imports.importer import (
    Importer,
    get_importer,
    has_hook,
    is_registered,
    list_importers,
    list_missing_permissions,
    list_missing_undo_permissions,
)
from imports.models import ImportJob
from imports.provenance import find_written_records
from imports.statuses import OnDuplicate, Status
from imports.value_mask import SHOW_ALL, ValueMask, make_value_mask

User = AbstractUser | AnonymousUser

ADD_PERMISSION = "imports.add_importjob"
# Code of the project and workers are trusted: they have decided already.
TRUSTED_WAYS = frozenset({Via.PYTHON, Via.SYSTEM})
# Commands after which rows of the file are written.
WRITING_COMMANDS = frozenset({Command.START, Command.CHANGE, Command.RESUME, Command.RETRY})


class NotPermitted(PermissionDenied):
    """The importer does not allow the user to do this.

    The text says in the active language which permissions are missing. `params` are those of
    `code`, a key of `error_messages.PERMISSION_MESSAGES`.
    """

    def __init__(
        self, code: str, importer: type[Importer], permissions: list[str], **params: Any
    ) -> None:
        self.code = code
        self.params = {
            "importer": importer.name,
            "title": importer.title(),
            "permissions": permissions,
            **params,
        }
        super().__init__(error_messages.describe_missing_permission(code, self.params))


def can_import(user: User) -> bool:
    """Whether the user may import anything at all. The importers decide what."""
    return user.has_perm(ADD_PERMISSION)


def list_policies(user: User, importer: type[Importer]) -> list[OnDuplicate]:
    """Return the duplicate policies that the user may choose; none if the user may not import."""
    return list_allowed_policies(user, importer) if can_import(user) else []


def list_allowed_policies(
    user: AbstractBaseUser | AnonymousUser, importer: type[Importer]
) -> list[OnDuplicate]:
    """Return the duplicate policies that the importer allows the user, who may import at all."""
    if not isinstance(user, AbstractBaseUser):
        return []
    return [policy for policy in OnDuplicate if importer.may_import(user, policy)]


def list_permitted_importers(user: User) -> list[type[Importer]]:
    """Return the importers for which the user may upload files with any duplicate policy."""
    return [importer for importer in list_importers() if list_policies(user, importer)]


def check_any_policy(user: User, importer: type[Importer]) -> None:
    """Check whether the user may upload files for the importer, with any duplicate policy.

    Raises:
        NotPermitted: The user may not (`import_not_permitted`).
    """
    if not list_policies(user, importer):
        raise _make_import_not_permitted(user, importer, OnDuplicate.SKIP)


def check_upload(actor: Actor, importer: type[Importer], on_duplicate: str) -> None:
    """Check whether the actor may upload a file for the importer with this duplicate policy.

    Raises:
        NotPermitted: As `check_import`, and `import_not_permitted` for a user who may not import at
            all.
    """
    user = actor.user
    if user is None or actor.via in TRUSTED_WAYS:
        return
    if not can_import(user):  # type: ignore[arg-type]  # A user model of the app has permissions.
        raise NotPermitted("import_not_permitted", importer, [ADD_PERMISSION])
    check_import(actor, importer, on_duplicate)


def check_import(actor: Actor, importer: type[Importer], on_duplicate: str) -> None:
    """Check whether the actor may import with this duplicate policy.

    Raises:
        NotPermitted: The actor may not import with the importer (`import_not_permitted`), or only
            with other policies (`policy_not_permitted`).
    """
    user = actor.user
    if user is None or actor.via in TRUSTED_WAYS or importer.may_import(user, on_duplicate):
        return
    raise _make_import_not_permitted(user, importer, on_duplicate)


def _make_import_not_permitted(
    user: AbstractBaseUser | AnonymousUser, importer: type[Importer], on_duplicate: str
) -> NotPermitted:
    if isinstance(user, AnonymousUser):
        return NotPermitted("import_not_permitted", importer, [])
    has_own_rule = has_hook(importer, "may_import")
    missing = [] if has_own_rule else list_missing_permissions(importer, user, on_duplicate)
    allowed = [policy.value for policy in list_allowed_policies(user, importer)]
    if not allowed:
        return NotPermitted("import_not_permitted", importer, missing)
    return NotPermitted(
        "policy_not_permitted", importer, missing, on_duplicate=on_duplicate, allowed=allowed
    )


def check_command(
    actor: Actor, job: ImportJob, command: Command, on_duplicate: str | None = None
) -> None:
    """Check whether the importer allows the actor to give the command to the import.

    `on_duplicate` is the policy that the import is going to have; None is the one that it has.

    Raises:
        NotPermitted: It does not. The codes are those of `check_import`, and `undo_not_permitted`.
    """
    if not is_registered(job.importer):
        return  # Nothing can be written. The command says why.
    importer = get_importer(job.importer)
    if command == Command.UNDO or _retries_undo(job, command):
        _check_undo(actor, job, importer)
    elif command in WRITING_COMMANDS:
        check_import(actor, importer, on_duplicate or job.on_duplicate)


def _retries_undo(job: ImportJob, command: Command) -> bool:
    is_failed_undo = job.status == Status.FAILED and job.error_code == "undo_failed"
    return command == Command.RETRY and is_failed_undo


def _check_undo(actor: Actor, job: ImportJob, importer: type[Importer]) -> None:
    user = actor.user
    effects = {"removes": job.created > 0, "restores": job.updated > 0}
    if user is None or actor.via in TRUSTED_WAYS or importer.may_undo(user, **effects):
        return
    has_own_rule = has_hook(importer, "may_undo")
    missing = [] if has_own_rule else list_missing_undo_permissions(importer, user, **effects)
    raise NotPermitted("undo_not_permitted", importer, missing)


def is_permitted(user: User, job: ImportJob, command: Command) -> bool:
    """Whether the importer allows the user to give the command to the import.

    A change of options is allowed if any duplicate policy is: the change may choose it. Whether the
    user controls the import at all is another question: `get_controllable_imports`.
    """
    if not isinstance(user, AbstractBaseUser):
        return False
    if command == Command.CHANGE and is_registered(job.importer):
        return bool(list_allowed_policies(user, get_importer(job.importer)))
    try:
        check_command(Actor(user, Via.PAGE), job, command)
    except NotPermitted:
        return False
    return True


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
    if _may_view_all_records(user, model):
        return model._default_manager.all()
    return find_written_records(_get_own_imports(user), model)


def find_visible_keys(user: User, job: ImportJob, keys: Iterable[str | None]) -> set[str]:
    """Return the keys of the records that the user may see.

    `keys` are the primary keys, as text, of the records that rows of the import wrote or matched;
    None stands for no record. A row can match a record by any unique value. If two rows showed the
    same key, the user would learn that both values belong to one person.
    """
    all_keys = {key for key in keys if key}
    if not all_keys or not is_registered(job.importer):
        return set()
    model = get_importer(job.importer).model
    if _may_view_all_records(user, model):
        return all_keys  # Also the keys of records that were deleted since.
    visible = get_visible_records(user, model).filter(pk__in=all_keys).values_list("pk", flat=True)
    return {str(key) for key in visible}


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


def get_findable_records(user: AbstractBaseUser | None, model: type[Model]) -> QuerySet[Any]:
    """Return the records that a lookup of the user's import may find: those that the user may see.

    `user` is None if the owner of the import was deleted. Then no record is found.
    """
    if user is None:
        return model._default_manager.none()
    return get_visible_records(user, model)  # type: ignore[arg-type]  # As in `check_upload`.


def _may_view_all_records(user: User, model: type[Model]) -> bool:
    return user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")


def _get_own_imports(user: User) -> QuerySet[ImportJob]:
    if not can_import(user):
        return ImportJob.objects.none()
    return ImportJob.objects.filter(owner=user.pk)
