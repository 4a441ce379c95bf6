"""`manage.py reset_second_factor`: a code that is valid once, for a first app or after a loss."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config.second_factor import reset_second_factor
from imports.management.base import find_user


class Command(BaseCommand):
    help = (
        "Deletes the authenticator app and the backup codes of a user, and prints a code that is "
        "valid once. With it and the password, the user logs in and sets up an app at "
        "/accounts/second-factor/."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="the name with which the user logs in")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(reset_second_factor(find_user(options["username"])))
