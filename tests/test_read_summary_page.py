"""The read summary on the pages, in the API and in the admin, and the option for hidden rows."""

import pytest
from django.urls import reverse
from django.utils.translation import override

from imports import error_messages, lifecycle
from imports.conf import app_settings
from imports.models import ImportJob
from imports.statuses import Status
from tests.conftest import logged_in_client
from tests.factories import (
    HEADERS,
    apply_all_batches,
    check_job,
    make_csv,
    make_job,
    make_row,
    run_import,
)
from tests.spreadsheets import make_workbook
from tests.test_api_views import upload_file
from tests.test_openapi import published_schema, strict_schema, validate_response  # noqa: F401
from tests.test_options_page import UNCHANGED_OPTIONS, change_options, make_workbook_of_sheets
from tests.test_pages import create_import, visible_text

pytestmark = pytest.mark.django_db(transaction=True)

PARAMS = {
    "count": 3,
    "rows": [2, 57, 104],
    "column": "phone",
    "columns": ["Remarks", "Balance"],
    "encoding": "utf-8",
    "second_encoding": "windows-1252",
    "first": 3,
    "last": 4,
}
ENTRIES = [{"code": code, "params": PARAMS} for code in error_messages.READ_SUMMARY_MESSAGES]
HIDDEN_ROWS_ENTRY = [{"code": "hidden_row", "params": {"count": 2, "rows": [2, 3]}}]


def make_entry(code, count, **params):
    return {"code": code, "params": {**params, "count": count, "rows": list(range(2, count + 2))}}


def get_page(user, job, language="en"):
    client = logged_in_client(user)
    path = reverse("imports:detail", args=[job.pk])
    return client.get(path, headers={"accept-language": language}).content.decode()


def parse_entries(html):
    """Return the text of each entry, in their order."""
    block = html.partition('class="reading"')[2].partition("</section>")[0]
    return [visible_text(entry.partition(">")[2]) for entry in block.split("<li")[1:]]


def make_ready_import(content, owner, **options):
    job = check_job(make_job(content, owner=owner, check_first=True, **options))
    assert job.status == Status.READY
    return job


# --- Sentences ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "rows", "words"),
    [
        (1, [57], "Row 57"),
        (2, [57, 1234], "Rows 57, 1234"),
        (5, [2, 3, 4, 5, 6], "Rows 2, 3, 4, 5, 6"),
        (6, [2, 3, 4, 5, 6, 7], "Rows 2, 3, 4, 5, 6 and 1 more"),
        (2345, list(range(2, 22)), "Rows 2, 3, 4, 5, 6 and 2,340 more"),
    ],
)
def test_row_numbers_are_abbreviated(count, rows, words):
    entry = {"code": "total_row", "params": {"count": count, "rows": rows}}

    (note,) = error_messages.describe_read_summary([entry], "customers")

    assert note["rows"] == words


def test_row_numbers_are_translated():
    with override("fr"):
        named = [
            error_messages.describe_read_summary([make_entry("total_row", n)], "customers")[0][
                "rows"
            ]
            for n in (1, 2, 6, 7)
        ]

    assert named == [
        "Ligne 2",
        "Lignes 2, 3",
        "Lignes 2, 3, 4, 5, 6 et 1 autre",
        "Lignes 2, 3, 4, 5, 6 et 2 autres",
    ]


@pytest.mark.parametrize(
    "entry",
    [
        {"code": "code_of_a_later_release", "params": {"count": 1, "rows": [1], "so": {"on": 1}}},
        {"code": "code_of_a_later_release", "params": {}},
        {"code": "placeholder_as_empty", "params": {"column": "field_that_is_gone"}},
        {"code": "columns_joined", "params": {}},
        {"code": "total_row", "params": {"rows": [7]}},
    ],
)
def test_unknown_entry_breaks_no_page(alice, root, entry):
    job = create_import(Status.READY, alice, read_summary=[entry, *HIDDEN_ROWS_ENTRY])
    gone = create_import(Status.COMPLETE, alice, read_summary=[entry], importer="gone")

    for shown in (job, gone):
        admin = reverse("admin:imports_importjob_change", args=[shown.pk])
        assert "How the file was read" in get_page(alice, shown)
        assert logged_in_client(root).get(admin).status_code == 200
        sent = logged_in_client(alice).get(f"/api/imports/{shown.pk}/").json()["read_summary"]
        assert sent[0] | {"message": ""} == entry | {"message": ""}


