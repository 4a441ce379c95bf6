"""Measure the cost of cleaning a cell: ordinary values, unusual values, and invalid values.

    python -m benchmarks.field_cleaning

Prints microseconds of CPU time, the best of fifteen runs. Needs no servers. The ordinary values are
those of the sample data, in the spellings that people use.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from time import process_time

import django

RUNS = 15
ROWS = 20_000
UNUSUAL = {
    "shipping_mark": [" acc\u00a0 41\n", "e\u0301clair 7", 4012],
    "first_name": ["Ade\u0301lai\u0308de", " van   Dyck", "王小明"],
    "email": ["\u200bama@example.com", "ama@exämple.com", "o'brien@example.co.uk\u00a0"],
    "phone": ["[024] 412-3456", "+44 7911 123456", "0800 12345"],
}
INVALID = {
    "shipping_mark": ["m" * 51, "#REF!", "a\x00b"],
    "first_name": ["n" * 101, "#N/A", "a\x00b"],
    "email": ["ama", "ama@", "a b@example.com", "a@x.com; b@x.com"],
    "phone": ["12345", "call me", "0244123456 ext 5", "0244123456/0201234567", "0999999999"],
}


def main() -> int:
    os.environ |= {"SECRET_KEY": "none", "DATABASE_URL": "postgres:///none"}
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    from customers import sample_data
    from customers.importers import CustomerImporter

    cleaners = {column.field: column.clean for column in CustomerImporter.columns}
    sample = list(islice(sample_data.generate_customers(ROWS + ROWS // 100, seed=1), ROWS))
    rows = [row for row in sample if row]
    print(f"{'microseconds per cell':22}{'ordinary':>10}{'unusual':>10}{'invalid':>10}")
    row_cost = 0.0
    for (field, clean), ordinary in zip(cleaners.items(), zip(*rows, strict=True), strict=True):
        unusual = UNUSUAL.get(field, UNUSUAL["first_name"])
        invalid = INVALID.get(field, INVALID["first_name"])
        costs = [measure_cost(clean, cells) for cells in (ordinary, unusual * 500, invalid * 500)]
        row_cost += costs[0]
        print(f"{field:22}{costs[0]:10.2f}{costs[1]:10.1f}{costs[2]:10.1f}")
    print(f"{'an ordinary row':22}{row_cost:10.2f}")
    return 0


def measure_cost(clean: Callable, cells: Iterable) -> float:
    """Return the microseconds per cell. Includes the exceptions of invalid cells."""
    cells = list(cells)
    return min(measure_seconds(clean, cells) for _ in range(RUNS)) / len(cells) * 1e6


def measure_seconds(clean: Callable, cells: list) -> float:
    from imports.importer import InvalidValue

    started = process_time()
    for cell in cells:
        with suppress(InvalidValue):
            clean(cell)
    return process_time() - started


if __name__ == "__main__":
    sys.exit(main())
