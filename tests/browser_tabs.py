"""Fixtures and actions for browser tests: tabs of a real browser, connected to a real Daphne.

The tests run the pipeline step by step in their own process, so that they control how far an
import has got.
"""

import os
import re
import subprocess
import sys
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import DEFAULT_OPTIONS, Axe
from django.conf import settings
from playwright.sync_api import expect

from devserver.supervisor import WORKER_COMMAND
from imports import progress
from imports.models import ImportJob
from imports.pipeline import batch_applier
from tests import browser as browsers
from tests.factories import check_job, make_csv, make_row
from tests.streams import PROJECT, get_django_environment, make_session_cookie, running_daphne

ROWS = 400
INVALID_PHONES = {7: "12", 70: "12345"}  # By row number.
MAX_WAIT_MS = 60_000


@pytest.fixture(scope="module")
def chromium():
    with browsers.launch_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(django_db_setup):
    with running_daphne() as server:
        yield f"http://127.0.0.1:{server.port}"


@contextmanager
def open_tabs(chromium, address, **every):
    """Yield a function that opens a tab, signed in as a user or not. Close all tabs at the end."""
    expect.set_options(timeout=MAX_WAIT_MS)
    contexts = []

    def open_for(owner=None, **options):
        context = chromium.new_context(base_url=address, **every, **options)
        context.set_default_timeout(MAX_WAIT_MS)
        contexts.append(context)
        if owner:
            session = {"name": settings.SESSION_COOKIE_NAME, "value": make_session_cookie(owner)}
            context.add_cookies([session | {"url": address}])
        return context.new_page()

    yield open_for
    for context in contexts:
        context.close()


@pytest.fixture
def open_tab(chromium, address, alice):
    """Return a function that opens the upload page, signed in as Alice."""
    with open_tabs(chromium, address) as open_for:

        def open_tab(signed_in=True, **options):
            tab = open_for(alice if signed_in else None, **options)
            tab.goto("/")
            return tab

        yield open_tab


@contextmanager
def running_worker():
    process = subprocess.Popen(
        [sys.executable, *WORKER_COMMAND],
        cwd=PROJECT,
        env=os.environ | get_django_environment() | {"IMPORTS_RECOVERY_INTERVAL_SECONDS": "0.5"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def make_customers_csv(rows=ROWS):
    """Return a CSV file whose rows are valid, except for INVALID_PHONES."""
    return make_csv(
        make_row(n, phone=INVALID_PHONES.get(n, f"+23324{n:07d}")) for n in range(2, rows + 2)
    )


def find_axe_violations(tab, **where):
    """Return axe's reports for the light and the dark theme. Leaves the tab in the dark theme."""
    found = []
    colour_rules = {"runOnly": ["color-contrast", "link-in-text-block"]}
    for scheme, options in (("light", {}), ("dark", colour_rules)):
        tab.emulate_media(color_scheme=scheme)
        tab.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
        result = Axe().run(tab, options=DEFAULT_OPTIONS | options, **where)
        if result.violations_count:
            found.append(f"{scheme}: {result.generate_report()}")
    return found


def choose_file(tab, content=None, name="customers.csv"):
    file = {"name": name, "mimeType": "text/csv", "buffer": content or make_customers_csv()}
    tab.get_by_label("Spreadsheet").set_input_files(file)


def press_import(tab):
    tab.get_by_role("button", name="Import", exact=True).click()


def status_stamp(tab):
    return tab.locator("#import .stamp")


def progress_bar(tab):
    return tab.locator("#import progress")


def wait_until_live(tab):
    """Wait for the first event of the stream, which sets the title to a percentage."""
    expect(tab).to_have_title(re.compile("%"))


def get_only_job():
    return ImportJob.objects.get()


def apply_batches(job, batches=1):
    """Write so many batches and publish the progress, as a worker does."""
    for number in job.batches.filter(applied_at=None).values_list("number", flat=True)[:batches]:
        job = batch_applier.apply_batch(job.pk, number)
        progress.publish(job)
    return job


def start_half_written_import(tab):
    """Upload a file, write half of its batches, and return the import."""
    choose_file(tab)
    press_import(tab)
    expect(status_stamp(tab)).to_have_text("Waiting for a worker")
    job = check_job(get_only_job())
    return apply_batches(job, job.batches.count() // 2)


def expect_completion(tab, rows=ROWS):
    expect(status_stamp(tab)).to_have_text("Complete")
    expect(progress_bar(tab)).to_have_js_property("value", 100)
    failed = len(INVALID_PHONES)
    sentence = f"{rows - failed:,} of {rows:,} rows were imported. {failed} failed."
    expect(tab.locator("#import")).to_contain_text(sentence)
    cause = tab.locator(".cause", has_text="This is not a phone number we can call.")
    expect(cause).to_contain_text(f"{failed} failed")


def expect_failed_rows(tab):
    rows = tab.locator(".ledger tbody")
    expect(rows).to_have_count(len(INVALID_PHONES))
    for row, (number, value) in zip(rows.all(), INVALID_PHONES.items(), strict=True):
        expect(row.get_by_role("rowheader")).to_have_text(str(number))
        expect(row).to_contain_text(value)
