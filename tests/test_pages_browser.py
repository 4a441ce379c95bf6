"""The page of an import in a real browser, the first journey with a real worker too."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from imports import progress, snapshots
from imports.models import ImportJob
from imports.statuses import Status
from tests.browser_tabs import (  # noqa: F401
    address,
    choose,
    chromium,
    customers,
    expect_the_end,
    expect_the_refused_rows,
    half_way,
    is_live,
    open_tab,
    press_import,
    progress_of,
    status,
    step,
    the_job,
    worker,
)
from tests.factories import apply_all_batches, check_job, make_csv, make_job, make_row
from tests.test_success import EVERY_ROW_FAILS

pytestmark = pytest.mark.django_db(transaction=True)

MANY_ROWS = 20_000  # Enough to be seen moving on a fast machine.

# Writes down every value the bar is seen with, frame by frame.
REMEMBER_THE_BAR = """
window.seen = [];
const look = () => {
    const bar = document.querySelector("#import progress");
    if (bar && bar.value !== seen.at(-1)) seen.push(bar.value);
    requestAnimationFrame(look);
};
look();
"""
# Writes down each status that is shown, together with what decides its colour.
REMEMBER_THE_COLOURS = """
window.pairs = [];
new MutationObserver(() => {
    const { status, success } = document.querySelector("[data-status]").dataset;
    pairs.push([status, success]);
}).observe(document.body, { attributes: true, childList: true, subtree: true });
"""
# The server takes the first upload and answers, and the answer does not arrive.
LOSE_THE_FIRST_ANSWER = """
const real = Object.getOwnPropertyDescriptor(XMLHttpRequest.prototype, "status").get;
let lost = null;
Object.defineProperty(XMLHttpRequest.prototype, "status", {
    get() { lost ??= this; return lost === this ? 0 : real.call(this); },
});
"""
HOLD_THE_FIRST_ANSWER = """
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
DROP = """
(zone, [name, text]) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([text], name));
    for (const type of ["dragenter", "dragover", "drop"]) {
        const options = { dataTransfer, bubbles: true, cancelable: true };
        zone.dispatchEvent(new DragEvent(type, options));
    }
}
"""


# --- The journey -------------------------------------------------------------


def test_a_file_is_dropped_watched_and_its_refused_rows_are_listed(open_tab, alice):
    alice.set_password("sesame")
    alice.save()
    tab = open_tab(signed_in=False)
    tab.get_by_label("Username").fill("alice")
    tab.get_by_label("Password").fill("sesame")
    tab.get_by_role("button", name="Sign in").click()
    tab.add_init_script(REMEMBER_THE_BAR)
    held = []
    tab.route("**/api/imports/", lambda route: held.append(route))

    with worker():
        tab.locator(".drop label").evaluate(DROP, ["customers.csv", customers(MANY_ROWS).decode()])
        press_import(tab)
        expect(tab.get_by_role("progressbar", name="Upload")).to_be_visible()
        expect(tab.get_by_role("button", name="Import", exact=True)).to_be_disabled()
        held.pop().continue_()
        tab.wait_for_url("**/imports/*-*/")
        expect_the_end(tab, MANY_ROWS)

    seen = tab.evaluate("seen")
    assert seen == sorted(seen)
    assert len({value for value in seen if 0 < value < 100}) >= 3, seen
    expect(tab).to_have_title("Complete · customers.csv")
    tab.get_by_text("This is not a phone number we can call.").click()
    expect_the_refused_rows(tab)
    expect(tab.locator("#milestones")).to_contain_text("19,998 of 20,000 rows are in.")


@pytest.mark.parametrize("refuse", [lambda route: route.abort(), lambda route: None])
def test_without_a_stream_it_asks_by_itself(open_tab, refuse):
    """Refused at once, or held by a proxy that never answers."""
    tab = open_tab()
    tried = []

    def no_stream(route):
        tried.append(route)
        refuse(route)

    tab.route("**/events/", no_stream)
    job = half_way(tab)
    is_live(tab)
    expect(progress_of(tab)).to_have_js_property("value", job.progress_percent)
    apply_all_batches(job.pk)

    expect_the_end(tab)
    assert tried


