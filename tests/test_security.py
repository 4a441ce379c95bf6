"""Controls that hold for the whole site: headers, files that leave it, and what pages show.

docs/security.md lists all controls, and the tests of each.
"""

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import dramatiq
import openpyxl
import pytest
from django.contrib.sessions.models import Session
from django.core.files.base import ContentFile
from django.test import Client
from django.urls import reverse

from customers.models import Customer
from imports import lifecycle
from imports.importer import Column, get_importer
from imports.models import ImportJob
from imports.pipeline import failed_rows_file
from imports.template_workbook import write_template
from imports.text_cell_values import show_control_characters
from tests.conftest import logged_in_client
from tests.factories import HEADERS, check_job, make_csv, make_job, make_row, run_import
from tests.parcels.importer import ParcelImporter
from tests.processes import worker
from tests.spreadsheets import make_row_xml, make_text_cell_xml, make_workbook_from_xml
from tests.streams import running_daphne
from tests.test_downloads import read_chunks
from tests.test_pages import fetch_all_pages
from tests.test_undo import undo_import

PROJECT = Path(__file__).resolve().parents[1]
FORMULAS = [
    '=HYPERLINK("http://x.example","y")',
    "@SUM(1+1)",
    "+cmd|' /C calc'!A0",
    "-1+1",
    "\uff1d1",
]
PHONE_NUMBER = re.compile(r"\+\d+")  # Computes nothing, and should stay readable.
REVERSED = "invoice\u202excod.exe"

# --- The configuration -------------------------------------------------------


def test_check_deploy_has_no_message_for_a_site_with_https():
    environment = {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": "k3yOfTheTest-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2,
        "DATABASE_URL": "postgres://a@localhost:1/b",
        "REDIS_URL": "redis://localhost:1/0",
        "ALLOWED_HOSTS": "imports.example.com",
        "HTTPS_ONLY": "on",
    }

    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    # About other hosts of the domain: see config.settings.
    assert "System check identified no issues (3 silenced)." in done.stdout


@pytest.mark.django_db
def test_cookies_of_a_login_are_out_of_reach_of_scripts_and_other_sites(alice, settings):
    settings.SECURE_SSL_REDIRECT = False
    alice.set_password("a-good-password")
    alice.save()

    response = Client().post(
        reverse("login"), {"username": alice.get_username(), "password": "a-good-password"}
    )

    cookie = response.cookies[settings.SESSION_COOKIE_NAME]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert Session.objects.count() == 1


# --- Forms of strangers ------------------------------------------------------


@pytest.mark.parametrize("address", ["/accounts/login/", "/admin/login/", "/"])
def test_a_large_form_of_a_stranger_is_refused_before_it_is_parsed(address):
    client = Client(enforce_csrf_checks=True)
    token = client.get("/accounts/login/").cookies["csrftoken"].value
    form = f"csrfmiddlewaretoken={token}&username=" + "%" * 64 * 1024

    page = client.post(address, form, content_type="application/x-www-form-urlencoded")

    assert page.status_code == 400


@pytest.mark.parametrize("address", ["/accounts/login/", "/admin/login/", "/", "/api/imports/"])
def test_a_file_of_a_stranger_is_not_stored(address):
    client = Client(enforce_csrf_checks=True)
    token = client.get("/accounts/login/").cookies["csrftoken"].value
    form = {"csrfmiddlewaretoken": token, "file": ContentFile(b"x", "x.csv")}

    request = client.post(address, form).wsgi_request

    assert request.POST["csrfmiddlewaretoken"] == token
    assert not request.FILES


# --- Headers -----------------------------------------------------------------


@pytest.mark.django_db
def test_every_page_has_a_policy_without_unsafe_sources(alice, root):
    admin = logged_in_client(root)
    job = run_import(make_csv([make_row(1, phone="12")]), owner=alice)
    pages = [*fetch_all_pages(alice)]
    pages += [
        admin.get(url, follow=True)
        for url in (
            "/",
            f"/imports/{job.pk}/",
            f"/imports/{job.pk}/history/",
            "/customers/",
            "/api/docs/",
            "/api/docs/?script=",
            "/api/",
            "/api/nowhere/",
            "/admin/",
            "/admin/imports/importjob/",
            f"/admin/imports/importjob/{job.pk}/change/",
            f"/admin/imports/importjob/{job.pk}/rows/",
            "/admin/login/",
        )
    ]

    for page in pages:
        policy = page["Content-Security-Policy"]
        assert "default-src 'none'" in policy, page.request["PATH_INFO"]
        assert "unsafe-" not in policy
        assert "*" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page["X-Content-Type-Options"] == "nosniff"
        assert page["X-Frame-Options"] == "DENY"
        assert page["Referrer-Policy"] == "same-origin"


