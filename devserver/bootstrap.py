"""Migrate the database, and create the user demo / demo if asked.

`python -m devserver.bootstrap [--demo-user]` runs as a separate process, because Django can be set
up only after the database responds.
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
        create_demo_user()


def create_demo_user() -> None:
    """Create a superuser with a known password, unless it exists.

    Only safe for a server that listens on this machine's loopback address.
    """
    from django.contrib.auth.models import User

    if not User.objects.filter(username="demo").exists():
        User.objects.create_superuser("demo", "demo@example.com", "demo")


if __name__ == "__main__":
    main()