def test_what_is_told_is_on_the_page_at_once(open_tab):
    tab = open_tab()
    tab.route("**/api/imports/*-*/", lambda route: route.abort())  # No polling here.
    job = half_way(tab)

    expect(progress_of(tab)).to_have_js_property("value", job.progress_percent)
    expect(tab.locator("[data-field=processed]")).to_have_text(f"{job.processed:,}")
    expect(tab).to_have_title(f"{job.progress_percent} % · customers.csv")
    apply_all_batches(job.pk)  # And nobody is told.

    expect_the_end(tab)


def test_a_page_reloaded_half_way_stands_where_it_stood_and_goes_on(open_tab):
    tab = open_tab()
    tab.add_init_script(REMEMBER_THE_BAR)
    job = half_way(tab)
    expect(progress_of(tab)).to_have_js_property("value", job.progress_percent)

    tab.reload()
    is_live(tab)
    step(job)
    expect(tab.locator("[data-field=processed]")).not_to_have_text(f"{job.processed:,}")
    apply_all_batches(job.pk)

    expect_the_end(tab)
    seen = tab.evaluate("seen")
    assert seen == sorted(seen)
    assert seen[0] == job.progress_percent


def test_a_snapshot_that_was_overtaken_is_dropped(open_tab):
    tab = open_tab()
    job = half_way(tab)
    newest = snapshots.build_snapshot(job)
    older = newest | {"version": job.version - 1, "progress_percent": 99}
    live = {"rows_per_second": 4321, "workers": 1, "stalled": True}
    same_later = newest | {"live": newest["live"] | live}
    events = [f"event: progress\ndata: {json.dumps(s)}\n\n" for s in (newest, older, same_later)]

    def answer(route):
        route.fulfill(content_type="text/event-stream", body="".join(events))

    tab.route("**/events/", answer)
    tab.reload()

    expect(tab.locator("#import")).to_contain_text("Rows a second 4,321")
    expect(tab.get_by_text("Nothing has moved for a while")).to_be_visible()
    expect(tab.get_by_text("No worker is running")).to_be_hidden()
    assert progress_of(tab).evaluate("bar => bar.value") == job.progress_percent


def test_a_checked_file_offers_its_start_by_itself(open_tab):
    tab = open_tab()
    choose(tab)
    tab.get_by_label("Check first").check()
    press_import(tab)
    expect(status(tab)).to_have_text("Waiting for a worker")
    is_live(tab)

    check_job(the_job())
    expect(tab.locator("#import")).to_contain_text("398 rows will be created")
    tab.get_by_role("button", name="Start the import").click()
    expect(status(tab)).to_have_text("Importing")
    apply_all_batches(the_job().pk)

    expect_the_end(tab)


def test_a_cancel_is_asked_back_once_and_seen_in_every_tab(open_tab):
    tab = open_tab()
    half_way(tab)
    other = tab.context.new_page()
    other.goto(tab.url)
    is_live(other)

    tab.get_by_text("Cancel…").click()
    tab.get_by_role("button", name="Yes, cancel it").click()

    for page in (tab, other):
        expect(status(page)).to_have_text("Cancelled")
        expect(page.locator("#import")).to_contain_text("200 rows were written before that")
        expect(page.get_by_text("Cancel…")).to_have_count(0)
    assert the_job().status == Status.CANCELLED


# --- What goes wrong with an upload ------------------------------------------


def abort_the_first(tab):
    attempts = []

    def meet(route):
        attempts.append(route)
        if len(attempts) == 1:
            route.abort("connectionreset")
        else:
            route.continue_()

    tab.route("**/api/imports/", meet)


def lose_the_first_answer(tab):
    tab.add_init_script(LOSE_THE_FIRST_ANSWER)
    tab.reload()


