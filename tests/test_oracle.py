"""The whole pipeline against forty lines of plain Python: dicts, one row after another.

ORACLE_FILES sets how many files are generated; ORACLE_SEED where the numbering begins.
"""

import os
import random

import pytest

from customers.models import Customer
from tests.making import csv_file, outcomes, run_import

pytestmark = pytest.mark.django_db(transaction=True)

FILES = int(os.environ.get("ORACLE_FILES", "120"))
SEED = int(os.environ.get("ORACLE_SEED", "1"))
KEYS = ("shipping_mark", "email", "phone")


def oracle(rows, existing, policy, empty_cells="keep"):
    """What becomes of each row and of the table, judged as if written row after row."""
    table = {name: dict(record) for name, record in enumerate(existing)}
    kept, result = [], []
    for row in rows:
        if not all(row[name] for name in ("shipping_mark", "first_name", "last_name", "phone")):
            result.append("failed")
            continue
        keys = {(name, row[name]) for name in KEYS if row[name]}
        hits = [
            name for name, record in enumerate(existing) if keys & {(k, record[k]) for k in KEYS}
        ]
        if hits and policy != "update":
            result.append("skipped" if policy == "skip" else "failed")
        elif len(hits) > 1 or any(
            keys & others or (hits and hits == taken) for others, taken in kept
        ):
            result.append("failed")
        else:
            kept.append((keys, hits))
            name = hits[0] if hits else f"new {len(kept)}"
            before = table.get(name)
            old = {} if empty_cells == "clear" else before or {}
            table[name] = {k: v or old.get(k) for k, v in row.items()}
            result.append(
                "created" if not hits else "unchanged" if table[name] == before else "updated"
            )
    return result, sorted(table.values(), key=lambda record: record["shipping_mark"])


def random_row(dice, people):
    """A row from few values, so that chains of repeats over all three columns are common."""
    n = dice.randrange
    return {
        "shipping_mark": f"MARK {n(people)}" if n(30) else "",
        "first_name": f"Name{n(3)}" if n(40) else "",
        "last_name": "Mensah",
        "email": f"m{n(people)}@example.com" if n(3) else None,
        "phone": f"+23324{n(people):07d}" if n(30) else "",
    }


@pytest.mark.parametrize("seed", range(SEED, SEED + FILES))
def test_the_pipeline_agrees_with_the_oracle(seed):
    dice = random.Random(seed)
    policy = dice.choice(["skip", "update", "update", "fail"])
    empty_cells = dice.choice(["keep", "clear"])
    people = dice.choice([5, 20, 60])
    rows = [random_row(dice, people) for _ in range(dice.randrange(1, 80))]
    others = [random_row(dice, people) for _ in range(dice.choice([0, 3, 15]))]
    _, existing = oracle(others, [], "skip")
    Customer.objects.bulk_create(Customer(**record) for record in existing)

    content = csv_file([list(row.values()) for row in rows])
    job = run_import(content, on_duplicate=policy, empty_cells=empty_cells)

    expected, table = oracle(rows, existing, policy, empty_cells)
    assert list(dict(sorted(outcomes(job).items())).values()) == expected
    fields = ("shipping_mark", "first_name", "last_name", "email", "phone")
    assert list(Customer.objects.order_by("shipping_mark").values(*fields)) == table
    names = ("created", "updated", "unchanged", "skipped", "failed")
    assert [getattr(job, name) for name in names] == [expected.count(name) for name in names]
