"""User journeys in a real browser: from the upload of a file to the next step of the user."""

import openpyxl
import pytest
from django.conf import settings
from django.contrib.auth.models import Permission
from playwright.sync_api import expect

from customers.models import Customer
from imports.models import ImportJob
from tests.browser_tabs import (  # noqa: F401
    address,
    choose_file,
    chromium,
    expect_completion,
    expect_failed_rows,
    find_axe_violations,
    get_only_job,
    open_tab,
    press_import,
    progress_bar,
    running_worker,
    start_half_written_import,
    status_stamp,
    wait_until_live,
)
from tests.demo_data import create_demo_pages
from tests.factories import apply_all_batches, check_job, make_csv, make_row, run_import
from tests.streams import make_session_cookie, running_daphne

pytestmark = pytest.mark.django_db(transaction=True)


def test_columns_are_mapped_and_preview_is_shown_before_start(open_tab, alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    ImportJob.objects.all().delete()  # She saw the customer because of her import.
    alice.user_permissions.add(Permission.objects.get(codename="view_customer"))
    tab = open_tab()
    rows = [make_row(1, first="Efua"), make_row(2)]
    choose_file(tab, make_csv(rows, ["Thing", "Prénom", "Nom", "Courriel", "Other thing"]))
    tab.get_by_label("Update the existing record").check()
    tab.get_by_label("Check first").check()
    press_import(tab)
    expect(status_stamp(tab)).to_have_text("Waiting for a worker")
    check_job(get_only_job())

    expect(status_stamp(tab)).to_have_text("Column mapping needed")
    expect(tab.get_by_role("row", name="Thing", exact=False).first).to_contain_text("MARK 1")
    tab.get_by_label("Thing", exact=True).select_option(label="Phone *")
    tab.get_by_label("Other thing", exact=True).select_option(label="Phone *")
    tab.get_by_role("button", name="Check with these columns").click()
    expect(tab.get_by_role("alert")).to_contain_text("Phone is selected for more than one column.")
    tab.get_by_label("Thing", exact=True).select_option(label="Shipping mark *")
    tab.get_by_role("button", name="Check with these columns").click()
    expect(status_stamp(tab)).to_have_text("Waiting for a worker")
    check_job(get_only_job())

    expect(tab.locator("#import")).to_contain_text("1 row will be created")
    expect(tab.locator("#import")).to_contain_text("1 row will update an existing record")
    expect(tab.locator("del")).to_have_text("Ama")
    expect(tab.locator("ins")).to_have_text("Efua")
    tab.get_by_role("button", name="Start the import").click()
    expect(status_stamp(tab)).to_have_text("Importing")
    apply_all_batches(get_only_job().pk)
    expect(tab.locator("#import")).to_contain_text("All 2 rows were imported.")
    tab.get_by_role("link", name="View imported records").click()
    expect(tab.get_by_role("row", name="MARK 1")).to_contain_text("Efua")
    assert Customer.objects.count() == 2


def test_failed_rows_are_downloaded_corrected_and_uploaded_again(open_tab, tmp_path):
    tab = open_tab()
    tab.get_by_label("Update the existing record").check()
    choose_file(
        tab, make_csv([make_row(1), make_row(2, phone="12"), make_row(3, email="no"), make_row(4)])
    )
    press_import(tab)
    expect(status_stamp(tab)).to_have_text("Waiting for a worker")
    apply_all_batches(check_job(get_only_job()).pk)
    expect(tab.locator("#import")).to_contain_text("2 of 4 rows were imported.")

    workbook = download_file(tab, "Download failed rows", tmp_path)
    assert workbook.name == "failed-rows-customers.xlsx"
    correct_cells(workbook, {"B2": "Esi", "E2": "0244123452", "D3": "ama3@example.com"})
    tab.get_by_role("link", name="Upload corrected file").click()
    expect(tab.get_by_label("Update the existing record")).to_be_checked()
    tab.get_by_label("Spreadsheet").set_input_files(workbook)
    press_import(tab)
    expect(status_stamp(tab)).to_have_text("Waiting for a worker")
    apply_all_batches(check_job(ImportJob.objects.latest("created_at")).pk)

    expect(tab.locator("#import")).to_contain_text("All 2 rows were imported.")
    assert Customer.objects.count() == 4
    assert Customer.objects.get(first_name="Esi").phone == "+233244123452"


def download_file(tab, link, folder):
    """Click the link and return the downloaded file."""
    with tab.expect_download() as download:
        tab.get_by_role("link", name=link).click()
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file


def correct_cells(workbook, cells):
    book = openpyxl.load_workbook(workbook)
    for place, value in cells.items():
        book.active[place] = value
    book.save(workbook)


def test_template_uploaded_file_and_reports_are_downloaded(open_tab, tmp_path):
    tab = open_tab()
    template = download_file(tab, "Download a template workbook", tmp_path)
    assert openpyxl.load_workbook(template).active["A1"].value == "Shipping mark"
    content = make_csv([make_row(1, phone="12"), make_row(2)])
    choose_file(tab, content)
    press_import(tab)
    expect(status_stamp(tab)).to_have_text("Waiting for a worker")
    apply_all_batches(check_job(get_only_job()).pk)

    assert download_file(tab, "Download the uploaded file", tmp_path).read_bytes() == content
    assert "MARK 1" in download_file(tab, "CSV", tmp_path).read_text("utf-8-sig")
    assert download_file(tab, "Excel workbook", tmp_path).name == "failed-rows-customers.xlsx"


def test_file_is_read_again_with_another_encoding(open_tab):
    tab = open_tab()
    expect(tab.get_by_label("If a cell of the row is empty")).to_be_hidden()
    tab.get_by_label("Update the existing record").check()
    tab.get_by_label("If a cell of the row is empty").select_option(
        label="Clear the existing value"
    )
    tab.get_by_label("Check first").check()
    choose_file(tab, make_csv([make_row(1, first="Zoé")]))
    press_import(tab)
    expect(status_stamp(tab)).to_have_text("Waiting for a worker")
    assert check_job(get_only_job()).empty_cells == "clear"
    expect(tab.get_by_role("cell", name="Zoé")).to_be_visible()

    tab.get_by_text("Change how the file is read").click()
    tab.get_by_label("Character encoding").select_option("Western European (Windows)")
    tab.get_by_role("button", name="Check again").click()
    expect(status_stamp(tab)).to_have_text("Waiting for a worker")
    check_job(get_only_job())
    expect(tab.locator("#import")).to_contain_text("It is probably Zoé")
    expect(tab.locator("#import")).to_contain_text("ZoÃ©")


def test_guessed_encoding_links_to_the_encoding_option(open_tab):
    tab = open_tab()
    rows = [make_row(n, first="Zoé", last="Müller") for n in range(1, 9)]
    tab.get_by_label("Check first").check()
    choose_file(tab, make_csv(rows).decode().encode("windows-1252"))
    press_import(tab)
    expect(status_stamp(tab)).to_have_text("Waiting for a worker")
    check_job(get_only_job())
    expect(tab.locator("#import")).to_contain_text("Read as Western European (Windows).")
    expect(tab.get_by_label("Character encoding")).to_be_hidden()

    tab.get_by_role("link", name="Change the encoding").click()

    expect(tab.get_by_label("Character encoding")).to_be_visible()


def test_several_files_become_several_imports(open_tab):
    tab = open_tab()
    files = [
        {"name": f"{n}.csv", "mimeType": "text/csv", "buffer": make_csv([make_row(n)])}
        for n in range(3)
    ]
    tab.get_by_label("Spreadsheet").set_input_files(files)
    press_import(tab)

    expect(tab.locator("#upload-lines a[href]")).to_have_text(["0.csv", "1.csv", "2.csv"])
    expect(tab.locator(".list > li > a")).to_have_text(["2.csv", "1.csv", "0.csv"])
    assert (
        tab.locator("#upload-lines a")
        .first.get_attribute("href")
        .endswith(f"/imports/{ImportJob.objects.get(file_name='0.csv').pk}/")
    )


def test_only_the_failed_one_of_several_files_is_sent_again(open_tab):
    tab = open_tab()
    failure = {"status": 422, "body": '{"code": "x", "message": "No good.", "errors": []}'}
    seen = []

    def fail_second_upload(route):
        seen.append(route)
        if len(seen) == 2:
            route.fulfill(**failure)
        else:
            route.continue_()

    tab.route("**/api/imports/", fail_second_upload)
    files = [
        {"name": f"{n}.csv", "mimeType": "text/csv", "buffer": make_csv([make_row(n)])}
        for n in range(2)
    ]
    tab.get_by_label("Spreadsheet").set_input_files(files)
    press_import(tab)
    expect(tab.get_by_role("alert")).to_have_text("1.csv: No good.")
    press_import(tab)

    expect(tab.locator("#upload-lines a[href]")).to_have_text(["0.csv", "1.csv"])
    assert len(seen) == 3
    assert ImportJob.objects.count() == 2


def test_empty_one_of_several_files_is_named_and_the_others_are_uploaded(open_tab):
    tab = open_tab()
    contents = {"a.csv": make_csv([make_row(1)]), "bad.csv": b"", "b.csv": make_csv([make_row(2)])}
    files = [
        {"name": name, "mimeType": "text/csv", "buffer": content}
        for name, content in contents.items()
    ]
    named = "bad.csv: The file is empty. Choose a file that contains rows."
    tab.get_by_label("Spreadsheet").set_input_files(files)
    expect(tab.get_by_role("alert")).to_have_text(named)
    press_import(tab)

    expect(tab.locator("#upload-lines a[href]")).to_have_text(["a.csv", "b.csv"])
    expect(tab.get_by_role("alert")).to_have_text(named)
    expect(tab.get_by_label("Spreadsheet")).to_be_focused()
    expect(tab.locator(".list > li > a")).to_have_text(["b.csv", "a.csv"])
    assert set(ImportJob.objects.values_list("file_name", flat=True)) == {"a.csv", "b.csv"}


def test_page_polls_while_the_stream_is_broken_and_reconnects(open_tab):
    tab = open_tab()
    cut = True
    tab.route("**/*-*/events/", lambda route: route.abort() if cut else route.continue_())
    job = start_half_written_import(tab)
    expect(progress_bar(tab)).to_have_js_property("value", job.progress_percent)  # By polling.

    cut = False
    with tab.expect_response(lambda response: response.url.endswith("/events/")) as back:
        pass
    assert back.value.ok
    tab.route("**/api/imports/*-*/", lambda route: route.abort())  # Disables polling.
    apply_all_batches(job.pk)
    expect_completion(tab)


def test_page_survives_a_server_restart(open_tab, alice):
    tab = open_tab()
    with running_daphne() as first:
        port = first.port
        session = {"name": settings.SESSION_COOKIE_NAME, "value": make_session_cookie(alice)}
        tab.context.add_cookies([session | {"url": f"http://127.0.0.1:{port}"}])
        tab.goto(f"http://127.0.0.1:{port}/")
        job = start_half_written_import(tab)
        wait_until_live(tab)
    with running_daphne(port=port):
        apply_all_batches(job.pk)
        expect_completion(tab)


def test_import_with_keyboard_only(open_tab):
    tab = open_tab()
    choose_file(tab)
    tab.get_by_label("Spreadsheet").focus()
    for _ in range(3):  # The radio buttons, then "Check first", then the button.
        tab.keyboard.press("Tab")
    expect(tab.get_by_role("button", name="Import", exact=True)).to_be_focused()
    tab.keyboard.press("Enter")
    expect(status_stamp(tab)).to_have_text("Waiting for a worker")
    wait_until_live(tab)
    job = check_job(get_only_job())
    summary = tab.get_by_text("Cancel…")
    summary.focus()
    tab.keyboard.press("Enter")
    apply_all_batches(job.pk)

    expect_completion(tab)
    expect(
        tab.get_by_role("heading", level=1)
    ).to_be_focused()  # The page no longer has the focused button.
    tab.locator(".cause summary").first.focus()
    tab.keyboard.press("Enter")
    expect_failed_rows(tab)


def test_hidden_page_closes_its_stream(open_tab):
    tab = open_tab()
    start_half_written_import(tab)
    wait_until_live(tab)
    hide = """() => {
        Object.defineProperty(document, "hidden", { value: true, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with tab.expect_event("requestfailed", lambda request: request.url.endswith("/events/")):
        tab.evaluate(hide)


def test_axe_finds_no_violation_on_any_page(chromium, address, db):
    owner, pages = create_demo_pages()
    context = chromium.new_context(base_url=address, reduced_motion="reduce")
    tab = context.new_page()
    found = {}
    for path in ("/accounts/login/", *pages.values()):
        tab.goto(path)
        if reports := find_axe_violations(tab):
            found[path] = reports
        if "login" in path:
            session = {"name": settings.SESSION_COOKIE_NAME, "value": make_session_cookie(owner)}
            context.add_cookies([session | {"url": address}])
    context.close()
    assert found == {}
