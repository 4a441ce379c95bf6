"""The admin in a real browser: actions, accessibility and layout of our own elements."""

import pytest
from playwright.sync_api import expect

from imports.statuses import Status
from tests.browser_tabs import address, chromium, find_axe_violations, open_tabs  # noqa: F401
from tests.demo_data import create_demo_admin_pages
from tests.factories import check_job, make_csv, make_job, make_row

pytestmark = pytest.mark.django_db(transaction=True)

OWN_ELEMENTS = [[".import-tools"], [".import-part"], [".field-state"], [".field-progress"]]
# The pages of other statuses show the same elements.
SIMILAR_PAGES = {
    "checking",
    "paused",
    "cancelled",
    "undoing",
    "undone",
    "no-rows",
    "all-in",
    "real",
}


@pytest.fixture
def open_admin(chromium, address):  # noqa: F811
    """Return a function that opens a tab and returns it with the errors of its pages."""
    with open_tabs(chromium, address, reduced_motion="reduce") as open_for:

        def open_admin(owner, **options):
            tab, complaints = open_for(owner, **options), []
            tab.on("console", lambda message: complaints.append(message.text))
            tab.route(
                "**/favicon.ico", lambda route: route.fulfill()
            )  # Django's admin has no icon.
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            return tab, complaints

        yield open_admin


def test_import_is_started_and_cancelled_from_its_page(open_admin, root):
    job = check_job(make_job(make_csv([make_row(1)]), check_first=True))
    tab, complaints = open_admin(root)
    tab.goto(f"/admin/imports/importjob/{job.pk}/change/")

    tab.get_by_role("button", name="Start the import").click()
    expect(tab.locator(".messagelist")).to_have_text("Started: customers.csv.")
    expect(tab.get_by_role("button", name="Start the import")).to_have_count(0)
    tab.get_by_text("Cancel…").click()
    tab.get_by_role("button", name="Cancel", exact=True).click()
    expect(tab.locator(".messagelist")).to_have_text("Cancelled: customers.csv.")

    job.refresh_from_db()
    assert job.status == Status.CANCELLED
    assert complaints == []


def test_own_elements_are_accessible_and_fit_a_phone(open_admin):
    owner, pages = create_demo_admin_pages()
    tab, complaints = open_admin(owner, viewport={"width": 360, "height": 800})
    found = {}
    for name in pages.keys() - {f"admin-{kind}" for kind in SIMILAR_PAGES}:
        tab.goto(pages[name])
        width = tab.evaluate("document.scrollingElement.scrollWidth")
        assert width <= 360, f"{name} is {width} wide"
        assert complaints == [], name
        if tab.locator(", ".join(selector for [selector] in OWN_ELEMENTS)).count():
            if reports := find_axe_violations(tab, context={"include": OWN_ELEMENTS}):
                found[name] = reports
            complaints.clear()  # The content security policy blocks styles of axe.
    assert found == {}


def test_list_fits_a_desktop_screen(open_admin):
    owner, pages = create_demo_admin_pages()
    tab, _ = open_admin(owner, viewport={"width": 1280, "height": 800})
    tab.goto(pages["admin-list-imports_importjob"])

    frame = tab.locator("#changelist-form .results").bounding_box()
    for cell in tab.locator("td:is(.field-created_at, .field-state, .field-counts)").all():
        box = cell.bounding_box()
        assert box["x"] + box["width"] <= frame["x"] + frame["width"]
