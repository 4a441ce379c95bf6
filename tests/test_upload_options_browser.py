"""The options of importers on the upload page, in a real browser."""

from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from imports.models import ImportJob
from tests.browser_tabs import (  # noqa: F401
    choose_file,
    chromium,
    find_axe_violations,
    open_tabs,
    press_import,
)
from tests.conftest import create_user
from tests.factories import make_csv
from tests.processes import wait_for
from tests.streams import running_daphne

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = make_csv([["ANN", "1", "1"]], ["Mark", "Number", "Weight"])


@pytest.fixture
def tab(chromium, alice):  # noqa: F811
    """The upload page of a site with two importers. That of parcels has an upload form."""
    with open_upload_page(chromium, alice) as tab:
        yield tab


@contextmanager
def open_upload_page(chromium, user):  # noqa: F811
    with (
        running_daphne(DJANGO_SETTINGS_MODULE="tests.settings") as server,
        open_tabs(chromium, f"http://127.0.0.1:{server.port}") as open_for,
    ):
        tab = open_for(user)
        tab.goto("/")
        yield tab


def test_the_options_of_the_selected_importer_are_shown(tab):
    tab.get_by_label("Import as").select_option("customers")
    expect(tab.get_by_label("Fee")).to_be_hidden()

    tab.get_by_label("Import as").select_option("parcels")

    expect(tab.get_by_label("Fee")).to_be_visible()
    assert find_axe_violations(tab) == []


def test_options_are_corrected_and_uploaded(tab):
    tab.get_by_label("Import as").select_option("parcels")
    choose_file(tab, CONTENT)
    tab.get_by_label("Fee").fill("1000")
    tab.get_by_label("Second").check()
    press_import(tab)

    expect(tab.get_by_text("less than or equal to 100")).to_be_visible()
    expect(tab.get_by_label("Fee")).to_be_focused()
    expect(tab.get_by_label("Second")).to_be_checked()
    assert not ImportJob.objects.exists()

    tab.get_by_label("Fee").fill("2.50")
    press_import(tab)

    tab.wait_for_url("**/imports/*-*/")
    job = ImportJob.objects.get()
    assert (job.importer, job.importer_options) == ("parcels", {"fee": "2.50", "tags": ["b"]})
    expect(tab.get_by_text("Fee: 2.50")).to_be_visible()


def test_the_options_of_other_importers_are_not_uploaded(tab):
    tab.get_by_label("Import as").select_option("parcels")
    tab.get_by_label("Fee").fill("1000")
    tab.get_by_label("Import as").select_option("customers")
    choose_file(tab, CONTENT)

    press_import(tab)

    wait_for(ImportJob.objects.exists)
    assert ImportJob.objects.get().importer_options == {}


def test_the_duplicate_policies_follow_the_permissions_for_the_selected_importer(chromium):  # noqa: F811
    clerk = create_user(
        "clerk",
        "add_importjob",
        "add_customer",
        "add_parcel",
        "change_parcel",
        may_write_records=False,
    )
    with open_upload_page(chromium, clerk) as tab:
        skip, update, fail = (
            tab.locator(f"[name=on_duplicate][value={policy}]")
            for policy in ("skip", "update", "fail")
        )
        tab.get_by_label("Import as").select_option("customers")
        expect(update).to_be_disabled()
        expect(skip).to_be_checked()

        tab.get_by_label("Import as").select_option("parcels")
        expect(update).to_be_enabled()
        update.check()
        tab.get_by_label("Import as").select_option("customers")

        expect(update).to_be_disabled()
        expect(fail).to_be_enabled()
        expect(skip).to_be_checked()  # Not the policy that may not be chosen any more.
        choose_file(tab, CONTENT)
        press_import(tab)
        wait_for(ImportJob.objects.exists)
        job = ImportJob.objects.get()
        assert (job.importer, job.on_duplicate) == ("customers", "skip")


def test_a_policy_that_the_next_importer_allows_stays_chosen(tab):
    tab.get_by_label("Import as").select_option("customers")
    tab.locator("[name=on_duplicate][value=fail]").check()

    tab.get_by_label("Import as").select_option("parcels")

    expect(tab.locator("[name=on_duplicate][value=fail]")).to_be_checked()
