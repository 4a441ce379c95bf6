"""Where the embedded servers live, and as whom they run.

PostgreSQL refuses to run as root, so root hands the servers to an account without rights.
That account must reach their folder; where it cannot enter the project, and no permission
of a folder we did not make is ever changed, the folder lies outside.
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

SOCKETS = re.compile(r"imports-\w{8}")  # As mkdtemp makes it.
SHARED_TEMP = Path("/var/tmp")
LONGEST_SOCKET_FOLDER = 80  # The path of a unix socket ends at 104 to 108 bytes.


class CannotRun(Exception):
    """Something outside is in the way; the message says what to do."""


@dataclass(frozen=True)
class Home:
    """Folders of one supervisor, and the account its servers run under."""

    var: Path
    servers: Path
    sockets: Path
    account: pwd.struct_passwd | None

    @property
    def logs(self) -> Path:
        return self.var / "log"


@contextmanager
def home_in(var: Path) -> Iterator[Home]:
    """Make or find the folders; those of the sockets last only as long as the servers."""
    account = unprivileged_account()
    make_folder(make_folder(var) / "log")
    servers = servers_folder(var, account)
    forget_sockets(var)
    sockets = socket_folder(account)
    (var / "sockets").write_text(str(sockets))
    try:
        yield Home(var, servers, sockets, account)
    finally:
        forget_sockets(var)


@contextmanager
def temporary_paths() -> Iterator[Home]:
    """A home in a temporary folder, removed in the end."""
    account = unprivileged_account()
    folder = Path(tempfile.mkdtemp(prefix="imports-", dir=temp_folder(account)))
    try:
        folder.chmod(0o711)
        with home_in(folder) as home:
            yield home
    finally:
        shutil.rmtree(folder)


@contextmanager
def only_one(var: Path, what: str) -> Iterator[None]:
    """Hold the lock of a folder for life; the kernel takes it back however we end."""
    make_folder(var)
    with (var / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotRun(f"It is running already: {lock.read()}") from None
        lock.truncate(0)
        lock.write(f"{what}, process {os.getpid()}.")
        lock.flush()
        yield


def unprivileged_account() -> pwd.struct_passwd | None:
    """Whom the servers run as when we are root; otherwise they run as we do."""
    if os.geteuid() != 0:
        return None
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in accounts:
            return accounts[name]
    raise CannotRun("PostgreSQL refuses to run as root: start this as another user.")


def servers_folder(var: Path, account: pwd.struct_passwd | None) -> Path:
    """Beside our other files, or in shared temporary space where the account cannot enter."""
    if account is None or anyone_may_enter(var):
        return make_folder(var / "servers")
    return make_folder(folder_outside(var))


def folder_outside(var: Path) -> Path:
    """The same for the same project, so that its data is found again."""
    return SHARED_TEMP / f"imports-{hashlib.sha256(str(var).encode()).hexdigest()[:16]}"


def make_folder(folder: Path) -> Path:
    """Make a folder others may pass through, or make sure that the one there is ours."""
    try:
        folder.mkdir(parents=True)
        folder.chmod(0o711)
    except FileExistsError:
        found = folder.lstat()
        if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
            raise CannotRun(f"{folder} is not ours alone: remove it or look who made it.") from None
    return folder


def socket_folder(account: pwd.struct_passwd | None) -> Path:
    """A short, private folder: who can open it may log in without a password."""
    folder = Path(tempfile.mkdtemp(prefix="imports-", dir=temp_folder(account)))
    give(folder, account)
    return folder


def noted_sockets(var: Path) -> list[Path]:
    """The socket folder of this life, or of one that was killed."""
    note = var / "sockets"
    folder = Path(note.read_text() if note.exists() else "")
    # A note cut short names some other folder, and what it names is removed.
    return [folder] if folder.is_absolute() and SOCKETS.fullmatch(folder.name) else []


def forget_sockets(var: Path) -> None:
    for folder in noted_sockets(var):
        shutil.rmtree(folder, ignore_errors=True)
    (var / "sockets").unlink(missing_ok=True)


def known_folders(var: Path) -> list[Path]:
    """Every folder that servers of this life or an earlier one were started on."""
    return [var / "servers", folder_outside(var), *noted_sockets(var)]


def remove_all(var: Path) -> None:
    for folder in (*known_folders(var), var):
        shutil.rmtree(folder, ignore_errors=True)


def temp_folder(account: pwd.struct_passwd | None) -> Path:
    """Where temporary folders go: short enough for sockets, open to the account."""
    for folder in (Path(tempfile.gettempdir()), Path("/tmp"), SHARED_TEMP):
        short = len(str(folder)) < LONGEST_SOCKET_FOLDER - len("/imports-12345678")
        if folder.is_dir() and short and (account is None or anyone_may_enter(folder)):
            return folder
    raise CannotRun("There is no temporary folder that other users may enter.")


def anyone_may_enter(folder: Path) -> bool:
    """Whether a stranger could open a file in it, knowing its name."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def give(folder: Path, account: pwd.struct_passwd | None) -> None:
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
