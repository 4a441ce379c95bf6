"""Brings the database up to date; on the embedded one makes the user demo / demo.

`python -m devserver.bootstrap [--demo-user]`, in a process of its own because Django
can be set up only once the database answers.
"""

import os
import sys

import django
from django.core.management import call_command


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    call_command("migrate", verbosity=1)
    if "--demo-user" in sys.argv:
        make_demo_user()


def make_demo_user() -> None:
    """A password everyone knows: only for a server that listens on this machine alone."""
    from django.contrib.auth import get_user_model

    users = get_user_model().objects
    if not users.filter(username="demo").exists():
        users.create_superuser("demo", "demo@example.com", "demo")


if __name__ == "__main__":
    main()