# --- On the page -------------------------------------------------------------


def test_entries_that_need_attention_come_first(alice):
    job = create_import(Status.READY, alice, read_summary=ENTRIES)

    codes = [note["code"] for note in error_messages.describe_read_summary(ENTRIES, "customers")]
    shown = parse_entries(get_page(alice, job))

    first = error_messages.NEEDS_ATTENTION
    assert tuple(codes[: len(first)]) == first
    assert codes[len(first) :] == [
        c for c in error_messages.READ_SUMMARY_MESSAGES if c not in first
    ]
    assert [entry.partition(" ")[0] for entry in shown][:2] == ["These", "These"]
    assert "were read as windows-1252. Check their accents. Rows 2, 57, 104" in shown[0]
    assert "They are imported like all other rows. Rows 2, 57, 104" in shown[1]


@pytest.mark.parametrize(
    "status",
    [s for s in Status if s not in {"QUEUED", "CHECKING", "RUNNING", "UNDOING"}],
)
def test_summary_is_shown_in_every_inactive_status(alice, status):
    job = create_import(status, alice, read_summary=[make_entry("repeated_header", 1)])

    html = get_page(alice, job)

    assert parse_entries(html) == ["These rows repeat the headers and were not imported. Row 2"]
    assert html.count("repeat the headers") == 1


def test_ordinary_file_has_no_summary(alice):
    job = run_import(make_csv([make_row(1)]), owner=alice)

    assert job.read_summary == []
    assert "How the file was read" not in get_page(alice, job)


def test_summary_is_one_block_without_repetition(alice):
    rows = [[*make_row(n, first="Zoé"), "x", "y"] for n in range(1, 9)]
    sheets = make_workbook_of_sheets(
        Oct=[[*HEADERS, "Note", "Balance"], *rows], Nov=[HEADERS, make_row(2)]
    )
    text = make_csv(rows, [*HEADERS, "Note", "Balance"]).decode().encode("windows-1252")

    of_workbook = get_page(alice, make_ready_import(sheets, alice))
    of_text = get_page(alice, make_ready_import(text, alice))

    assert parse_entries(of_workbook) == [
        "Read from the sheet “Oct”. Not read: “Nov”",
        "Columns not imported: “Note”, “Balance”",
    ]
    assert parse_entries(of_text) == [
        "Columns not imported: “Note”, “Balance”",
        "Read as Western European (Windows). Do accents look wrong? Change the encoding",
    ]
    for html in (of_workbook, of_text):
        assert "were ignored" not in html  # The page lists these columns itself.
        assert html.count("How the file was read") == 1


def test_hidden_columns_are_listed_once(alice):
    job = make_ready_import(
        make_csv([[*make_row(1), "x", "y"]], [*HEADERS, "Note", "Old phone"]), alice
    )
    hidden = {"count": 1, "columns": ["Old phone"]}
    job.read_summary = [*job.read_summary, {"code": "hidden_columns_ignored", "params": hidden}]
    job.save(update_fields=["read_summary"])

    shown = parse_entries(get_page(alice, job))

    assert shown[0] == "Columns not imported: “Note”"
    assert shown[1].endswith("because another column fills the same field: Old phone.")
    assert len(shown) == 2


def test_ignored_columns_are_not_listed_on_the_mapping_page(alice):
    content = make_csv([[*make_row(1), "x"]], ["Code", *HEADERS[1:4], "Number", "Note"])
    job = check_job(make_job(content, owner=alice))
    assert job.status == Status.MAPPING
    assert [entry["code"] for entry in job.read_summary] == ["columns_ignored"]

    assert "How the file was read" not in get_page(alice, job)
    job.read_summary = [*job.read_summary, {"code": "second_reader", "params": {}}]
    job.save(update_fields=["read_summary"])
    (shown,) = parse_entries(get_page(alice, job))

    assert shown.startswith("This workbook was read with the alternative reader")


