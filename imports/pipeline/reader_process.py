"""Start the reader process, the sandboxed child process that opens a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

READER_FOLDER = Path(__file__).with_name("reader")
PARSER_PACKAGES = (
    "python_calamine",
    "openpyxl",
    "et_xmlfile",
    "defusedxml",
    "xlrd",
    "charset_normalizer",
)
PIPE_BYTES = 1 << 20  # The process reads ahead by this much while its rows are validated.


class ReadableFile(Protocol):
    """As much of a binary file as the reader needs."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, /) -> object: ...


def start_reader_process(
    file: ReadableFile, read_request: dict[str, Any]
) -> subprocess.Popen[bytes]:
    """Start the reader process on a copy of the file.

    The copy has no name and is deleted when the process ends. `read_request` says what to read; it
    must be valid JSON. The process writes its answers to `stdout`.
    """
    with tempfile.TemporaryFile() as copy:
        while data := file.read(PIPE_BYTES):
            copy.write(data)
        copy.flush()
        read_request = read_request | {
            "file": copy.fileno(),
            "parent": os.getpid(),
            "packages": _get_package_folders(),
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
            # A traceback may quote the file. The exit status is enough.
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pipesize=PIPE_BYTES,
            pass_fds=[copy.fileno()],
            env={},
            start_new_session=True,
        )


@cache
def _get_package_folders() -> list[str]:
    """Return where the parsers are installed, without importing them into this process."""
    specs = [find_spec(name) for name in PARSER_PACKAGES]
    return sorted({str(Path(spec.origin).parent.parent) for spec in specs if spec and spec.origin})
