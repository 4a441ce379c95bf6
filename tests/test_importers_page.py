"""The example of docs/importers.md works in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db.backends.postgresql.base import Database

PROJECT = Path(__file__).resolve().parents[1]
PAGE = (PROJECT / "docs" / "importers.md").read_text()
PROGRAM = ("config", "customers", "imports", "static", "templates", "manage.py")

# Imports a file as workers do, and prints the outcomes, the errors and the parcels.
IMPORT = """
import sys
from imports import hooks
from imports.error_messages import describe_row_error
from freight.models import Parcel
from tests.factories import get_outcomes, run_import

importer = {importer!r}
job = run_import(sys.stdin.read().encode(), importer=importer, on_duplicate="update")
hooks.call_due_hooks(job.pk)
print(job.status, sorted(get_outcomes(job).items()))
for row in job.rows.exclude(errors=None).order_by("number"):
    print(row.number, *(describe_row_error(error, importer) for error in row.errors))
for parcel in Parcel.objects.order_by("number"):
    print(parcel.customer.shipping_mark, parcel.number, parcel.weight, parcel.sent_on,
          "labelled" if parcel.labelled_at else "not labelled")
"""


def get_code_blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def get_python_files(app):
    """Yield the path and the content of each Python file of an app of the page, in order."""
    for block in get_code_blocks("python"):
        first, _, text = block.partition("\n")
        path = first.removeprefix("# ")
        if path.startswith(f"{app}/") or f'["{app}"]' in text:
            yield path, text


class ProjectCopy:
    """A copy of the project with its own database."""

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

    def write(self, name, text):
        """Write a file; append to it if its name ends with ", at its end"."""
        if name.endswith(", at its end"):
            path = self.folder / name.removesuffix(", at its end")
            text = f"{path.read_text()}\n{text}"
        else:
            path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def manage(self, *arguments, **options):
        command = [sys.executable, "manage.py", *arguments]
        completed = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
            **options,
        )
        return completed.returncode, completed.stdout, completed.stderr

    def run(self, *arguments, **options):
        """Run a management command that must succeed, and return its output."""
        status, output, errors = self.manage(*arguments, **options)
        assert status == 0, errors
        return output

    def import_file(self, text, importer="parcels"):
        program = IMPORT.format(importer=importer)
        return self.run("shell", "--no-imports", "-c", program, input=text).splitlines()


@pytest.fixture
def project(tmp_path):
    server, name = os.environ["DATABASE_URL"], f"importers_page_{os.getpid()}"
    connection = Database.connect(server)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        yield ProjectCopy(tmp_path, urlsplit(server)._replace(path=f"/{name}").geturl())
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


def test_example_of_the_page_imports_parcels(project):
    *files, (importer_path, importer_with_hook) = get_python_files("freight")
    project.write("freight/__init__.py", "")
    for name, text in files:
        project.write(name, text)
    project.run("makemigrations", "freight")
    project.run("migrate")
    assert "no issues" in project.run("check")
    uploads = re.findall(r"-F file=@(\w+)\.csv -F importer=(\w+)", "".join(get_code_blocks("sh")))
    assert re.findall(r"`(\w+)\.csv`", PAGE) == [name for name, _ in uploads]
    (customers_csv, customers), (parcels_csv, parcels), _ = zip(
        get_code_blocks("csv"), dict(uploads).values(), strict=True
    )
    assert project.import_file(customers_csv, customers) == ["COMPLETE [(2, 'created')]"]

    output = project.import_file(parcels_csv, parcels)

    assert output[0] == "COMPLETE [(2, 'created'), (3, 'created'), (4, 'failed')]"
    assert output[1].startswith("4 There is no customer with this shipping mark.")
    assert output[2:] == [
        "ACC-1 1 2.50 2026-01-31 not labelled",
        "ACC-1 2 0.75 None not labelled",
    ]

    project.write(importer_path, importer_with_hook)
    assert "no issues" in project.run("check")
    more = "mark,number,weight\nACC-1,1,3 kg\nACC-1,4,heavy\nACC-1,5,1001\nACC-1,6,1.5\n"

    output = project.import_file(more)

    assert output == [
        "COMPLETE [(2, 'updated'), (3, 'failed'), (4, 'failed'), (5, 'created')]",
        "3 This is not a weight. Write kilograms, like 2.5.",
        "4 We carry up to 1000 kg. Split the parcel.",
        "ACC-1 1 3.00 2026-01-31 labelled",
        "ACC-1 2 0.75 None not labelled",
        "ACC-1 6 1.50 None labelled",
    ]

    project.write(importer_path, importer_with_hook.replace('"weight", required=True', '"weight"'))
    status, _, errors = project.manage("check")

    (expected,) = get_code_blocks("text")
    assert status == 1
    assert expected.strip() in errors


# Imports a file with options as workers do, and prints the outcomes, the errors and the shipments.
IMPORT_SHIPMENTS = """
import json, sys
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from imports import hooks, lifecycle
from imports.error_messages import describe_row_error
from shipments.models import Notice, Shipment
from tests.factories import apply_all_batches, check_job, get_outcomes