def test_entry_of_the_pipeline_is_shown_with_its_rows(alice, settings):
    settings.IMPORTS_READER_LIMITS = app_settings.READER_LIMITS | {"cell_length": 100}
    long = make_row(3, last="m" * 200)

    job = run_import(make_csv([make_row(1), make_row(2), long]), owner=alice)

    (shown,) = parse_entries(get_page(alice, job))
    assert shown.startswith("These rows contain a cell that is too long for a spreadsheet.")
    assert shown.endswith("Row 4")


@pytest.mark.parametrize("code", error_messages.READ_SUMMARY_MESSAGES)
def test_each_entry_is_translated(alice, code):
    entry = {"code": code, "params": PARAMS}
    job = create_import(Status.READY, alice, read_summary=[entry])
    english, french = (translate_entry(language, entry) for language in ("en", "fr"))

    html = get_page(alice, job, "fr")

    assert english != french
    if code != "columns_ignored":
        assert "Comment le fichier a été lu" in html
        assert visible_text(french) in visible_text(html).replace("&#x27;", "'")


def translate_entry(language, entry):
    with override(language):
        return error_messages.describe_read_summary([entry], "customers")[0]["sentence"]


# --- API and admin -------------------------------------------------


def test_api_returns_codes_and_english_sentences(alice, strict_schema):  # noqa: F811
    job, client = (
        create_import(Status.COMPLETE, alice, read_summary=ENTRIES),
        logged_in_client(alice),
    )
    address = f"/api/imports/{job.pk}/"

    response = client.get(address, headers={"accept-language": "fr"})
    sent = validate_response(strict_schema, response, "imports_retrieve")["read_summary"]

    assert [{"code": entry["code"], "params": entry["params"]} for entry in sent] == ENTRIES
    sentences = {entry["code"]: entry["message"] for entry in sent}
    assert sentences["placeholder_as_empty"].startswith("Phone: a placeholder such as n/a")
    assert sentences["columns_joined"] == (
        "Phone is read from the first of these columns that is not empty: Remarks, Balance."
    )
    assert "read_summary" not in client.get("/api/imports/").json()["results"][0]


def test_api_preview_contains_the_summary(alice, strict_schema):  # noqa: F811
    job = make_ready_import(make_csv([[*make_row(1), "x"]], [*HEADERS, "Note"]), alice)

    response = logged_in_client(alice).get(f"/api/imports/{job.pk}/preview/")
    sent = validate_response(strict_schema, response, "imports_preview")["read_summary"]

    message = "These columns do not match any field and were ignored: Note."
    params = {"count": 1, "columns": ["Note"]}
    assert sent == [{"code": "columns_ignored", "params": params, "message": message}]


def test_openapi_description_lists_every_code(published_schema):  # noqa: F811
    schemas = published_schema["components"]["schemas"]

    known, others = schemas["ReadSummaryEntry"]["properties"]["code"]["anyOf"]

    name = known["$ref"].rpartition("/")[2]
    assert set(error_messages.READ_SUMMARY_MESSAGES) <= set(schemas[name]["enum"])
    assert others == {"type": "string"}  # Later releases may add codes.


def test_admin_shows_every_entry(alice, root):
    opened = {"format": "xlsx", "sheets": ["A"], "hidden_columns": list(range(5_000))}
    job = create_import(Status.COMPLETE, alice, read_summary=ENTRIES, detected_format=opened)

    html = logged_in_client(root).get(reverse("admin:imports_importjob_change", args=[job.pk]))

    text = visible_text(html.content.decode())
    for note in error_messages.describe_read_summary(ENTRIES, "customers"):
        assert f"{note['sentence']} {note['rows']}" in text
    assert "hidden_columns: 0 / 1 / 2" in text
    assert "(+4990)" in text


# --- Hidden rows -------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "kept"),
    [({}, {}), ({"hidden_rows": "import"}, {}), ({"hidden_rows": "skip"}, {"hidden_rows": "skip"})],
)
def test_api_accepts_hidden_rows_option(alice, sent, kept):
    assert upload_file(logged_in_client(alice), **sent).json()["read_options"] == kept
    assert ImportJob.objects.get().read_options == kept