@pytest.mark.parametrize("break_it", [abort_the_first, lose_the_first_answer])
def test_an_upload_that_breaks_is_repeated_and_makes_one_import(open_tab, break_it):
    tab = open_tab()
    break_it(tab)
    keys = []
    tab.on("request", lambda request: keys.append(request.headers.get("idempotency-key")))

    choose(tab)
    press_import(tab)

    tab.wait_for_url("**/imports/*-*/")
    sent = [key for key in keys if key]
    assert len(sent) == 2
    assert len(set(sent)) == 1
    assert tab.url.endswith(f"/imports/{the_job().pk}/")


@pytest.mark.parametrize(
    ("status_code", "sentence"),
    [
        (413, "The file is larger than 100.0\xa0MB. Split it into several files."),
        (422, "Said by the server."),
        (500, "The server could not take the file (500)."),
    ],
)
def test_a_refused_upload_says_why_and_keeps_the_file(open_tab, status_code, sentence):
    tab = open_tab()
    choose(tab, content=b"x", name="kept.csv")
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
    assert the_job().file_name == "kept.csv"


def test_the_servers_own_sentence_is_shown(open_tab):
    tab = open_tab()
    choose(tab, content=b"x")
    tab.locator("[name=importer]").evaluate("field => { field.value = 'nobody'; }")

    press_import(tab)

    expect(tab.get_by_role("alert")).to_have_text("Say what the file holds: customers.")
    assert not ImportJob.objects.exists()


def test_without_a_file_nothing_is_sent(open_tab):
    tab = open_tab()
    press_import(tab)

    expect(tab.get_by_role("alert")).to_have_text("Choose a file first.")
    expect(tab.get_by_label("Spreadsheet")).to_be_focused()
    assert not ImportJob.objects.exists()


# --- Other ways to use it ----------------------------------------------------


def test_the_list_moves_by_itself(open_tab):
    tab = open_tab()
    job = half_way(tab)
    tab.get_by_role("link", name="All imports").click()
    entry = tab.get_by_role("listitem")
    expect(entry).to_contain_text("Importing")

    apply_all_batches(job.pk)

    expect(entry).to_contain_text("Complete")
    expect(entry).to_contain_text("Created 398")


def test_the_list_says_by_itself_why_an_import_failed(open_tab, alice):
    tab = open_tab()
    job = make_job(make_csv([]), owner=alice)
    progress.publish(job)
    entry = tab.get_by_role("listitem")
    expect(entry).to_contain_text("Waiting for a worker")
    no_longer_by_time(tab)

    check_job(job)

    expect(entry).to_contain_text("No rows were found")


def test_an_import_of_which_every_row_fails_is_never_shown_as_a_success(open_tab, alice):
    tab = open_tab()
    job = make_job(EVERY_ROW_FAILS, owner=alice)
    progress.publish(job)
    entry = tab.get_by_role("listitem")
    expect(entry).to_contain_text("Waiting for a worker")
    other = tab.context.new_page()
    other.goto(f"/imports/{job.pk}/")
    is_live(other)
    no_longer_by_time(tab)
    for page in (tab, other):
        page.evaluate(REMEMBER_THE_COLOURS)

    check_job(job)

    expect(entry.locator(".badge")).to_have_text("Nothing imported")
    expect(entry.get_by_text("Nothing was imported: every row failed.")).to_be_visible()
    expect(status(other)).to_have_text("Nothing imported")
    expect(other).to_have_title("Nothing imported · customers.csv")
    expect(other.locator("#milestones")).to_contain_text("Nothing was imported: every row failed.")
    for page, shown in ((tab, entry.locator(".badge")), (other, status(other))):
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
def test_the_list_tells_some_from_all_by_itself(open_tab, alice, rows, colour):
    tab = open_tab()
    job = make_job(make_csv(rows), owner=alice)
    progress.publish(job)
    entry = tab.get_by_role("listitem")
    expect(entry).to_contain_text("Waiting for a worker")
    no_longer_by_time(tab)

    apply_all_batches(check_job(job).pk)

    expect(entry.locator(".badge")).to_have_text("Complete")
    expect(entry.locator(".badge")).to_have_css("color", colour)
    expect(entry.get_by_text("Nothing was imported")).to_be_hidden()


