"""The state that makes the tickets of streams invalid when their user logs out."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import models

# Set on the object of a user, so that a list of imports reads the stamp once.
STAMP_ATTRIBUTE = "_imports_ticket_stamp"


class TicketStamp(models.Model):
    """A text that the tickets of one user contain. A log-out replaces it.

    A user who has never logged out has none.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    stamp = models.UUIDField(default=uuid.uuid4)

    def __str__(self) -> str:
        return str(self.user_id)


def get_ticket_stamp(user: AbstractBaseUser) -> str:
    """Return the text that a valid ticket of the user contains; "" before the first log-out."""
    stamp: str | None = getattr(user, STAMP_ATTRIBUTE, None)
    if stamp is None:
        found = TicketStamp.objects.filter(user=user.pk).values_list("stamp", flat=True).first()
        stamp = "" if found is None else found.hex
        setattr(user, STAMP_ATTRIBUTE, stamp)
    return stamp


def revoke_tickets(user: AbstractBaseUser | None) -> None:
    """Make all tickets of the user invalid, whatever session or token has received them.

    Django calls it at each log-out, see `imports.apps`. Code that revokes tokens calls it too.
    Streams that were opened with a ticket end within twice IMPORTS_STREAM_PING_SECONDS.
    """
    if user is not None and user.pk is not None:
        new = uuid.uuid4()
        TicketStamp.objects.update_or_create(user_id=user.pk, defaults={"stamp": new})
        setattr(user, STAMP_ATTRIBUTE, new.hex)