@pytest.mark.django_db(transaction=True)
def test_files_are_attachments_that_no_browser_interprets(alice):
    job = run_import(make_csv([make_row(1, phone="12")]), owner=alice)
    client = logged_in_client(alice)
    for path in (
        f"/api/imports/{job.pk}/file/",
        f"/api/imports/{job.pk}/failed-rows.csv",
        f"/api/imports/{job.pk}/failed-rows.xlsx",
        "/api/imports/template.xlsx?importer=customers",
        f"/imports/{job.pk}/file/",
        f"/imports/{job.pk}/failed-rows.csv",
    ):
        response = client.get(path)
        assert response.status_code == 200, path
        read_chunks(response)
        assert response["Content-Disposition"].startswith("attachment;")
        assert response["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in response["Content-Security-Policy"]
        assert "html" not in response["Content-Type"]


# --- Formulas in files that leave the site -----------------------------------


def read_csv_cells(content):
    return [cell for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))) for cell in row]


def read_workbook_cells(content):
    book = openpyxl.load_workbook(io.BytesIO(content))
    return [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value]


def assert_is_harmless(csv_cells=(), workbook_cells=()):
    started = [text for text in csv_cells if text[:1] in set("=+-@\uff1d\t\r")]
    assert [text for text in started if not PHONE_NUMBER.fullmatch(text)] == []
    assert [cell.value for cell in workbook_cells if cell.data_type == "f"] == []


def write(function, *arguments):
    file = io.BytesIO()
    function(*arguments, file)
    return file.getvalue()


@pytest.mark.django_db
def test_formulas_in_failed_rows_and_their_headers_compute_nothing():
    rows = [[*make_row(n, phone="none"), text] for n, text in enumerate(FORMULAS)]
    headers = ["Shipping mark", "First name", "Last name", "E-mail", "Phone", "=1+1"]
    job = run_import(make_csv(rows, headers))
    assert job.failed == len(FORMULAS)

    csv_cells = read_csv_cells(write(failed_rows_file.write_csv, job))
    workbook_cells = read_workbook_cells(write(failed_rows_file.write_workbook, job))

    assert {f"'{text}" for text in [*FORMULAS, "=1+1"]} <= {*csv_cells}
    assert {*FORMULAS, "=1+1"} <= {cell.value for cell in workbook_cells}
    assert_is_harmless(csv_cells, workbook_cells)


@pytest.mark.django_db
def test_formulas_in_kept_rows_compute_nothing():
    rows = [[*make_row(n), text] for n, text in enumerate(FORMULAS)]
    headers = ["Shipping mark", "First name", "Last name", "E-mail", "Phone", "Remark"]
    job = run_import(make_csv(rows, headers))
    Customer.objects.update(first_name="Edited")
    undo_import(job)
    job.refresh_from_db()
    assert job.kept == len(FORMULAS)

    csv_file = io.BytesIO()
    failed_rows_file.write_csv(job, csv_file, selection=failed_rows_file.KEPT)
    csv_cells = read_csv_cells(csv_file.getvalue())
    workbook_cells = read_workbook_cells(write(failed_rows_file.write_kept_workbook, job))

    assert {f"'{text}" for text in FORMULAS} <= {*csv_cells}
    assert_is_harmless(csv_cells, workbook_cells)


def test_formulas_in_a_template_compute_nothing():
    column = Column("number", aliases=("=1+1",), example="=2+2", note="=3+3", required=True)
    importer = type("Formulas", (ParcelImporter,), {"columns": (column,)})

    cells = read_workbook_cells(write(write_template, importer))

    assert {"=1+1", "=2+2"} <= {cell.value for cell in cells}
    assert_is_harmless(workbook_cells=cells)
    assert get_importer("parcels") is ParcelImporter