@pytest.mark.parametrize("wrong", ["hide", "true", "SKIP"])
def test_api_denies_unknown_hidden_rows_option(alice, wrong):
    job, client = make_ready_import(make_csv([make_row(1)]), alice), logged_in_client(alice)
    change = {"hidden_rows": wrong}

    for response in (
        upload_file(client, **change),
        client.patch(f"/api/imports/{job.pk}/", change, content_type="application/json"),
    ):
        (error,) = response.json()["errors"]
        assert (response.status_code, error["field"]) == (400, "hidden_rows")
        assert "import, skip" in error["message"]


def test_changing_hidden_rows_keeps_the_column_mapping(alice):
    job, client = make_ready_import(make_csv([make_row(1)]), alice), logged_in_client(alice)
    address = f"/api/imports/{job.pk}/"
    mapping = {"column_mapping": {"email": None}}
    client.patch(address, mapping, content_type="application/json")
    column_mapping = check_job(job).column_mapping
    assert column_mapping["email"] is None

    response = client.patch(address, {"hidden_rows": "skip"}, content_type="application/json")

    job.refresh_from_db()
    assert (response.status_code, job.status) == (202, Status.QUEUED)
    assert (job.column_mapping, job.read_options) == (column_mapping, {"hidden_rows": "skip"})
    assert (check_job(job).status, job.detected_columns["positions"].get("email")) == (
        Status.READY,
        None,
    )
    client.patch(address, {"hidden_rows": "import"}, content_type="application/json")
    job.refresh_from_db()
    assert (job.column_mapping, job.read_options) == (column_mapping, {})
    check_job(job)
    client.patch(address, {"delimiter": ","}, content_type="application/json")
    job.refresh_from_db()
    assert (job.column_mapping, job.detected_columns) == (None, None)  # It may have other columns.


def test_hidden_rows_and_column_mapping_are_changed_together(alice, strict_schema):  # noqa: F811
    job, client = make_ready_import(make_csv([make_row(1)]), alice), logged_in_client(alice)
    changes = {"hidden_rows": "skip", "column_mapping": {"email": None}}

    response = client.patch(f"/api/imports/{job.pk}/", changes, content_type="application/json")

    validate_response(strict_schema, response, "imports_change")
    job.refresh_from_db()
    assert job.read_options == {"hidden_rows": "skip"}
    assert job.column_mapping["email"] is None


@pytest.mark.parametrize(
    ("summary", "is_offered"),
    [
        ([], False),
        ([make_entry("total_row", 1)], False),
        (HIDDEN_ROWS_ENTRY, True),
        ([make_entry("hidden_row_skipped", 2)], True),
    ],
)
def test_hidden_rows_option_is_offered_only_if_there_are_hidden_rows(alice, summary, is_offered):
    job = make_ready_import(make_workbook(HEADERS, make_row(1)), alice)
    ImportJob.objects.filter(pk=job.pk).update(read_summary=summary)

    html = get_page(alice, job)

    assert ('name="hidden_rows"' in html) == is_offered
    assert ('href="#option-hidden_rows"' in html) == (summary == HIDDEN_ROWS_ENTRY)


def test_hidden_rows_are_excluded_and_included_on_the_page(alice):
    job, client = (
        make_ready_import(make_workbook(HEADERS, make_row(1)), alice),
        logged_in_client(alice),
    )
    kept = job.detected_columns

    for sent, options in (("skip", {"hidden_rows": "skip"}), ("import", {})):
        ImportJob.objects.filter(pk=job.pk).update(read_summary=HIDDEN_ROWS_ENTRY)
        change_options(client, job, hidden_rows=sent, **UNCHANGED_OPTIONS)
        assert (job.status, job.read_options, job.detected_columns) == (
            Status.QUEUED,
            options,
            kept,
        )
        assert check_job(job).status == Status.READY
        ImportJob.objects.filter(pk=job.pk).update(read_summary=HIDDEN_ROWS_ENTRY)
        assert f'<option value="{sent}" selected>' in get_page(alice, job)


def test_other_change_keeps_the_hidden_rows_option(alice):
    job = make_ready_import(
        make_workbook(HEADERS, make_row(1)), alice, read_options={"hidden_rows": "skip"}
    )

    lifecycle.check_again(job.pk, {"on_duplicate": "update"})

    assert apply_all_batches(check_job(job).pk).read_options == {"hidden_rows": "skip"}
