"""Compare the import of a file with other ways to write the same rows, side by side in one run.

    python -m benchmarks.comparison
    python -m benchmarks.comparison --rows 100000 --format csv --runs 5

The ways, one after another and again for each run, on the same file and an empty table:

* ours: from the first byte of the upload to the last event of the stream, with all processes.
* floor: what a program needs that does nothing else. One process reads the file with calamine (CSV
  with the csv module), checks it with the same rules for whole columns, and finds repeats in
  memory. A second thread copies the customers and one outcome per row. It cannot continue after a
  crash, shows no progress, and trusts the file.
* django-import-export with `use_bulk`, without and with `clean_model_instances`. It gets only the
  valid rows, because a bulk insert of its kind fails for one row that repeats another. Reading the
  file is included.
* row by row: `Customer.save()` in a transaction of its own, with a password hash, as the first
  version of this system did. A sample of 50 rows; the time of the file is extrapolated.

Prints for each the median and the spread of the elapsed seconds, the ratio of the medians to the
floor, and the medians of the processor seconds (all processes) and of the bytes of WAL. A run whose
table does not have the expected number of customers counts as failed, and no figure includes it.
PostgreSQL runs without fsync, as `make demo` does. The last three ways are measured with at most
7,000 rows, or with all of them if --all is given.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, NamedTuple

import psutil
from redis import Redis

from benchmarks.import_duration import PASSWORD, Client, import_once, temporary_site
from customers import sample_data

BLOCK_ROWS = 1_000
COPY_BLOCKS = 5  # Blocks that the floor copies in one statement.
SLOW_WAYS_MAX_ROWS = 7_000
SAMPLE_ROWS = 50
FIELDS = ("shipping_mark", "first_name", "last_name", "email", "phone")
OUTCOMES_TABLE = "CREATE TABLE floor_outcome (number int, outcome text, error text)"
TRUNCATE = "TRUNCATE customers_customer RESTART IDENTITY"
COPY_CUSTOMERS = """
COPY customers_customer (shipping_mark, first_name, last_name, email, phone, created_at, updated_at)
FROM STDIN
"""
COPY_OUTCOMES = "COPY floor_outcome (number, outcome, error) FROM STDIN"
Way = Callable[[Path, int], float]  # Takes a file and its number of rows. Returns seconds.


class Measurement(NamedTuple):
    seconds: float
    cpu_seconds: float
    wal_bytes: int


def main() -> int:
    arguments = parse_arguments()
    with ExitStack() as stack:
        url, _ = stack.enter_context(temporary_site())
        folder = Path(stack.enter_context(TemporaryDirectory()))
        client = Client(url)
        client.log_in("timing", PASSWORD)
        execute(OUTCOMES_TABLE)
        for rows in arguments.rows:
            file = folder / f"customers-{rows}.{arguments.format}"
            sample_data.write_sample(file, rows)
            ways = make_ways(client, is_large=rows > SLOW_WAYS_MAX_ROWS and not arguments.all)
            print_table(rows, arguments, measure_ways(ways, file, rows, arguments.runs))
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.comparison",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[7_000, 100_000])
    parser.add_argument("--runs", type=int, default=5, help="after one that is not counted (5)")
    parser.add_argument("--format", choices=["xlsx", "csv"], default="xlsx")
    parser.add_argument("--all", action="store_true", help="measure slow ways with all rows")
    return parser.parse_args()


def make_ways(client: Client, *, is_large: bool) -> dict[str, Way]:
    ways: dict[str, Way] = {
        "floor": run_floor,
        "ours": lambda file, rows: import_once(client, file, rows)["complete in the stream"],
    }
    if not is_large:
        ways["django-import-export, bulk"] = lambda file, rows: run_import_export(file, clean=False)
        ways["django-import-export, validated"] = lambda file, rows: run_import_export(
            file, clean=True
        )
        ways["row by row (extrapolated)"] = run_row_by_row
    return ways


# --- Measuring ---------------------------------------------------------------


def measure_ways(
    ways: dict[str, Way], file: Path, rows: int, runs: int
) -> dict[str, list[Measurement | None]]:
    """Return the measurements of each way, in turns. None stands for a run that failed."""
    found: dict[str, list[Measurement | None]] = {name: [] for name in ways}
    for run in range(runs + 1):
        for name, way in ways.items():
            measurement = measure(way, file, rows)
            if run:
                found[name].append(measurement)
    return found


def measure(way: Way, file: Path, rows: int) -> Measurement | None:
    execute(f"{TRUNCATE}; TRUNCATE floor_outcome; CHECKPOINT")
    cpu_before, wal_before = sum_cpu_seconds(), read_wal_position()
    seconds = way(file, rows)
    cpu, wal = sum_cpu_seconds() - cpu_before, read_wal_position() - wal_before
    (created,) = execute("SELECT count(*) FROM customers_customer")
    expected = sample_data.compute_expected_counts(rows)["created"]
    is_complete = created == expected or way is run_row_by_row
    return Measurement(seconds, cpu, wal) if is_complete else None


def execute(statement: str) -> tuple[Any, ...]:
    """Execute the statements outside of a transaction. Return the first row, or an empty tuple."""
    from django.db import connection

    with connection.cursor() as cursor:
        for part in statement.split(";"):
            cursor.execute(part)
        row: tuple[Any, ...] = cursor.fetchone() if cursor.description else ()
        return row


def read_wal_position() -> int:
    (position,) = execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")
    return int(position)


def sum_cpu_seconds() -> float:
    """Return the processor seconds of this process, the site, the worker and the servers."""
    from django.conf import settings

    (backend,) = execute("SELECT pg_backend_pid()")
    redis = Redis.from_url(settings.REDIS_URL).info("server")["process_id"]
    ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
    postgresql = psutil.Process(backend).parent()
    servers = [psutil.Process(redis), postgresql, *postgresql.children()]
    total = 0.0
    for process in {process.pid: process for process in [*ours, *servers]}.values():
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:  # It has ended. Its parent has its time.
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def print_table(
    rows: int, arguments: argparse.Namespace, found: dict[str, list[Measurement | None]]
) -> None:
    print(f"\n{rows:,} rows, {arguments.format}, {arguments.runs} runs in turns")
    print(f"{'':34}{'median s':>10}{'min-max':>16}{'ratio':>8}{'CPU s':>8}{'WAL MB':>8}  failed")
    floor = statistics.median(m.seconds for m in found["floor"] if m)
    for name, measurements in found.items():
        valid = [measurement for measurement in measurements if measurement]
        failed = len(measurements) - len(valid)
        if not valid:
            print(f"{name:34}{'all runs failed':>40}")
            continue
        seconds, cpu, wal = (statistics.median(values) for values in zip(*valid, strict=True))
        times = [measurement.seconds for measurement in valid]
        spread = f"{min(times):.2f}-{max(times):.2f}"
        print(
            f"{name:34}{seconds:10.3f}{spread:>16}{seconds / floor:8.2f}{cpu:8.2f}"
            f"{wal / 1e6:8.1f}  {failed}",
            flush=True,
        )


# --- The floor ---------------------------------------------------------------


def run_floor(file: Path, rows: int) -> float:
    """Read, check and copy the file in this process."""
    from customers import validators
    from customers.phones import clean_phone, clean_phones
    from imports.importer import InvalidValue

    rules = (
        (validators.clean_shipping_marks, validators.clean_shipping_mark),
        (validators.clean_names, validators.clean_name),
        (validators.clean_names, validators.clean_name),
        (validators.clean_emails, validators.clean_email),
        (clean_phones, clean_phone),
    )
    seen: tuple[set[str], ...] = (set(), set(), set())
    queue: Queue[tuple[list[str], list[str]] | None] = Queue(2)
    started = time.monotonic()
    writer = Thread(target=copy_blocks, args=[queue])
    writer.start()
    customers: list[str] = []
    outcomes: list[str] = []
    number = 1
    source = read_rows(file)
    while block := list(islice(source, BLOCK_ROWS)):
        columns = []
        errors: dict[int, str] = {}
        for (clean_column, clean), cells in zip(rules, zip(*block, strict=True), strict=True):
            values = list(clean_column([cell or "" for cell in cells]))
            for index, value in enumerate(values):
                if value is None:
                    try:
                        values[index] = clean(cells[index] or None)
                    except InvalidValue as error:
                        errors[index] = error.code
            columns.append(values)
        for index, row in enumerate(zip(*columns, strict=True)):
            number += 1
            keys = (row[0], row[3], row[4])
            if index not in errors and None in (row[0], row[1], row[2], row[4]):
                errors[index] = "required"
            elif any(key in known for key, known in zip(keys, seen, strict=True) if key):
                errors.setdefault(index, "repeats_row")
            if index in errors:
                outcomes.append(f"{number}\tfailed\t{errors[index]}\n")
                continue
            for key, known in zip(keys, seen, strict=True):
                if key:
                    known.add(key)
            values_text = "\t".join([r"\N" if value is None else value for value in row])
            customers.append(f"{values_text}\tnow\tnow\n")
            outcomes.append(f"{number}\tcreated\t\\N\n")
        if len(outcomes) >= COPY_BLOCKS * BLOCK_ROWS:
            queue.put((customers, outcomes))
            customers, outcomes = [], []
    queue.put((customers, outcomes))
    queue.put(None)
    writer.join()
    return time.monotonic() - started


def read_rows(file: Path) -> Iterator[list[Any]]:
    """Yield the rows that are not blank, with the cells in the order of the importer's columns."""
    if file.suffix == ".csv":
        with file.open(encoding="utf-8-sig", newline="") as text:
            yield from order_cells(csv.reader(text))
        return
    from python_calamine import CalamineWorkbook

    sheet = CalamineWorkbook.from_path(str(file)).get_sheet_by_index(0)
    yield from order_cells(sheet.iter_rows())