def no_longer_by_time(tab):
    """After a silence a page would ask anyway."""
    tab.clock.pause_at(timezone.now() + timedelta(days=1))


def test_what_comes_while_the_list_is_asked_for_is_shown_too(open_tab, alice):
    tab = open_tab()
    tab.add_init_script(HOLD_THE_FIRST_ANSWER)
    tab.reload()
    announce("a.csv", alice)
    page = tab.locator("html")
    expect(page).to_have_attribute("data-held", "")  # The list with the first alone is on its way.

    announce("b.csv", alice)
    expect(page).to_have_attribute("data-heard", "2")
    tab.evaluate("release()")

    expect(tab.locator(".list > li > a")).to_have_text(["b.csv", "a.csv"])


def test_what_happens_while_the_list_is_asked_for_is_shown_too(open_tab, alice):
    tab = open_tab()
    tab.add_init_script(HOLD_THE_FIRST_ANSWER)
    job = announce("a.csv", alice)
    tab.reload()
    no_longer_by_time(tab)
    announce("b.csv", alice)
    page = tab.locator("html")
    expect(page).to_have_attribute("data-held", "")  # The list with both of them waiting.

    apply_all_batches(check_job(job).pk)
    entry = tab.locator(f'[data-import="{job.pk}"]')
    expect(entry).to_contain_text("Complete")
    tab.evaluate("release()")

    expect(tab.locator(".list > li > a")).to_have_text(["b.csv", "a.csv"])
    expect(entry).to_contain_text("Complete")


def announce(name, owner):
    job = make_job(customers(2), owner=owner)
    ImportJob.objects.filter(pk=job.pk).update(file_name=name)
    progress.publish(job)
    return job


def test_someone_signed_out_meanwhile_is_asked_to_sign_in(open_tab):
    tab = open_tab()
    tab.route("**/events/", lambda route: route.abort())
    half_way(tab)
    is_live(tab)

    tab.context.clear_cookies()

    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()


def test_so_is_someone_whose_list_wants_news(open_tab):
    tab = open_tab()
    half_way(tab)
    tab.get_by_role("link", name="All imports").click()
    expect(tab.get_by_role("listitem")).to_contain_text("Importing")

    tab.context.clear_cookies()

    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_whole_journey_without_any_script(open_tab):
    tab = open_tab(java_script_enabled=False)
    job = half_way(tab)

    expect(status(tab)).to_have_text("Importing")  # It reloads itself.
    expect(tab.locator("[data-field=processed]")).to_have_text(f"{job.processed:,}")
    apply_all_batches(job.pk)

    expect_the_end(tab)
    tab.get_by_text("This is not a phone number we can call.").click()
    tab.get_by_role("link", name="Show these rows").click()
    expect_the_refused_rows(tab)


def test_nothing_breaks_under_the_policy_and_no_other_host_is_asked(open_tab, address):
    tab = open_tab()
    problems, hosts = [], set()
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda request: hosts.add("/".join(request.url.split("/")[:3])))
    policy = tab.reload().headers["content-security-policy"]
    job = half_way(tab)
    is_live(tab)
    apply_all_batches(job.pk)

    expect_the_end(tab)
    assert problems == []
    assert hosts == {address}
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_narrow_page_does_not_scroll_sideways(open_tab):
    tab = open_tab(viewport={"width": 320, "height": 640})
    job = half_way(tab)
    ImportJob.objects.update(file_name="customers_of_all_offices_" * 8 + ".csv")
    apply_all_batches(job.pk)

    for path in ("/", f"/imports/{job.pk}/", "/nowhere/"):
        tab.goto(path)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 320, path