# --- Formulas in uploaded files ----------------------------------------------


@pytest.mark.django_db
def test_formulas_of_an_uploaded_file_are_never_computed():
    request = 'WEBSERVICE("http://127.0.0.1:9/")'
    names = [
        f'<c r="B2" t="str"><f>{request}</f><v>Ama</v></c>',  # The program saved this result.
        f'<c r="B3" t="str"><f>{request}</f></c>',
        '<c r="B4"><f>1+1</f></c>',
        make_text_cell_xml("B5", "=1+1"),
        '<c r="B6"><f>1+1</f><v>7</v></c>',
    ]
    rows = [
        make_row_xml(
            1, *(make_text_cell_xml(f"{c}1", h) for c, h in zip("ABCDE", HEADERS, strict=True))
        )
    ]
    for number, name in enumerate(names, 2):
        mark, _, *others = make_row(number)
        cells = [
            make_text_cell_xml(f"{column}{number}", value)
            for column, value in zip("CDE", others, strict=True)
        ]
        rows.append(make_row_xml(number, make_text_cell_xml(f"A{number}", mark), name, *cells))

    job = run_import(make_workbook_from_xml(*rows))

    # The results that the program has saved, right or wrong.
    assert set(Customer.objects.values_list("first_name", flat=True)) == {"Ama", "7"}
    errors = {
        row.number: [(error["code"], error["value"]) for error in row.errors]
        for row in job.rows.order_by("number")
        if row.errors
    }
    assert errors == {
        3: [("required", "")],  # Without a result, a text formula is empty.
        4: [("formula_without_value", "")],
        5: [("formula", "=1+1")],
    }


# --- Text that misleads people -----------------------------------------------


def test_control_characters_are_shown_as_their_codes():
    assert show_control_characters(REVERSED) == "invoice⟨U+202E⟩xcod.exe"
    assert show_control_characters("a\x00b\x1b[31m\x9b") == "a⟨U+0000⟩b⟨U+001B⟩[31m⟨U+009B⟩"
    assert show_control_characters("\u2066a\u2069 \u2028") == "⟨U+2066⟩a⟨U+2069⟩ ⟨U+2028⟩"
    assert show_control_characters("شركة 客户\n\té") == "شركة 客户\n\té"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", [f"{REVERSED}.csv", "a\nb.csv", "\u2066x\u2069.csv", "\x1b[1m.csv"]
)
def test_file_name_is_stored_without_control_characters(alice, name):
    job = lifecycle.create_import(
        alice, ContentFile(make_csv([make_row(1)])), importer="customers", file_name=name
    )

    assert job.file_name == "".join(char for char in name if char.isprintable())
    assert job.file.name == f"imports/{job.pk}"


@pytest.mark.django_db
def test_pages_and_admin_show_no_control_character_of_a_file(alice, root):
    headers = ["Shipping mark", "First name", "Last name", "E-mail", "Phone", f"x{REVERSED}"]
    rows = [
        [*make_row(1, first=REVERSED, phone=f"12{REVERSED}"), "a"],
        [*make_row(2, mark=f"M{REVERSED}2"), "b"],
    ]
    content = make_csv(rows, headers)
    job = run_import(content, owner=alice)
    mapping = check_job(make_job(content, owner=alice, check_first=True))
    client, admin = logged_in_client(alice), logged_in_client(root)

    pages = [
        client.get("/"),
        client.get(f"/imports/{job.pk}/"),
        client.get(f"/imports/{job.pk}/rows/?outcome=failed"),
        client.get(f"/imports/{mapping.pk}/"),
        admin.get(f"/admin/imports/importjob/{job.pk}/change/"),
        admin.get(f"/admin/imports/importjob/{job.pk}/rows/"),
        admin.get("/admin/imports/importjob/"),
    ]

    assert job.failed > 0
    for page in pages:
        assert page.status_code == 200
        text = page.content.decode()
        assert "\u202e" not in text, page.request["PATH_INFO"]
    assert "⟨U+202E⟩" in pages[2].content.decode()
    assert "⟨U+202E⟩" in pages[5].content.decode()