def order_cells(rows: Iterable[list[Any]]) -> Iterator[list[Any]]:
    lines = iter(rows)
    header = list(next(lines))
    positions = [header.index(name) for name in sample_data.HEADERS]
    return ([row[position] for position in positions] for row in lines if any(row))


def copy_blocks(queue: Queue[tuple[list[str], list[str]] | None]) -> None:
    from django.db import connection, transaction

    from imports.postgres import copy_into_table

    with transaction.atomic():
        while block := queue.get():
            copy_into_table(COPY_CUSTOMERS, "".join(block[0]))
            copy_into_table(COPY_OUTCOMES, "".join(block[1]))
    connection.close()


# --- Other ways --------------------------------------------------------------


def list_valid_rows(file: Path) -> list[list[Any]]:
    """Return the rows that can be created, in the order of the file, with cleaned values."""
    from customers.importers import CustomerImporter
    from imports.importer import InvalidValue

    seen: tuple[set[str], ...] = (set(), set(), set())
    valid = []
    for cells in read_rows(file):
        try:
            row = [
                column.clean(cell or None) if column.clean else cell
                for column, cell in zip(CustomerImporter.columns, cells, strict=True)
            ]
        except InvalidValue:
            continue
        keys = (row[0], row[3], row[4])
        is_complete = all((row[0], row[1], row[2], row[4]))
        if not is_complete or any(key in known for key, known in zip(keys, seen, strict=True)):
            continue
        for key, known in zip(keys, seen, strict=True):
            known.update([key] if key else [])
        valid.append(row)
    return valid