ama, _ = get_user_model().objects.get_or_create(username="ama")
file = SimpleUploadedFile("shipments.csv", sys.stdin.read().encode())
options = json.loads({options!r})
job = lifecycle.upload(
    ama, file, importer="shipments", options=options, should_enqueue=False
)
apply_all_batches(check_job(job).pk)
hooks.call_due_hooks()
print(sorted(get_outcomes(job).items()))
for row in job.rows.filter(outcome="failed").order_by("number"):
    for error in row.errors:
        print(row.number, error["field"], describe_row_error(error, "shipments"))
for shipment in Shipment.objects.order_by("pk"):
    print(shipment.branch, shipment.code, shipment.uploaded_by, shipment.is_labelled)
print(Notice.objects.filter(text__contains=job.pk).count())
"""


def test_example_of_the_page_imports_shipments(project):
    project.write("shipments/__init__.py", "")
    project.write("shipments/migrations/__init__.py", "")
    for name, text in get_python_files("shipments"):
        project.write(name, text)
    project.run("makemigrations", "shipments")
    project.run("migrate")
    assert "no issues" in project.run("check")
    (*_, file) = get_code_blocks("csv")
    (options,) = re.findall(r"-F 'options=(.*?)'", PAGE)

    def import_shipments(text):
        program = IMPORT_SHIPMENTS.format(options=options)
        return project.run("shell", "--no-imports", "-c", program, input=text).splitlines()

    assert import_shipments(file) == [
        "[(2, 'created'), (3, 'failed'), (4, 'failed')]",
        "3 shipped_on This is before the day of packing, 2026-01-30.",
        "4 packed_on This is not a date. Write it like 2026-01-31.",
        "KUM S-1 ama True",
        "1",
    ]
    assert import_shipments(file)[0] == "[(2, 'skipped'), (3, 'failed'), (4, 'failed')]"
    options = options.replace("KUM", "ACC")
    assert import_shipments(file)[-3:] == ["KUM S-1 ama True", "ACC S-1 ama True", "1"]


# Imports items as workers do, for a user who manages one of two warehouses.
IMPORT_ITEMS = """
import sys
from django.contrib.auth import get_user_model
from imports.error_messages import describe_row_error, get_field_label
from imports.importer import get_importer
from stock.models import Item, Warehouse
from tests.factories import get_outcomes, run_import

ama, yaw = (get_user_model().objects.create_user(name) for name in ("ama", "yaw"))
Warehouse.objects.create(code="ACC", name="Accra", manager=ama)
Warehouse.objects.create(code="TEM", name="Tema", manager=yaw)
job = run_import(sys.stdin.read().encode(), importer="items", owner=ama)
print(job.status, sorted(get_outcomes(job).items()))
for item in Item.objects.order_by("code"):
    print(item.code, item.size, item.weight, item.warehouse.code)
for error in job.rows.get(outcome="failed").errors:
    label = get_field_label(get_importer("items"), error["field"])
    print(f"| {label} | {describe_row_error(error, 'items')} |")
"""


def test_example_of_the_page_imports_items(project):
    project.write("stock/__init__.py", "")
    project.write("stock/migrations/__init__.py", "")
    for name, text in get_python_files("stock"):
        project.write(name, text)
    project.run("makemigrations", "stock")
    project.run("migrate")
    assert "no issues" in project.run("check")
    (file,) = get_code_blocks("plain")

    output = project.run("shell", "--no-imports", "-c", IMPORT_ITEMS, input=file).splitlines()

    assert output[:3] == [
        "COMPLETE [(2, 'created'), (3, 'created'), (4, 'failed')]",
        "A1 2 2.50 ACC",
        "A2 1 0.75 ACC",
    ]
    assert len(output) == 7
    assert "\n".join(output[3:]) in PAGE


def test_the_page_lists_the_ids_of_the_system_checks():
    sources = "".join((PROJECT / "imports" / name).read_text() for name in CHECKS)
    section = PAGE.partition("## Messages of manage.py check")[2].partition("\n## ")[0]

    ids = set(re.findall(r'"([EW]0\d\d)"', sources))

    assert ids == set(re.findall(r"`([EW]\d+)`", section))


CHECKS = ("checks.py", "column_checks.py")
