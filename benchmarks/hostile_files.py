"""Import files that are made to exhaust resources, while another user imports a normal file.

    python -m benchmarks.hostile_files          on its own servers, site and worker

Requirements: each import ends with an error code within 10 s, worker and reader together use at
most 300 MB, and the normal import takes at most 2 s longer than alone.
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

from benchmarks.concurrent_uploads import make_client, make_tokens, upload, wait_for_end
from benchmarks.import_duration import MEGABYTES, Costs, temporary_site
from customers import sample_data

NORMAL_ROWS = 1_000
MAX_EXCEL_ROW = 1_048_576


def main() -> int:
    arguments = parse_arguments()
    with ExitStack() as stack:
        url, costs = stack.enter_context(temporary_site())
        folder = Path(stack.enter_context(TemporaryDirectory()))
        tokens = make_tokens()[:2]
        attacker, other = (stack.enter_context(make_client(url, token)) for token in tokens)
        canary = stack.enter_context(Canary())
        normal_import = NormalImport(other, folder)
        alone = min(normal_import.measure() for _ in range(4))
        print(f"{NORMAL_ROWS:,} rows of another user, alone: {alone:.2f} s")
        print(f"{'':34}{'bytes':>10}{'ended':>8}{'MB':>6}{'normal':>8}   as")
        for name, make in make_hostile_files(canary).items():
            if arguments.only in name:
                measure_attack(name, make(), attacker, normal_import, costs, folder)
        print(f"connections to the canary: {canary.connections}")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hostile_files",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help="only files whose name contains this text")
    return parser.parse_args()


def measure_attack(
    name: str,
    content: bytes,
    attacker: httpx.Client,
    normal_import: NormalImport,
    costs: Costs,
    folder: Path,
) -> None:
    file = folder / "hostile.xlsx"
    file.write_bytes(content)
    with costs.recorded():
        started = time.perf_counter()
        _, import_url = upload(attacker, file, threading.Barrier(1))
        normal_seconds = normal_import.measure()
        wait_for_end(attacker, import_url)
        job = attacker.get(import_url).json()
    seconds = get_duration(job) if job["finished_at"] else time.perf_counter() - started
    memory = costs.peak_total / MEGABYTES
    outcome = f"{job['status']} {job['error_code'] or ''}"
    print(
        f"{name:34}{len(content):10,}{seconds:7.1f}s{memory:6.0f}{normal_seconds:7.2f}s"
        f"   {outcome}",
        flush=True,
    )


def get_duration(job: dict[str, str]) -> float:
    from datetime import datetime

    ends = [datetime.fromisoformat(job[name]) for name in ("created_at", "finished_at")]
    return (ends[1] - ends[0]).total_seconds()


class NormalImport:
    """Normal imports of another user."""

    def __init__(self, client: httpx.Client, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.seed = 0

    def measure(self) -> float:
        """Import new customers, and return the seconds from the upload to the end."""
        self.seed += 1
        file = self.folder / f"{self.seed}.xlsx"
        sample_data.write_sample(file, NORMAL_ROWS, self.seed)
        started = time.perf_counter()
        _, import_url = upload(self.client, file, threading.Barrier(1))
        status = wait_for_end(self.client, import_url)
        assert status == "COMPLETE", status
        return time.perf_counter() - started


class Canary:
    """A port that nothing should connect to. External entities of hostile files name it."""

    connections = 0

    def __enter__(self) -> Canary:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept_connections, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()

    def accept_connections(self) -> None:
        while True:
            try:
                self.server.accept()[0].close()
            except OSError:
                return
            self.connections += 1


# --- The files ---------------------------------------------------------------


def make_hostile_files(canary: Canary) -> dict[str, Callable[[], bytes]]:
    from tests.spreadsheets import (
        make_row_xml,
        make_sheet_xml,
        make_text_cell_xml,
        make_workbook_from_xml,
        make_workbook_parts,
        zip_parts,
    )

    header = make_row_xml(
        1, make_text_cell_xml("A1", "Shipping mark"), make_text_cell_xml("B1", "Phone")
    )
    external = f'<!DOCTYPE x [<!ENTITY e SYSTEM "http://127.0.0.1:{canary.port}/">]>'
    nested_entities = "".join(
        f'<!ENTITY {name} "{f"&{inner};" * 10}">'
        for inner, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    reference = make_sheet_xml(make_row_xml(1, make_text_cell_xml("A1", "&e;")))
    return {
        "zip bomb": lambda: make_workbook_from_xml(
            header, make_row_xml(2, make_text_cell_xml("A2", " " * (900 * MEGABYTES)))
        ),
        "zip bomb within the ratio": lambda: make_workbook_from_xml(
            header,
            *(
                make_row_xml(n, make_text_cell_xml(f"A{n}", make_noise(300)))
                for n in range(2, 1_000_000)
            ),
        ),
        "comment of 300 MB": lambda: make_commented_workbook(" " * (300 * MEGABYTES)),
        "comment within the ratio": lambda: make_commented_workbook(make_noise_megabytes(300)),
        "cell of 200 MB": lambda: make_workbook_from_xml(
            header, make_row_xml(2, make_text_cell_xml("A2", "x" * (200 * MEGABYTES)))
        ),
        "cell within the ratio": lambda: make_workbook_from_xml(
            header, make_row_xml(2, make_text_cell_xml("A2", make_noise_megabytes(200)))
        ),
        "far cell": lambda: make_workbook_from_xml(
            header, make_row_xml(MAX_EXCEL_ROW, make_text_cell_xml(f"XFD{MAX_EXCEL_ROW}", "z"))
        ),
        "shared strings": lambda: make_workbook_from_xml(
            header, strings=f"<si><t>{'x' * 1000}</t></si>" * 300_000
        ),
        "shared strings within the ratio": lambda: make_workbook_from_xml(
            header, strings="".join(f"<si><t>{make_noise(300)}</t></si>" for _ in range(700_000))
        ),
        "one long string in every cell": lambda: make_workbook_of_one_string(header),
        "the same, under known columns": lambda: make_workbook_of_one_string(make_known_header()),
        "entities": lambda: zip_parts(
            make_workbook_parts(
                f'<!DOCTYPE x [<!ENTITY a "lol">{nested_entities}<!ENTITY e "&i;">]>{reference}'
            )
        ),
        "external entity": lambda: zip_parts(make_workbook_parts(external + reference)),
        "text of one line": lambda: b"x" * (90 * MEGABYTES),
        "text of commas": lambda: b"," * (90 * MEGABYTES),
        "text of line ends": lambda: b"\n" * (90 * MEGABYTES),
        "text of quotes": lambda: b'"' * (90 * MEGABYTES),
    }


def make_workbook_of_one_string(header: str) -> bytes:
    from tests.spreadsheets import make_row_xml, make_workbook_from_xml

    rows = (make_row_xml(n, f'<c r="A{n}" t="s"><v>0</v></c>') for n in range(2, 300_000))
    return make_workbook_from_xml(
        header, *rows, strings=f"<si><t>{os.urandom(16_000).hex()}</t></si>"
    )


def make_known_header() -> str:
    """Return a header row whose columns are recognised, so that all rows are read and staged."""
    from tests.spreadsheets import make_row_xml, make_text_cell_xml

    names = ("Shipping mark", "First name", "Last name", "Phone")
    return make_row_xml(
        1,
        *(
            make_text_cell_xml(f"{column}1", name)
            for column, name in zip("ABCD", names, strict=True)
        ),
    )


def make_commented_workbook(comment: str) -> bytes:
    from tests.spreadsheets import make_row_xml, make_text_cell_xml, make_workbook_from_xml

    return make_workbook_from_xml(
        make_row_xml(1, make_text_cell_xml("A1", "Phone")), before=f"<!--{comment}-->"
    )


def make_noise(length: int) -> str:
    """Return text whose compressed size is about a hundredth."""
    return (os.urandom(2).hex() * length)[:length]


def make_noise_megabytes(megabytes: int) -> str:
    return "".join(make_noise(1_000) for _ in range(megabytes * 1_000))


if __name__ == "__main__":
    sys.exit(main())
