"""docs/importers.md is true: followed to the letter in a copy of the project, it works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

PROJECT = Path(__file__).resolve().parents[1]
PAGE = (PROJECT / "docs" / "importers.md").read_text()
PROGRAM = ("config", "customers", "imports", "static", "templates", "manage.py")

# Carries a file through the pipeline as workers do, and prints what became of it.
IMPORT = """
import sys
from imports.error_messages import describe_row_error
from imports.pipeline import batch_applier
from parcels.models import Parcel
from tests.factories import get_outcomes, run_import

importer = {importer!r}
job = run_import(sys.stdin.read().encode(), importer=importer, on_duplicate="update")
for batch in job.batches.all():
    batch_applier.run_after_batch(job.pk, batch.number)
print(job.status, sorted(get_outcomes(job).items()))
for row in job.rows.exclude(errors=None).order_by("number"):
    print(row.number, *(describe_row_error(error, importer) for error in row.errors))
for parcel in Parcel.objects.order_by("number"):
    print(parcel.customer.shipping_mark, parcel.number, parcel.weight, parcel.sent_on,
          "labelled" if parcel.labelled_at else "not labelled")
"""


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def python_files():
    """The page's files in its order: where each belongs, and its text."""
    for block in blocks("python"):
        first, _, text = block.partition("\n")
        yield first.removeprefix("# "), text


class Copy:
    """A copy of the project, on a database of its own."""

    def __init__(self, folder, url):
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT),
            "PYTHONWARNINGS": "error",
            "SECRET_KEY": "only-for-tests",
            "DATABASE_URL": url,
        }
        for name in PROGRAM:
            source, ignored = PROJECT / name, shutil.ignore_patterns("__pycache__")
            copy = shutil.copy if source.is_file() else shutil.copytree
            copy(source, folder / name, **({} if source.is_file() else {"ignore": ignored}))

    def write(self, place, text):
        if place.endswith(", at its end"):
            path = self.folder / place.removesuffix(", at its end")
            text = f"{path.read_text()}\n{text}"
        else:
            path = self.folder / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def manage(self, *arguments, **options):
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True, capture_output=True,
            check=False, **options
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def run(self, *arguments, **options):
        status, said, complaints = self.manage(*arguments, **options)
        assert status == 0, complaints
        return said

    def import_file(self, text, importer="parcels"):
        program = IMPORT.format(importer=importer)
        return self.run("shell", "--no-imports", "-c", program, input=text).splitlines()


@pytest.fixture
def copy(tmp_path):
    server, name = os.environ["DATABASE_URL"], f"importers_page_{os.getpid()}"
    connection = psycopg2.connect(server)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        yield Copy(tmp_path, urlsplit(server)._replace(path=f"/{name}").geturl())
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


def test_the_page_followed_to_the_letter_imports_parcels(copy):
    *first, (place, with_rule) = python_files()
    copy.write("parcels/__init__.py", "")
    for file in first:
        copy.write(*file)
    copy.run("makemigrations", "parcels")
    copy.run("migrate")
    assert "no issues" in copy.run("check")
    uploads = re.findall(r"-F file=@(\w+)\.csv -F importer=(\w+)", "".join(blocks("sh")))
    assert re.findall(r"`(\w+)\.csv`", PAGE) == [name for name, _ in uploads]
    (people, customers), (file, parcels) = zip(blocks("csv"), dict(uploads).values(), strict=True)
    assert copy.import_file(people, customers) == ["COMPLETE [(2, 'created')]"]

    said = copy.import_file(file, parcels)

    assert said[0] == "COMPLETE [(2, 'created'), (3, 'created'), (4, 'failed')]"
    assert said[1].startswith("4 There is no customer with this shipping mark.")
    assert said[2:] == [
        "ACC-1 1 2.50 2026-01-31 not labelled",
        "ACC-1 2 0.75 None not labelled",
    ]

    copy.write(place, with_rule)
    assert "no issues" in copy.run("check")
    more = "mark,number,weight\nACC-1,1,3 kg\nACC-1,4,heavy\nACC-1,5,1001\nACC-1,6,1.5\n"

    said = copy.import_file(more)

    assert said == [
        "COMPLETE [(2, 'updated'), (3, 'failed'), (4, 'failed'), (5, 'created')]",
        "3 This is not a weight. Write kilograms, like 2.5.",
        "4 We carry up to 1000 kg. Split the parcel.",
        "ACC-1 1 3.00 2026-01-31 labelled",
        "ACC-1 2 0.75 None not labelled",
        "ACC-1 6 1.50 None labelled",
    ]

    copy.write(place, with_rule.replace('"weight", required=True', '"weight"'))
    status, _, complaints = copy.manage("check")

    (answer,) = blocks("text")
    assert status == 1
    assert answer.strip() in complaints
