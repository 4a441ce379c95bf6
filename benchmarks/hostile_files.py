"""Files made to hurt, each beside another user's import: how it ends, and what that costs.

    python -m benchmarks.hostile_files          on servers, a site and a worker of its own

Promised: an end with a code within 10 s, worker and reader together within 300 MB, and the
other import not held up by more than 2 s.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.concurrent_uploads import client_of, post, wait
from benchmarks.import_duration import MEGABYTES, Costs, everything_of_its_own
from customers import sample_data

ROWS_BESIDE = 1_000
FAR = 1_048_576


def main() -> int:
    arguments = parse()
    with ExitStack() as stack:
        url, costs = stack.enter_context(everything_of_its_own())
        folder = Path(stack.enter_context(TemporaryDirectory()))
        attacker, other = (stack.enter_context(client_of(url, one)) for one in tokens())
        canary = stack.enter_context(Canary())
        beside = Beside(other, folder)
        alone = min(beside.seconds() for _ in range(4))
        print(f"{ROWS_BESIDE:,} rows of another user, alone: {alone:.2f} s")
        print(f"{'':34}{'bytes':>10}{'ended':>8}{'MB':>6}{'beside':>8}   as")
        for name, make in files(canary).items():
            if arguments.only in name:
                attack(name, make(), attacker, beside, costs, folder)
        print(f"connections to the canary: {canary.touched}")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hostile_files",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help="files whose name holds this")
    return parser.parse_args()


def attack(
    name: str, content: bytes, attacker: httpx.Client, beside: Beside, costs: Costs, folder: Path
) -> None:
    file = folder / "hostile.xlsx"
    file.write_bytes(content)
    with costs.watched():
        began = time.perf_counter()
        _, address = post(attacker, file, threading.Barrier(1))
        took_beside = beside.seconds()
        wait(attacker, address)
        job = attacker.get(address).json()
    seconds = ended_after(job) if job["finished_at"] else time.perf_counter() - began
    memory = costs.together / MEGABYTES
    how = f"{job['status']} {job['error_code'] or ''}"
    print(
        f"{name:34}{len(content):10,}{seconds:7.1f}s{memory:6.0f}{took_beside:7.2f}s   {how}",
        flush=True,
    )


def ended_after(job: dict[str, str]) -> float:
    from datetime import datetime

    ends = [datetime.fromisoformat(job[name]) for name in ("created_at", "finished_at")]
    return (ends[1] - ends[0]).total_seconds()


def tokens() -> list[str]:
    from benchmarks import crowd

    return crowd.tokens()[:2]


class Beside:
    """Another user's imports, each of new customers."""

    def __init__(self, client: httpx.Client, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.seed = 0

    def seconds(self) -> float:
        """How long one takes from its upload to its end."""
        self.seed += 1
        file = self.folder / f"{self.seed}.xlsx"
        sample_data.write_sample(file, ROWS_BESIDE, self.seed)
        began = time.perf_counter()
        _, address = post(self.client, file, threading.Barrier(1))
        status = wait(self.client, address)
        assert status == "COMPLETE", status
        return time.perf_counter() - began


class Canary:
    """A port that nothing has a reason to connect to."""

    touched = 0

    def __enter__(self) -> Canary:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self.listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listening.close()

    def listen(self) -> None:
        while True:
            try:
                self.listening.accept()[0].close()
            except OSError:
                return
            self.touched += 1


# --- The files ---------------------------------------------------------------


def files(canary: Canary) -> dict[str, Callable[[], bytes]]:
    from tests.spreadsheets import (
        make_workbook_from_xml,
        make_workbook_parts,
        row_xml,
        sheet_xml,
        text_cell_xml,
        zip_parts,
    )

    header = row_xml(1, text_cell_xml("A1", "Shipping mark"), text_cell_xml("B1", "Phone"))
    external = f'<!DOCTYPE x [<!ENTITY e SYSTEM "http://127.0.0.1:{canary.port}/">]>'
    laughs = "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">'
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    reference = sheet_xml(row_xml(1, text_cell_xml("A1", "&e;")))
    return {
        "zip bomb": lambda: make_workbook_from_xml(
            header, row_xml(2, text_cell_xml("A2", " " * (900 * MEGABYTES)))
        ),
        "zip bomb within the ratio": lambda: make_workbook_from_xml(
            header, *(row_xml(n, text_cell_xml(f"A{n}", noise(300))) for n in range(2, 1_000_000))
        ),
        "comment of 300 MB": lambda: commented(" " * (300 * MEGABYTES)),
        "comment within the ratio": lambda: commented(little_noise(300)),
        "cell of 200 MB": lambda: make_workbook_from_xml(
            header, row_xml(2, text_cell_xml("A2", "x" * (200 * MEGABYTES)))
        ),
        "cell within the ratio": lambda: make_workbook_from_xml(
            header, row_xml(2, text_cell_xml("A2", little_noise(200)))
        ),
        "far cell": lambda: make_workbook_from_xml(
            header, row_xml(FAR, text_cell_xml(f"XFD{FAR}", "z"))
        ),
        "shared strings": lambda: make_workbook_from_xml(
            header, strings=f"<si><t>{'x' * 1000}</t></si>" * 300_000
        ),
        "shared strings within the ratio": lambda: make_workbook_from_xml(
            header, strings="".join(f"<si><t>{noise(300)}</t></si>" for _ in range(700_000))
        ),
        "one long string in every cell": lambda: of_one_string(header),
        "the same, under known columns": lambda: of_one_string(known_columns()),
        "entities": lambda: zip_parts(
            make_workbook_parts(
                f'<!DOCTYPE x [<!ENTITY a "lol">{laughs}<!ENTITY e "&i;">]>{reference}'
            )
        ),
        "external entity": lambda: zip_parts(make_workbook_parts(external + reference)),
        "text of one line": lambda: b"x" * (90 * MEGABYTES),
        "text of commas": lambda: b"," * (90 * MEGABYTES),
        "text of line ends": lambda: b"\n" * (90 * MEGABYTES),
        "text of quotes": lambda: b'"' * (90 * MEGABYTES),
    }


def of_one_string(header: str) -> bytes:
    from tests.spreadsheets import make_workbook_from_xml, row_xml

    rows = (row_xml(n, f'<c r="A{n}" t="s"><v>0</v></c>') for n in range(2, 300_000))
    return make_workbook_from_xml(
        header, *rows, strings=f"<si><t>{os.urandom(16_000).hex()}</t></si>"
    )


def known_columns() -> str:
    """A header that asks nobody, so that the rows are read and staged to their end."""
    from tests.spreadsheets import row_xml, text_cell_xml

    names = ("Shipping mark", "First name", "Last name", "Phone")
    return row_xml(
        1, *(text_cell_xml(f"{place}1", name) for place, name in zip("ABCD", names, strict=True))
    )


def commented(comment: str) -> bytes:
    from tests.spreadsheets import make_workbook_from_xml, row_xml, text_cell_xml

    return make_workbook_from_xml(
        row_xml(1, text_cell_xml("A1", "Phone")), before=f"<!--{comment}-->"
    )


def noise(length: int) -> str:
    """Text that deflates to about a hundredth."""
    return (os.urandom(2).hex() * length)[:length]


def little_noise(megabytes: int) -> str:
    return "".join(noise(1_000) for _ in range(megabytes * 1_000))


if __name__ == "__main__":
    sys.exit(main())