def run_import_export(file: Path, *, clean: bool) -> float:
    """Import the valid rows with django-import-export. Reading the file counts, cleaning not."""
    from import_export.fields import Field
    from import_export.resources import ModelResource
    from import_export.widgets import CharWidget
    from tablib import Dataset

    from customers.models import Customer

    valid = list_valid_rows(file)

    class CustomerResource(ModelResource):
        email = Field("email", column_name="email", widget=CharWidget(allow_blank=False))

        class Meta:
            model = Customer
            fields = FIELDS
            import_id_fields = ()
            use_bulk = True
            skip_diff = True
            clean_model_instances = clean

    started = time.monotonic()
    list(read_rows(file))
    result = CustomerResource().import_data(Dataset(*valid, headers=FIELDS), use_transactions=True)
    seconds = time.monotonic() - started
    if result.has_errors():
        first = next(iter(result.row_errors()), None) or result.base_errors
        sys.exit(f"django-import-export reported errors: {first}")
    return seconds


def run_row_by_row(file: Path, rows: int) -> float:
    from django.contrib.auth.hashers import make_password

    from customers.models import Customer

    sample = list_valid_rows(file)[:SAMPLE_ROWS]
    started = time.monotonic()
    for row in sample:
        make_password(str(row[0]))
        Customer(**dict(zip(FIELDS, row, strict=True))).save(force_insert=True)
    return (time.monotonic() - started) * rows / len(sample)


if __name__ == "__main__":
    sys.exit(main())
