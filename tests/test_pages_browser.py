"""The pages in a real browser. The first test also uses a real worker."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from customers.models import Customer
from imports import lifecycle, progress, snapshots
from imports.models import ImportJob
from imports.pipeline import batch_applier, undo
from imports.statuses import Status
from tests.browser_tabs import (  # noqa: F401
    address,
    apply_batches,
    choose_file,
    chromium,
    expect_completion,
    expect_failed_rows,
    get_only_job,
    make_customers_csv,
    open_tab,
    open_tabs,
    press_import,
    progress_bar,
    running_worker,
    start_half_written_import,
    status_stamp,
    wait_until_live,
)
from tests.factories import (
    apply_all_batches,
    check_job,
    make_csv,
    make_job,
    make_row,
    run_import,
)
from tests.streams import running_daphne
from tests.test_success import EVERY_ROW_FAILS

pytestmark = pytest.mark.django_db(transaction=True)

MANY_ROWS = 20_000  # Enough for several progress updates on a fast machine.

# Records every value of the progress bar, frame by frame.
RECORD_BAR_VALUES = """
window.seen = [];
const look = () => {
    const bar = document.querySelector("#import progress");
    if (bar && bar.value !== seen.at(-1)) seen.push(bar.value);
    requestAnimationFrame(look);
};
look();
"""
# Records each status with the value that decides its colour.
RECORD_STATUS_CHANGES = """
window.pairs = [];
new MutationObserver(() => {
    const { status, success } = document.querySelector("[data-status]").dataset;
    pairs.push([status, success]);
}).observe(document.body, { attributes: true, childList: true, subtree: true });
"""
# The server accepts the first upload, but its response is lost.
LOSE_FIRST_RESPONSE = """
const real = Object.getOwnPropertyDescriptor(XMLHttpRequest.prototype, "status").get;
let lost = null;
Object.defineProperty(XMLHttpRequest.prototype, "status", {
    get() { lost ??= this; return lost === this ? 0 : real.call(this); },
});
"""
HOLD_FIRST_RESPONSE = """
const real = window.fetch;
window.fetch = async (...all) => {
    const answer = await real(...all);
    if (!window.release) {
        document.documentElement.dataset.held = "";
        await new Promise((resolve) => (window.release = resolve));
    }
    return answer;
};
const heard = new Set();
const add = EventSource.prototype.addEventListener;
EventSource.prototype.addEventListener = function (name, listener) {
    add.call(this, name, (event) => {
        listener(event);
        if (event.data) heard.add(JSON.parse(event.data).id);
        document.documentElement.dataset.heard = heard.size;
    });
};
"""
DROP_FILE = """
(zone, [name, text]) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([text], name));
    for (const type of ["dragenter", "dragover", "drop"]) {
        const options = { dataTransfer, bubbles: true, cancelable: true };
        zone.dispatchEvent(new DragEvent(type, options));
    }
}
"""


# --- Import -------------------------------------------------------------


def test_dropped_file_is_imported_and_its_failed_rows_are_listed(open_tab, alice):
    alice.set_password("sesame")
    alice.save()
    tab = open_tab(signed_in=False)
    tab.get_by_label("Username").fill("alice")
    tab.get_by_label("Password").fill("sesame")
    tab.get_by_role("button", name="Sign in").click()
    tab.add_init_script(RECORD_BAR_VALUES)
    held = []
    tab.route("**/api/imports/", lambda route: held.append(route))

    with running_worker():
        tab.locator(".drop label").evaluate(
            DROP_FILE, ["customers.csv", make_customers_csv(MANY_ROWS).decode()]
        )
        press_import(tab)
        expect(tab.get_by_role("progressbar", name="Upload")).to_be_visible()
        expect(tab.get_by_role("button", name="Import", exact=True)).to_be_disabled()
        held.pop().continue_()
        tab.wait_for_url("**/imports/*-*/")
        expect_completion(tab, MANY_ROWS)

    seen = tab.evaluate("seen")
    assert seen == sorted(seen)
    assert len({value for value in seen if 0 < value < 100}) >= 3, seen
    expect(tab).to_have_title("Complete · customers.csv")
    tab.get_by_text("This is not a phone number we can call.").click()
    expect_failed_rows(tab)
    expect(tab.locator("#milestones")).to_contain_text("19,998 of 20,000 rows were imported.")


@pytest.mark.parametrize("refuse", [lambda route: route.abort(), lambda route: None])
def test_page_polls_without_a_stream(open_tab, refuse):
    """The stream is denied at once, or held by a proxy that never responds."""
    tab = open_tab()
    tried = []

    def no_stream(route):
        tried.append(route)
        refuse(route)

    tab.route("**/events/", no_stream)
    job = start_half_written_import(tab)
    wait_until_live(tab)
    expect(progress_bar(tab)).to_have_js_property("value", job.progress_percent)
    apply_all_batches(job.pk)

    expect_completion(tab)
    assert tried


def test_stream_updates_the_page(open_tab):
    tab = open_tab()
    tab.route("**/api/imports/*-*/", lambda route: route.abort())  # Disables polling.
    job = start_half_written_import(tab)

    expect(progress_bar(tab)).to_have_js_property("value", job.progress_percent)
    expect(tab.locator("[data-field=processed]")).to_have_text(f"{job.processed:,}")
    expect(tab).to_have_title(f"{job.progress_percent} % · customers.csv")
    apply_all_batches(job.pk)  # Without publishing it.

    expect_completion(tab)


def test_reloaded_page_shows_the_same_progress_and_continues(open_tab):
    tab = open_tab()
    tab.add_init_script(RECORD_BAR_VALUES)
    job = start_half_written_import(tab)
    expect(progress_bar(tab)).to_have_js_property("value", job.progress_percent)

    tab.reload()
    wait_until_live(tab)
    apply_batches(job)
    expect(tab.locator("[data-field=processed]")).not_to_have_text(f"{job.processed:,}")
    apply_all_batches(job.pk)

    expect_completion(tab)
    seen = tab.evaluate("seen")
    assert seen == sorted(seen)
    assert seen[0] == job.progress_percent


def test_outdated_snapshot_is_ignored(open_tab):
    tab = open_tab()
    job = start_half_written_import(tab)
    newest = snapshots.build_snapshot(job)
    older = newest | {"version": job.version - 1, "progress_percent": 99}
    live = {"rows_per_second": 4321, "workers": 1, "stalled": True, "stalled_reason": "unknown"}
    same_later = newest | {"live": newest["live"] | live}
    events = [f"event: progress\ndata: {json.dumps(s)}\n\n" for s in (newest, older, same_later)]

    def send_events(route):
        route.fulfill(content_type="text/event-stream", body="".join(events))

    tab.route("**/events/", send_events)
    tab.reload()

    expect(tab.locator("#import")).to_contain_text("Rows per second 4,321")
    expect(tab.get_by_text("The import has made no progress for a while")).to_be_visible()
    expect(tab.get_by_text("No worker is running")).to_be_hidden()
    assert progress_bar(tab).evaluate("bar => bar.value") == job.progress_percent


def test_checked_import_offers_start_without_reload(open_tab):
    tab = open_tab()
    choose_file(tab)
    tab.get_by_label("Check first").check()
    press_import(tab)
    expect(status_stamp(tab)).to_have_text("Waiting for a worker")
    wait_until_live(tab)

    check_job(get_only_job())
    expect(tab.locator("#import")).to_contain_text("398 rows will be created")
    tab.get_by_role("button", name="Start the import").click()
    expect(status_stamp(tab)).to_have_text("Importing")
    apply_all_batches(get_only_job().pk)

    expect_completion(tab)


def test_cancel_is_confirmed_and_shown_in_every_tab(open_tab):
    tab = open_tab()
    start_half_written_import(tab)
    other = tab.context.new_page()
    other.goto(tab.url)
    wait_until_live(other)

    tab.get_by_text("Cancel…").click()
    tab.get_by_role("button", name="Yes, cancel the import").click()

    for page in (tab, other):
        expect(status_stamp(page)).to_have_text("Cancelled")
        expect(page.locator("#import")).to_contain_text(
            "200 rows were written before the import stopped."
        )
        expect(page.get_by_text("Cancel…")).to_have_count(0)
    assert get_only_job().status == Status.CANCELLED


# --- Upload errors ------------------------------------------


def abort_first_upload(tab):
    attempts = []

    def handle(route):
        attempts.append(route)
        if len(attempts) == 1:
            route.abort("connectionreset")
        else:
            route.continue_()

    tab.route("**/api/imports/", handle)


def lose_first_response(tab):
    tab.add_init_script(LOSE_FIRST_RESPONSE)
    tab.reload()


@pytest.mark.parametrize("break_it", [abort_first_upload, lose_first_response])
def test_broken_upload_is_retried_and_creates_one_import(open_tab, break_it):
    tab = open_tab()
    break_it(tab)
    keys = []
    tab.on("request", lambda request: keys.append(request.headers.get("idempotency-key")))

    choose_file(tab)
    press_import(tab)

    tab.wait_for_url("**/imports/*-*/")
    sent = [key for key in keys if key]
    assert len(sent) == 2
    assert len(set(sent)) == 1
    assert tab.url.endswith(f"/imports/{get_only_job().pk}/")


@pytest.mark.parametrize(
    ("status_code", "sentence"),
    [
        (413, "The file is larger than 100.0\xa0MB. Split it into several files."),
        (422, "Said by the server."),
        (500, "The server could not accept the file (error 500)."),
    ],
)
def test_failed_upload_shows_error_and_keeps_the_file(open_tab, status_code, sentence):
    tab = open_tab()
    choose_file(tab, content=b"x", name="kept.csv")
    body = '{"code": "x", "message": "Said by the server.", "errors": []}'
    body = body if status_code < 500 else "<h1>Not ours</h1>"
    tab.route(
        "**/api/imports/", lambda route: route.fulfill(status=status_code, body=body), times=1
    )

    press_import(tab)
    expect(tab.get_by_role("alert")).to_contain_text(sentence)
    expect(tab.get_by_role("button", name="Import", exact=True)).to_be_enabled()
    press_import(tab)  # The same file, without choosing it again.

    tab.wait_for_url("**/imports/*-*/")
    assert get_only_job().file_name == "kept.csv"


def test_error_message_of_the_server_is_shown(open_tab):
    tab = open_tab()
    choose_file(tab, content=b"x")
    tab.locator("[name=importer]").evaluate("field => { field.value = 'nobody'; }")

    press_import(tab)

    expect(tab.get_by_role("alert")).to_have_text("Say what the file holds: customers.")
    assert not ImportJob.objects.exists()


def test_files_over_a_quota_show_links_to_the_imports_that_can_be_deleted(
    chromium,
    alice,
):
    large = run_import(make_csv([make_row(n) for n in range(9)]), owner=alice)
    small = run_import(make_csv([make_row(1)]), owner=alice)
    ImportJob.objects.filter(pk=large.pk).update(file_name="<b>large.csv")
    limit = large.file_size + small.file_size
    with (
        running_daphne(IMPORTS_MAX_STORED_BYTES_PER_USER=str(limit)) as server,
        open_tabs(chromium, f"http://127.0.0.1:{server.port}") as open_for,
    ):
        tab = open_for(alice)
        tab.goto("/")
        names = ("first.csv", "second.csv")
        files = [{"name": name, "mimeType": "text/csv", "buffer": b"x"} for name in names]
        tab.get_by_label("Spreadsheet").set_input_files(files)
        press_import(tab)

        alert = tab.get_by_role("alert")
        expect(alert).to_contain_text("first.csv: Your uploaded files take")
        expect(alert).to_contain_text("second.csv: Your uploaded files take")
        # Each import once, although it was named for both files.
        links = tab.locator("#upload-lines a[href]")
        expect(links).to_have_text(["<b>large.csv", small.file_name])
        links.first.click()
        tab.wait_for_url(f"**/imports/{large.pk}/")
        expect(tab.get_by_text("Delete the file and the rows…", exact=True)).to_be_visible()


def test_upload_without_file_sends_nothing(open_tab):
    tab = open_tab()
    press_import(tab)

    expect(tab.get_by_role("alert")).to_have_text("Choose a file first.")
    expect(tab.get_by_label("Spreadsheet")).to_be_focused()
    assert not ImportJob.objects.exists()


# --- List and other conditions ----------------------------------------------------


def test_list_is_updated_by_the_stream(open_tab):
    tab = open_tab()
    job = start_half_written_import(tab)
    tab.get_by_role("link", name="All imports").click()
    entry = tab.get_by_role("listitem")
    expect(entry).to_contain_text("Importing")

    apply_all_batches(job.pk)

    expect(entry).to_contain_text("Complete")
    expect(entry).to_contain_text("Created 398")


def test_list_shows_failure_reason_without_reload(open_tab, alice):
    tab = open_tab()
    job = make_job(make_csv([]), owner=alice)
    progress.publish(job)
    entry = tab.get_by_role("listitem")
    expect(entry).to_contain_text("Waiting for a worker")
    disable_polling(tab)

    check_job(job)

    expect(entry).to_contain_text("No rows were found")


def test_import_with_only_failed_rows_is_never_shown_as_success(open_tab, alice):
    tab = open_tab()
    job = make_job(EVERY_ROW_FAILS, owner=alice)
    progress.publish(job)
    entry = tab.get_by_role("listitem")
    expect(entry).to_contain_text("Waiting for a worker")
    other = tab.context.new_page()
    other.goto(f"/imports/{job.pk}/")
    wait_until_live(other)
    disable_polling(tab)
    for page in (tab, other):
        page.evaluate(RECORD_STATUS_CHANGES)

    check_job(job)

    expect(entry.locator(".badge")).to_have_text("Nothing imported")
    expect(entry.get_by_text("Nothing was imported: every row failed.")).to_be_visible()
    expect(status_stamp(other)).to_have_text("Nothing imported")
    expect(other).to_have_title("Nothing imported · customers.csv")
    expect(other.locator("#milestones")).to_contain_text("Nothing was imported: every row failed.")
    for page, shown in ((tab, entry.locator(".badge")), (other, status_stamp(other))):
        expect(shown).to_have_css("color", "rgb(179, 38, 30)")
        assert {pair for pair in map(tuple, page.evaluate("pairs")) if pair[0] == "COMPLETE"} == {
            ("COMPLETE", "none")
        }


@pytest.mark.parametrize(
    ("rows", "colour"),
    [
        ([make_row(1)], "rgb(20, 104, 58)"),
        ([make_row(1), make_row(2, phone="12")], "rgb(122, 85, 0)"),
    ],
)
def test_list_distinguishes_some_and_all_rows_imported_without_reload(
    open_tab, alice, rows, colour
):
    tab = open_tab()
    job = make_job(make_csv(rows), owner=alice)
    progress.publish(job)
    entry = tab.get_by_role("listitem")
    expect(entry).to_contain_text("Waiting for a worker")
    disable_polling(tab)

    apply_all_batches(check_job(job).pk)

    expect(entry.locator(".badge")).to_have_text("Complete")
    expect(entry.locator(".badge")).to_have_css("color", colour)
    expect(entry.get_by_text("Nothing was imported")).to_be_hidden()


def disable_polling(tab):
    """Stop the clock, because a page polls after some time without an event."""
    tab.clock.pause_at(timezone.now() + timedelta(days=1))


def test_import_created_during_list_refresh_is_shown(open_tab, alice):
    tab = open_tab()
    tab.add_init_script(HOLD_FIRST_RESPONSE)
    tab.reload()
    publish_new_import("a.csv", alice)
    page = tab.locator("html")
    expect(page).to_have_attribute(
        "data-held", ""
    )  # The list with only the first import is being fetched.

    publish_new_import("b.csv", alice)
    expect(page).to_have_attribute("data-heard", "2")
    tab.evaluate("release()")

    expect(tab.locator(".list > li > a")).to_have_text(["b.csv", "a.csv"])


def test_status_change_during_list_refresh_is_shown(open_tab, alice):
    tab = open_tab()
    tab.add_init_script(HOLD_FIRST_RESPONSE)
    job = publish_new_import("a.csv", alice)
    tab.reload()
    disable_polling(tab)
    publish_new_import("b.csv", alice)
    page = tab.locator("html")
    expect(page).to_have_attribute(
        "data-held", ""
    )  # The list with both imports waiting is being fetched.

    apply_all_batches(check_job(job).pk)
    entry = tab.locator(f'[data-import="{job.pk}"]')
    expect(entry).to_contain_text("Complete")
    tab.evaluate("release()")

    expect(tab.locator(".list > li > a")).to_have_text(["b.csv", "a.csv"])
    expect(entry).to_contain_text("Complete")


def publish_new_import(name, owner):
    job = make_job(make_customers_csv(2), owner=owner)
    ImportJob.objects.filter(pk=job.pk).update(file_name=name)
    progress.publish(job)
    return job


def test_import_page_asks_signed_out_user_to_sign_in(open_tab):
    tab = open_tab()
    tab.route("**/events/", lambda route: route.abort())
    start_half_written_import(tab)
    wait_until_live(tab)

    tab.context.clear_cookies()

    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()


def test_list_asks_signed_out_user_to_sign_in(open_tab):
    tab = open_tab()
    start_half_written_import(tab)
    tab.get_by_role("link", name="All imports").click()
    expect(tab.get_by_role("listitem")).to_contain_text("Importing")

    tab.context.clear_cookies()

    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()


def test_import_without_script(open_tab):
    tab = open_tab(java_script_enabled=False)
    job = start_half_written_import(tab)

    expect(status_stamp(tab)).to_have_text("Importing")  # The page reloads itself.
    expect(tab.locator("[data-field=processed]")).to_have_text(f"{job.processed:,}")
    apply_all_batches(job.pk)

    expect_completion(tab)
    tab.get_by_text("This is not a phone number we can call.").click()
    tab.get_by_role("link", name="Show these rows").click()
    expect_failed_rows(tab)


def test_pages_obey_content_security_policy_and_request_no_other_host(open_tab, address):
    tab = open_tab()
    problems, hosts = [], set()
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda request: hosts.add("/".join(request.url.split("/")[:3])))
    policy = tab.reload().headers["content-security-policy"]
    job = start_half_written_import(tab)
    wait_until_live(tab)
    apply_all_batches(job.pk)

    expect_completion(tab)
    assert problems == []
    assert hosts == {address}
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_narrow_page_does_not_scroll_sideways(open_tab):
    tab = open_tab(viewport={"width": 320, "height": 640})
    job = start_half_written_import(tab)
    ImportJob.objects.update(file_name="customers_of_all_offices_" * 8 + ".csv")
    apply_all_batches(job.pk)

    for path in ("/", f"/imports/{job.pk}/", "/nowhere/"):
        tab.goto(path)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 320, path


# --- Pause and resume --------------------------------------------------------


def test_a_live_import_is_paused_and_resumed_in_two_tabs(open_tab):
    tab = open_tab()
    job = start_half_written_import(tab)
    wait_until_live(tab)
    other = open_tab()
    other.goto(tab.url)
    other.evaluate("window.isSamePage = true")
    half = progress_bar(other).evaluate("bar => bar.value")
    assert 33 < half < 100

    tab.get_by_role("button", name="Pause").click()

    for each in (tab, other):
        expect(status_stamp(each)).to_have_text("Paused")
        expect(each.get_by_role("button", name="Resume")).to_be_visible()
        expect(each.get_by_role("button", name="Pause")).to_have_count(0)
        expect(each.locator("#import")).to_contain_text("Nothing happens until someone resumes")
        expect(progress_bar(each)).to_have_js_property("value", half)
    assert batch_applier.apply_batch(job.pk, job.batches.last().number) is None

    other.get_by_role("button", name="Resume").click()
    for each in (tab, other):
        expect(status_stamp(each)).to_have_text("Importing")
        expect(each.get_by_role("button", name="Pause")).to_be_visible()
    apply_all_batches(job.pk)
    progress.publish(get_only_job())
    for each in (tab, other):
        expect_completion(each)
        expect(each.get_by_role("button", name="Pause")).to_have_count(0)


def test_buttons_follow_the_status_without_a_reload(open_tab):
    tab = open_tab()
    choose_file(tab)
    press_import(tab)
    wait_until_live(tab)
    tab.evaluate("window.isSamePage = true")
    pause = tab.get_by_role("button", name="Pause")
    expect(pause).to_be_hidden()

    job = check_job(get_only_job())
    progress.publish(job)
    expect(pause).to_be_visible()

    lifecycle.pause(job)
    expect(tab.get_by_role("button", name="Resume")).to_be_visible()
    lifecycle.resume(job)
    expect(pause).to_be_visible()
    lifecycle.cancel(job)
    expect(pause).to_have_count(0)
    expect(tab.get_by_text("Cancel…")).to_have_count(0)
    expect(tab.locator(".events")).to_contain_text("Cancelled the import")
    assert tab.evaluate("window.isSamePage")


def test_an_import_is_paused_and_resumed_in_the_list(open_tab, alice):
    job = check_job(make_job(make_customers_csv(), owner=alice))
    tab = open_tab()
    item = tab.locator(f'[data-import="{job.pk}"]')

    item.get_by_role("button", name="Pause").click()
    expect(item.locator(".badge")).to_have_text("Paused")
    tab.evaluate("window.isSamePage = true")
    assert tab.url.endswith("/")

    lifecycle.resume(job)
    expect(item.get_by_role("button", name="Pause")).to_be_visible()
    expect(item.get_by_role("button", name="Resume")).to_be_hidden()
    assert tab.evaluate("window.isSamePage")


def test_buttons_work_without_scripts(open_tab, alice):
    job = check_job(make_job(make_customers_csv(), owner=alice))
    tab = open_tab(java_script_enabled=False)
    tab.goto(f"/imports/{job.pk}/")

    tab.get_by_role("button", name="Pause").click()
    expect(status_stamp(tab)).to_have_text("Paused")
    expect(tab.locator(".events")).to_contain_text("Paused the import")
    tab.get_by_role("button", name="Resume").click()
    expect(status_stamp(tab)).to_have_text("Importing")


# --- Undo --------------------------------------------------------------------


def test_an_undo_is_previewed_and_followed_to_its_end(open_tab, alice, settings):
    settings.IMPORTS_BATCHES_PER_SMALL_FILE = 4
    job = run_import(make_csv([make_row(n) for n in range(400)]), owner=alice)
    Customer.objects.filter(shipping_mark="MARK 7").update(first_name="Edited")
    tab = open_tab()
    tab.goto(f"/imports/{job.pk}/")

    tab.get_by_role("link", name="Undo").click()
    expect(tab.locator("[data-field=removed]")).to_have_text("399")
    expect(tab.locator("main")).to_contain_text("1 is kept: The record was edited after the import")
    tab.get_by_role("button", name="Yes, undo the import").click()

    expect(status_stamp(tab)).to_have_text("Undoing")
    wait_until_live(tab)
    tab.evaluate("window.isSamePage = true")
    percents, removed = [], []
    while (job := undo.undo_next_batch(job.pk)).status == Status.UNDOING:
        progress.publish(job)
        expect(tab.locator("[data-field=removed]")).to_have_text(str(job.removed))
        expect(tab.locator("[data-field=kept]")).to_have_text(str(job.kept))
        expect(progress_bar(tab)).to_have_js_property("value", job.progress_percent)
        removed.append(job.removed)
        percents.append(job.progress_percent)
    progress.publish(job)

    assert removed == sorted(set(removed))
    assert percents == sorted(set(percents))
    assert 0 < percents[0] < percents[-1] < 100
    expect(status_stamp(tab)).to_have_text("Undone")
    expect(tab).to_have_title("Undone · customers.csv")
    expect(tab.locator("#import")).to_contain_text("Records that undo has kept")
    expect(tab.locator("#import")).to_contain_text("1 is kept: The record was edited")
    assert tab.evaluate("window.isSamePage")
    tab.get_by_role("link", name="Show these rows").click()
    expect(tab.locator("main")).to_contain_text("MARK 7")
