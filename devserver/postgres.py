"""The development PostgreSQL: programs from a wheel, own data folder, Unix socket only.

Only the programs of the wheel are used. The wheel's own start-up code leaves servers running and
changes the permissions of folders that it did not create.
"""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import closing
from pathlib import Path

from django.db.backends.postgresql.base import Database

from devserver.binaries import find_postgres_binaries
from devserver.paths import Paths, change_owner
from devserver.processes import ENVIRONMENT_MARK, Child, run_to_end

DEV_NULL = Path(os.devnull)
USER = "imports"
DATABASE = "imports"

# With the builtin locale, sorting and case conversion do not depend on the machine's C library.
INITDB_OPTIONS = [
    f"--username={USER}",
    "--auth=trust",  # Only the owner can enter the folder of the socket.
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
]
# For data that may be lost when the machine fails: no write waits for the disk.
NON_DURABLE_OPTIONS = ["-c", "fsync=off", "-c", "full_page_writes=off"]


def get_url(paths: Paths, database: str = DATABASE) -> str:
    """Return the server's URL in a form that libpq and django-environ both accept."""
    return f"postgres://{USER}@/{database}?host={paths.sockets}"


def make_server(paths: Paths, *, durable: bool = True) -> Child:
    """Return the server, not yet started. Creates its data folder if there is none.

    Raises: StartupError.
    """
    data = paths.servers / "postgres"
    if not data.exists():
        create_cluster(paths, data)
    # PostgreSQL refuses to start while a process has the ID in this file. The caller holds the
    # lock and has stopped all orphans, so a process with that ID is another program.
    (data / "postmaster.pid").unlink(missing_ok=True)
    return Child(
        "PostgreSQL",
        [
            str(find_postgres_binaries(paths) / "postgres"),
            "-D",
            str(data),
            *make_options(paths),
            *([] if durable else NON_DURABLE_OPTIONS),
        ],
        make_environment(paths),
        log=paths.logs / "postgres.log",
        account=paths.account,
        is_ready=lambda: is_ready(paths),
        stop_signal=signal.SIGINT,  # Fast shutdown: disconnect the clients.
        stop_timeout_seconds=30,
    )


def make_options(paths: Paths) -> list[str]:
    options = [
        "listen_addresses=",
        f"unix_socket_directories={paths.sockets}",
        "unix_socket_permissions=0700",
        # Errors of clients are not logged: their texts, details and statements may contain personal
        # data. The client reports them without these.
        "log_min_messages=log",
        "log_error_verbosity=terse",
        "log_min_error_statement=panic",
    ]
    return [word for option in options for word in ("-c", option)]


def create_cluster(paths: Paths, data: Path) -> None:
    """Create a database cluster under another name, then rename it.

    A cluster whose creation was interrupted is therefore never used.
    """
    cluster = data.with_name("postgres.new")
    shutil.rmtree(cluster, ignore_errors=True)
    cluster.mkdir(mode=0o700)
    change_owner(cluster, paths.account)
    run_program(paths, "initdb", "-D", str(cluster), "--no-sync", *INITDB_OPTIONS)
    create = paths.servers / "create.sql"
    create.write_text(f"CREATE DATABASE {DATABASE}\n")
    run_program(paths, "postgres", "--single", "-D", str(cluster), "postgres", stdin=create)
    create.unlink()
    cluster.rename(data)


def run_program(paths: Paths, program: str, *arguments: str, stdin: Path = DEV_NULL) -> None:
    """Run a program of PostgreSQL as the servers' account. Raises: StartupError."""
    run_to_end(
        Child(
            program,
            [str(find_postgres_binaries(paths) / program), *arguments],
            make_environment(paths),
            stdin=stdin,
            log=paths.logs / "postgres.log",
            account=paths.account,
        )
    )


def make_environment(paths: Paths) -> dict[str, str]:
    """Return an environment without the user's PG… variables, which would change the server."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", ENVIRONMENT_MARK: str(paths.var)}


def is_ready(paths: Paths) -> bool:
    try:
        with closing(Database.connect(get_url(paths), connect_timeout=2)):
            return True
    except Database.OperationalError:
        return False
