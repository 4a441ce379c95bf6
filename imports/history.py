"""The history of an import: every command that someone gave, by whom, when and in which way.

A command and its entry in the history are one transaction. The history holds no data of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class Command(models.TextChoices):
    """What someone did with an import."""

    UPLOAD = "upload", _("Uploaded the file")
    CHANGE = "change", _("Changed options")
    START = "start", _("Started the import")
    PAUSE = "pause", _("Paused the import")
    RESUME = "resume", _("Resumed the import")
    CANCEL = "cancel", _("Cancelled the import")
    RETRY = "retry", _("Retried the import")
    UNDO = "undo", _("Started to undo the import")
    DELETE = "delete", _("Deleted the file and the rows")
    DOWNLOAD = "download", _("Downloaded data")
    ERASE = "erase", _("Erased the data of a person")


class Via(models.TextChoices):
    """The way in which a command came."""

    PAGE = "page", _("page")
    REST = "rest", _("REST API")
    ADMIN = "admin", _("admin")
    COMMAND_LINE = "command_line", _("command line")
    PYTHON = "python", _("code of the project")
    SYSTEM = "system", _("the system")


class Actor(NamedTuple):
    """Who gives a command, and in which way. `user` is None if no user is known."""

    user: AbstractBaseUser | None
    via: Via


# Ways in which a command may name no user.
USERLESS_WAYS = frozenset({Via.COMMAND_LINE, Via.PYTHON})
# In the details of a download: the file as it was uploaded. Other files are named by their address.
ORIGINAL_FILE = "original"
# An export of what the import holds about one person.
PERSON_EXPORT = "person"

# For calls of the Python API that name no actor.
PYTHON = Actor(None, Via.PYTHON)
# For what workers do by themselves, such as the deletion of old rows.
SYSTEM = Actor(None, Via.SYSTEM)


class ImportEvent(models.Model):
    """A command, as the history of an import keeps it."""

    job = models.ForeignKey("imports.ImportJob", models.CASCADE, related_name="events")
    at = models.DateTimeField(_("time"), db_default=Now())
    command = models.CharField(_("command"), max_length=8, choices=Command)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("user"),
    )
    via = models.CharField(_("way"), max_length=12, choices=Via)
    # What the command was about, for example {"options": ["sheet"]}. Never values of rows.
    details = models.JSONField(_("details"), default=dict)

    class Meta:
        ordering = ("at", "pk")
        verbose_name = _("event")
        verbose_name_plural = _("events")

    def __str__(self) -> str:
        return f"{self.command} {self.job_id}"

    @property
    def user_label(self) -> str:
        """Who gave the command, in the active language; "" if no user was named. Reads the user."""
        if self.user is not None:
            return self.user.get_username()
        if self.via == Via.SYSTEM:
            return gettext("the system")
        # Only code and the command line may name no user, except for an upload.
        if self.via in USERLESS_WAYS and self.command != Command.UPLOAD:
            return ""
        return gettext("deleted user")

    @property
    def source_label(self) -> str:
        """Who gave the command, and in which way, in the active language. Reads the user."""
        way = self.get_via_display()
        return way if self.user_label in {"", way} else f"{self.user_label}, {way}"

    @property
    def details_label(self) -> str:
        """What the command was about, in the active language; "" if there is nothing to add."""
        if self.command == Command.DOWNLOAD:
            file = str(self.details.get("file", ""))
            labels = {
                ORIGINAL_FILE: gettext("the uploaded file"),
                PERSON_EXPORT: gettext("the data of a person"),
            }
            return labels.get(file, file)
        if self.command == Command.CHANGE:
            labels = {field.name: str(field.verbose_name) for field in self.job._meta.fields}
            return ", ".join(labels.get(name, name) for name in self.details.get("options", []))
        return ""


def record_event(
    job_id: UUID, command: Command, actor: Actor, details: Mapping[str, Any] | None = None
) -> None:
    """Add a command to the history of an import. Call it in the transaction of the command."""
    ImportEvent.objects.create(
        job_id=job_id,
        command=command,
        user_id=None if actor.user is None else actor.user.pk,
        via=actor.via,
        details=dict(details or {}),
    )
