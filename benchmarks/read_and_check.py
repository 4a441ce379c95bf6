"""Measure the CPU time and the peak memory of reading and validating a file, without a database.

    python -m benchmarks.read_and_check [FILE] [--rows 100000]

Without FILE it writes a sample workbook and a sample CSV file, and reads both. The figures are the
medians of five runs: the CPU seconds of this process (validation) and of the reader process, the
elapsed seconds, and the peak memory of the reader process.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import django

RUNS = 5
KILOBYTES_PER_MEGABYTE = 1024


def main() -> int:
    options = parse_options()
    os.environ |= {"SECRET_KEY": "none", "DATABASE_URL": "postgres:///none"}
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    print(f"{'seconds':24}{'checking':>10}{'reader':>10}{'wall':>10}{'reader MB':>12}{'rows':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for path in [options.file] if options.file else write_samples(Path(folder), options.rows):
            figures = [read_in_a_process(path) for _ in range(RUNS)]
            checking, reader, wall, memory, rows = map(median, zip(*figures, strict=True))
            name = path.name[:22]
            print(f"{name:24}{checking:10.2f}{reader:10.2f}{wall:10.2f}{memory:12.0f}{rows:10.0f}")
    return 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--rows", type=int, default=100_000)
    return parser.parse_args()


def write_samples(folder: Path, rows: int) -> list[Path]:
    from customers import sample_data

    paths = [folder / "customers.xlsx", folder / "customers.csv"]
    for path in paths:
        sample_data.write_sample(path, rows)
    return paths


def read_in_a_process(path: Path) -> tuple[float, float, float, float, int]:
    """Read the file in a new process, so that the peak memory is that of this run."""
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        figures = read_once(path)
        os.write(sender, " ".join(map(str, figures)).encode())
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    checking, reader, wall, memory, rows = map(float, text.split())
    return checking, reader, wall, memory, int(rows)


def read_once(path: Path) -> tuple[float, float, float, float, int]:
    """Read and validate the file.

    Returns the CPU seconds of this process and of the reader process, the elapsed seconds, the
    peak memory of the reader process in megabytes, and the number of rows.
    """
    from customers.importers import CustomerImporter
    from imports.pipeline.column_suggestions import add_suggestions
    from imports.pipeline.header_detection import detect_columns, get_field_headers
    from imports.pipeline.read_summary import ReadSummary
    from imports.pipeline.reader_client import ReaderLimits, open_rows
    from imports.pipeline.row_filter import RowFilter
    from imports.pipeline.row_validation import RowValidator

    started, checked = time.monotonic(), 0
    cpu_before = time.process_time()
    summary, validator = ReadSummary(), None
    fields = get_field_headers(CustomerImporter)
    with (
        path.open("rb") as file,
        open_rows(file, limits=ReaderLimits.from_settings(), fields=fields) as reader,
    ):
        for chunk in reader:
            if validator is None:
                rows = chunk.list_rows()
                detected_columns = add_suggestions(
                    detect_columns(rows, CustomerImporter), rows, CustomerImporter
                )
                row_filter = RowFilter(CustomerImporter, detected_columns)
                validator = RowValidator(CustomerImporter, detected_columns, summary)
            header_row = detected_columns.header_row
            blocks = [
                block.keep(number > header_row for number in block.numbers)
                for block in chunk.blocks
            ]
            validated = validator.validate(row_filter.keep_records(blocks, summary))
            checked += sum(map(len, validated))
    reader_usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        time.process_time() - cpu_before,
        reader_usage.ru_utime + reader_usage.ru_stime,
        time.monotonic() - started,
        reader_usage.ru_maxrss / KILOBYTES_PER_MEGABYTE,
        checked,
    )


if __name__ == "__main__":
    sys.exit(main())
