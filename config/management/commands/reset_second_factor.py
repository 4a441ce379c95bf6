"""`manage.py reset_second_factor`: a code that is valid once, for a first app or after a loss."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.urls import reverse

from config.second_factor import reset_second_factor
from imports.management.base import find_user


class Command(BaseCommand):
    help = (
        "Deletes the authenticator app and the backup codes of a user, and prints a code that is "
        "valid once. The user logs in with it and the password, and sets up an app."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="the name with which the user logs in")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(reset_second_factor(find_user(options["username"])))
        self.stdout.write(
            f"Log in at {reverse('login')} with your name, your password and this code. "
            "It is valid once."
        )
        self.stdout.write(
            "On the page that opens, scan the QR code with an authenticator app, and enter the six "
            "digits that the app shows."
        )
        if not settings.ADMIN_SECOND_FACTOR:
            self.stdout.write("The site asks for the code as soon as ADMIN_SECOND_FACTOR is on.")