@pytest.mark.django_db
def test_markup_of_a_file_is_text_on_every_page(alice, root):
    markup = "<img src=x onerror=alert(1)>"
    headers = ["Shipping mark", "First name", "Last name", "E-mail", "Phone", f"x{markup}"]
    rows = [[*make_row(1, first=markup, phone=f"12{markup}"), markup]]
    job = run_import(make_csv(rows, headers), owner=alice)
    ImportJob.objects.filter(pk=job.pk).update(file_name=f"{markup}.csv")
    client, admin = logged_in_client(alice), logged_in_client(root)

    for page in (
        client.get("/"),
        client.get(f"/imports/{job.pk}/"),
        client.get(f"/imports/{job.pk}/rows/?outcome=failed"),
        client.get(f"/imports/{job.pk}/history/"),
        admin.get(f"/admin/imports/importjob/{job.pk}/change/"),
        admin.get(f"/admin/imports/importjob/{job.pk}/rows/"),
    ):
        assert "<img src=x" not in page.content.decode(), page.request["PATH_INFO"]


@pytest.mark.django_db
def test_file_name_of_another_direction_is_isolated(alice):
    name = "קובץ לקוחות 12.csv"
    job = run_import(make_csv([make_row(1)]), owner=alice)
    ImportJob.objects.filter(pk=job.pk).update(file_name=name)
    client = logged_in_client(alice)

    for url in ("/", f"/imports/{job.pk}/", f"/imports/{job.pk}/history/"):
        assert f"<bdi>{name}</bdi>" in client.get(url).content.decode()


# --- Messages and secrets ----------------------------------------------------


def test_messages_are_json_which_executes_nothing():
    assert type(dramatiq.get_encoder()) is dramatiq.JSONEncoder
    sources = [*PROJECT.glob("imports/**/*.py"), *PROJECT.glob("config/*.py")]
    unsafe = re.compile(r"^\s*(?:import|from) (?:pickle|marshal|shelve|dill|yaml)\b", re.MULTILINE)
    assert [path.name for path in sources if unsafe.search(path.read_text())] == []


@pytest.mark.django_db
def test_error_pages_hold_no_settings(settings, alice):
    secrets = [
        settings.SECRET_KEY,
        settings.DATABASES["default"]["PASSWORD"] or settings.SECRET_KEY,
    ]
    client = logged_in_client(alice)
    client.raise_request_exception = False

    pages = [client.get("/nowhere/"), client.get("/api/nowhere/"), client.get("/api/imports/?x=1")]

    for page in pages:
        text = page.content.decode()
        assert [secret for secret in secrets if secret in text] == []
        assert "Traceback" not in text
    assert settings.DEBUG is False


@pytest.mark.django_db(transaction=True)
def test_command_lines_of_our_processes_hold_no_secret(settings):
    secret = "a-secret-that-ps-must-not-show-0123456789-abcdefghij-klmnop"
    with running_daphne(SECRET_KEY=secret) as server, worker(SECRET_KEY=secret) as running:
        server_titles = list_command_lines(server.process.pid)
        worker_titles = list_command_lines(running.process.pid)

    assert server_titles
    assert worker_titles
    for title in [*server_titles, *worker_titles]:
        assert secret not in title
        assert "postgres://" not in title
        assert "redis://" not in title


def list_command_lines(pid):
    """Return the command lines of a process and of its descendants."""
    done = subprocess.run(
        ["ps", "-e", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    processes = [line.split(None, 2) for line in done.stdout.splitlines()]
    pids = {str(pid)}
    for _ in range(4):
        pids |= {each[0] for each in processes if each[1] in pids}
    return [each[2] for each in processes if each[0] in pids]


@pytest.mark.django_db
def test_import_of_another_user_cannot_be_continued_by_its_id(alice, bob):
    job = check_job(make_job(make_csv([make_row(1)]), owner=alice, check_first=True))
    client = logged_in_client(bob)

    for command in ("start", "cancel", "retry", "undo", "pause", "resume"):
        assert client.post(f"/api/imports/{job.pk}/{command}/").status_code == 404
        assert client.post(f"/imports/{job.pk}/{command}/").status_code == 404
        assert client.get(f"/api/imports/{job.pk}/{command}/").status_code == 405
    assert ImportJob.objects.get().status == "READY"
