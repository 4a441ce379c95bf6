"""What the commands share: arguments, and a base of commands that control one import."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import BaseCommand, CommandError, CommandParser

from imports.history import Actor, Via
from imports.management.waiting import wait_for_import
from imports.models import ImportJob, TransitionNotAllowed
from imports.permissions import NotPermitted

# Status 1 means that rows, imports or parts of the app need attention; 2, that nothing was done.
USAGE_ERROR = 2


def find_user(username: str) -> AbstractBaseUser:
    """Return the user with this name.

    Raises:
        CommandError: There is no such user, or the user is not active.
    """
    users = get_user_model()
    try:
        user: AbstractBaseUser = users._default_manager.get_by_natural_key(username)
    except users.DoesNotExist:
        raise CommandError(
            f"There is no user {username!r}. Give the {users.USERNAME_FIELD} of a user.",
            returncode=USAGE_ERROR,
        ) from None
    if not user.is_active:
        raise CommandError(f"The user {username!r} is not active.", returncode=USAGE_ERROR)
    return user


def find_import(job_id: UUID) -> ImportJob:
    """Return the import with this id.

    Raises:
        CommandError: There is no such import.
    """
    job = ImportJob.objects.defer(*ImportJob.LARGE_FIELDS).filter(pk=job_id).first()
    if job is None:
        raise CommandError(
            f"There is no import {job_id}. `imports_status` lists the imports.",
            returncode=USAGE_ERROR,
        )
    return job


class ControlCommand(BaseCommand):
    """Base of the commands that control one import. The history of the import names the command."""

    # Whether the import makes progress after the command, so that `--wait` has a meaning.
    can_wait = False

    def control(self, job: ImportJob, by: Actor) -> ImportJob:
        """Give the command, and return the updated import, or the new import that it created.

        Raises:
            TransitionNotAllowed: The import does not allow it now.
            NotPermitted: The importer does not allow it to the user of `by`.
        """
        raise NotImplementedError

    def describe_result(self, job: ImportJob) -> str:
        """Return the sentence that says what was done. `job` is what `control` has returned."""
        raise NotImplementedError

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job_id", type=UUID, metavar="ID", help="The id of the import.")
        parser.add_argument(
            "--user",
            metavar="USERNAME",
            help="Who gives the command: the user needs the permission, and the history of the "
            "import names the user. (default: nobody, and no permission is checked)",
        )
        if self.can_wait:
            parser.add_argument(
                "--wait",
                action="store_true",
                help="Wait until the import has ended, and show its progress. The exit status is 0 "
                "if it succeeded and no row failed, otherwise 1.",
            )

    def handle(
        self, *, job_id: UUID, user: str | None = None, wait: bool = False, **options: Any
    ) -> None:
        job = find_import(job_id)
        by = Actor(None if user is None else find_user(user), Via.COMMAND_LINE)
        try:
            job = self.control(job, by)
        except (TransitionNotAllowed, NotPermitted) as error:
            raise CommandError(f"{error} (code: {error.code})", returncode=USAGE_ERROR) from error
        self.stdout.write(self.describe_result(job))
        if wait:
            wait_for_import(job.pk, self.stdout)
