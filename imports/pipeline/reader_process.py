"""The child process that opens a file: what it is given, and what it is not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

READER_FOLDER = Path(__file__).with_name("reader")
PACKAGES = (
    *("python_calamine", "openpyxl", "et_xmlfile", "defusedxml", "xlrd", "charset_normalizer"),
)
PIPE_BYTES = 1 << 20  # Room to read ahead while we are busy with the rows before.


def start_reader_process(file: BinaryIO, read_request: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start the child on a copy of the file that has no name and goes when it goes."""
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy, PIPE_BYTES)
        copy.flush()
        read_request = read_request | {
            "file": copy.fileno(),
            "parent": os.getpid(),
            "packages": _package_folders(),
        }
        return subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                "-X",
                "utf8",
                str(READER_FOLDER),
                json.dumps(read_request),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # A traceback may quote the file, so nobody hears it: the way it ends says enough.
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pipesize=PIPE_BYTES,
            pass_fds=[copy.fileno()],
            env={},
            start_new_session=True,
        )


@cache
def _package_folders() -> list[str]:
    """Where the parsers are installed, found without loading them here."""
    specs = [find_spec(name) for name in PACKAGES]
    return sorted({str(Path(spec.origin).parent.parent) for spec in specs if spec and spec.origin})
