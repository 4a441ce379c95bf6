"""Folders of the servers, and the account that runs them.

PostgreSQL refuses to run as root. If the supervisor runs as root, the servers run as an account
without privileges. That account must be able to enter the servers' folder. If it cannot enter the
project, the servers' folder is created outside of the project. The permissions of folders that
this package did not create are never changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOCKET_FOLDER_NAME = re.compile(r"imports-\w{8}")  # As `tempfile.mkdtemp` creates it.
SHARED_TEMP = Path("/var/tmp")
MAX_SOCKET_FOLDER_CHARS = 80  # The path of a Unix socket is limited to 104 to 108 bytes.


class StartupError(Exception):
    """Something outside of this package prevents the start. The message says what to do."""


@dataclass(frozen=True)
class Paths:
    """Folders of one supervisor, and the account of its servers (None: the current account)."""

    var: Path
    servers: Path
    sockets: Path
    account: pwd.struct_passwd | None

    @property
    def logs(self) -> Path:
        return self.var / "log"


@contextmanager
def prepared_paths(var: Path) -> Iterator[Paths]:
    """Create the folders that are missing. The sockets' folder is removed at the end.

    Raises: StartupError.
    """
    account = find_unprivileged_account()
    make_folder(make_folder(var) / "log")
    servers = make_servers_folder(var, account)
    remove_socket_folder(var)
    sockets = make_socket_folder(account)
    (var / "sockets").write_text(str(sockets))
    try:
        yield Paths(var, servers, sockets, account)
    finally:
        remove_socket_folder(var)


def find_running_paths(var: Path) -> Paths:
    """Return the folders of the supervisor that runs in `var`.

    Raises: StartupError if none runs.
    """
    try:
        with exclusive_lock(var, "a check whether the site is running"):
            pass
    except StartupError:
        account = find_unprivileged_account()
        sockets = Path((var / "sockets").read_text())
        return Paths(var, make_servers_folder(var, account), sockets, account)
    raise StartupError("The site is not running. Start it with `make run` in another terminal.")


@contextmanager
def temporary_paths() -> Iterator[Paths]:
    """Create all folders in a temporary folder, which is removed at the end.

    Raises: StartupError.
    """
    account = find_unprivileged_account()
    folder = Path(tempfile.mkdtemp(prefix="imports-", dir=find_temp_folder(account)))
    try:
        folder.chmod(0o711)
        with prepared_paths(folder) as paths:
            yield paths
    finally:
        shutil.rmtree(folder)


@contextmanager
def exclusive_lock(var: Path, owner: str) -> Iterator[None]:
    """Hold the lock of a folder. The kernel releases it even if this process is killed.

    `owner` describes this process in the message that a second process gets.

    Raises: StartupError if another process holds the lock.
    """
    make_folder(var)
    with (var / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StartupError(f"Already running: {lock.read()}") from None
        lock.truncate(0)
        lock.write(f"{owner}, process {os.getpid()}.")
        lock.flush()
        yield


def find_unprivileged_account() -> pwd.struct_passwd | None:
    """Return the account of the servers if this process is root. None: the current account.

    Raises: StartupError if no suitable account exists.
    """
    if os.geteuid() != 0:
        return None
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in accounts:
            return accounts[name]
    raise StartupError("PostgreSQL refuses to run as root. Run this command as another user.")


def make_servers_folder(var: Path, account: pwd.struct_passwd | None) -> Path:
    if account is None or is_open_to_all(var):
        return make_folder(var / "servers")
    return make_folder(get_external_folder(var))


def get_external_folder(var: Path) -> Path:
    """Return the servers' folder outside of the project. It is always the same for one project."""
    return SHARED_TEMP / f"imports-{hashlib.sha256(str(var).encode()).hexdigest()[:16]}"


def make_folder(folder: Path) -> Path:
    """Create a folder that other users can enter, or check that it exists with safe permissions.

    Raises: StartupError if the folder belongs to another user or if others can write to it.
    """
    try:
        folder.mkdir(parents=True)
        folder.chmod(0o711)
    except FileExistsError:
        info = folder.lstat()
        if info.st_uid != os.geteuid() or not stat.S_ISDIR(info.st_mode) or info.st_mode & 0o022:
            raise StartupError(
                f"{folder} belongs to another user, or other users can write to it. "
                "Check who created it, and remove it."
            ) from None
    return folder


def make_socket_folder(account: pwd.struct_passwd | None) -> Path:
    """Create a private folder with a short path.

    Whoever can open a socket in the folder can log in to the servers without a password.
    """
    folder = Path(tempfile.mkdtemp(prefix="imports-", dir=find_temp_folder(account)))
    change_owner(folder, account)
    return folder


def read_socket_folder(var: Path) -> list[Path]:
    """Return the recorded folder of the sockets, or an empty list if there is none.

    The folder may be that of a run that was killed.
    """
    record = var / "sockets"
    folder = Path(record.read_text() if record.exists() else "")
    # The record may be truncated and name another folder, and the folder is going to be removed.
    is_valid = folder.is_absolute() and SOCKET_FOLDER_NAME.fullmatch(folder.name)
    return [folder] if is_valid else []


def remove_socket_folder(var: Path) -> None:
    for folder in read_socket_folder(var):
        shutil.rmtree(folder, ignore_errors=True)
    (var / "sockets").unlink(missing_ok=True)


def list_server_folders(var: Path) -> list[Path]:
    """Return every folder on which this or an earlier run may have started servers."""
    return [var / "servers", get_external_folder(var), *read_socket_folder(var)]


def remove_all(var: Path) -> None:
    """Remove the servers' folders and `var`."""
    for folder in (*list_server_folders(var), var):
        shutil.rmtree(folder, ignore_errors=True)


def find_temp_folder(account: pwd.struct_passwd | None) -> Path:
    """Return a folder for temporary folders that `account` can enter and whose path is short.

    Raises: StartupError.
    """
    for folder in (Path(tempfile.gettempdir()), Path("/tmp"), SHARED_TEMP):
        is_short = len(str(folder)) < MAX_SOCKET_FOLDER_CHARS - len("/imports-12345678")
        if folder.is_dir() and is_short and (account is None or is_open_to_all(folder)):
            return folder
    raise StartupError("There is no temporary folder that other users may enter.")


def is_open_to_all(folder: Path) -> bool:
    """Return whether every user can open a file in the folder if they know its name."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def change_owner(folder: Path, account: pwd.struct_passwd | None) -> None:
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
