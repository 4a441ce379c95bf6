"""The embedded PostgreSQL: programs from a wheel, data in our folder, a unix socket only.

Of the wheel only the programs are used. Its own life cycle leaves servers behind and opens
the permissions of folders that are not its own.
"""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import closing
from pathlib import Path

import psycopg2

from devserver.binaries import postgres_programs
from devserver.paths import Home, give
from devserver.processes import MARK, Child, run_to_end

NOTHING = Path(os.devnull)
USER = DATABASE = "imports"

# The same order and the same upper case on every machine, whatever its C library knows.
INITDB = [
    f"--username={USER}",
    "--auth=trust",  # The socket lies in a folder that only its owner can enter.
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
]
# For data that need not outlive the machine: nothing waits for the disk.
THROWAWAY = ["-c", "fsync=off", "-c", "full_page_writes=off"]


def get_url(home: Home, database: str = DATABASE) -> str:
    """A form that libpq and django-environ both understand."""
    return f"postgres://{USER}@/{database}?host={home.sockets}"


def make_server(home: Home, *, durable: bool = True) -> Child:
    """The server on our data, made first where there is none."""
    data = home.servers / "postgres"
    if not data.exists():
        make_data(home, data)
    # While any process has the pid of its last life PostgreSQL refuses to start. We hold
    # the lock and have stopped leftovers, so whoever has it now is a stranger.
    (data / "postmaster.pid").unlink(missing_ok=True)
    return Child(
        "PostgreSQL",
        [str(postgres_programs(home) / "postgres"), "-D", str(data), *socket_only(home)]
        + ([] if durable else THROWAWAY),
        environment(home),
        log=home.logs / "postgres.log",
        account=home.account,
        is_ready=lambda: is_ready(home),
        stop_signal=signal.SIGINT,  # Fast: it does not wait for clients to leave.
        patience_seconds=30,
    )


def socket_only(home: Home) -> list[str]:
    return [
        *("-c", "listen_addresses="),
        *("-c", f"unix_socket_directories={home.sockets}"),
        *("-c", "unix_socket_permissions=0700"),
        # Errors are logged without the row and the statement, which hold people's data.
        *("-c", "log_error_verbosity=terse"),
        *("-c", "log_min_error_statement=panic"),
    ]


def make_data(home: Home, data: Path) -> None:
    """Make a database cluster under another name first: one cut short is never used."""
    made = data.with_name("postgres.new")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(mode=0o700)
    give(made, home.account)
    run_as_server(home, "initdb", "-D", str(made), "--no-sync", *INITDB)
    create = home.servers / "create.sql"
    create.write_text(f"CREATE DATABASE {DATABASE}\n")
    run_as_server(home, "postgres", "--single", "-D", str(made), "postgres", stdin=create)
    create.unlink()
    made.rename(data)


def run_as_server(home: Home, program: str, *arguments: str, stdin: Path = NOTHING) -> None:
    run_to_end(
        Child(
            program,
            [str(postgres_programs(home) / program), *arguments],
            environment(home),
            stdin=stdin,
            log=home.logs / "postgres.log",
            account=home.account,
        )
    )


def environment(home: Home) -> dict[str, str]:
    """Nothing of ours: PG… variables of the user would change what the server does."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", MARK: str(home.var)}


def is_ready(home: Home) -> bool:
    try:
        with closing(psycopg2.connect(get_url(home), connect_timeout=2)):
            return True
    except psycopg2.OperationalError:
        return False
