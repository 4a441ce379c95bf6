"""Tabs of a real browser on a real Daphne, and what is done in them.

The pipeline is carried on step by step from here, so that "half way" is a place and not a
moment.
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
BAD_ROWS = {7: "12", 70: "12345"}  # Of one cause.
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def chromium():
    with browsers.launch_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(django_db_setup):
    with running_daphne() as server:
        yield f"http://127.0.0.1:{server.port}"


@contextmanager
def tabs(chromium, address, **every):
    """Opens blank tabs of anyone's, or of nobody's, and closes them in the end."""
    expect.set_options(timeout=PATIENCE_MS)
    contexts = []

    def open_for(owner=None, **options):
        context = chromium.new_context(base_url=address, **every, **options)
        context.set_default_timeout(PATIENCE_MS)
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
    """Tabs of Alice's, at the page that takes files."""
    with tabs(chromium, address) as open_for:

        def open_tab(signed_in=True, **options):
            tab = open_for(alice if signed_in else None, **options)
            tab.goto("/")
            return tab

        yield open_tab


@contextmanager
def worker():
    process = subprocess.Popen(
        [sys.executable, *WORKER_COMMAND],
        cwd=PROJECT,
        env=os.environ | get_django_environment() | {"IMPORT_RECOVERY_SECONDS": "0.5"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def customers(rows=ROWS):
    """A file whose rows bear their own numbers, all but two of them valid."""
    return make_csv(
        make_row(n, phone=BAD_ROWS.get(n, f"+23324{n:07d}")) for n in range(2, rows + 2)
    )


def what_axe_finds(tab, **where):
    """Its reports, in the light and in the dark, where it then stays; only colours differ."""
    found = []
    of_colours = {"runOnly": ["color-contrast", "link-in-text-block"]}
    for scheme, options in (("light", {}), ("dark", of_colours)):
        tab.emulate_media(color_scheme=scheme)
        tab.evaluate("document.getAnimations().forEach((one) => one.finish())")
        result = Axe().run(tab, options=DEFAULT_OPTIONS | options, **where)
        if result.violations_count:
            found.append(f"{scheme}: {result.generate_report()}")
    return found


def choose(tab, content=None, name="customers.csv"):
    file = {"name": name, "mimeType": "text/csv", "buffer": content or customers()}
    tab.get_by_label("Spreadsheet").set_input_files(file)


def press_import(tab):
    tab.get_by_role("button", name="Import", exact=True).click()


def status(tab):
    return tab.locator("#import .stamp")


def progress_of(tab):
    return tab.locator("#import progress")


def is_live(tab):
    """Wait until the stream has been heard: only then the title counts."""
    expect(tab).to_have_title(re.compile("%"))


def the_job():
    return ImportJob.objects.get()


def step(job, batches=1):
    """Write so many batches, and tell, as a worker would."""
    for number in job.batches.filter(applied_at=None).values_list("number", flat=True)[:batches]:
        job = batch_applier.apply_batch(job.pk, number)
        progress.publish(job)
    return job


def half_way(tab):
    """An import half of whose batches are written, and its page."""
    choose(tab)
    press_import(tab)
    expect(status(tab)).to_have_text("Waiting for a worker")
    job = check_job(the_job())
    return step(job, job.batches.count() // 2)


def expect_the_end(tab, rows=ROWS):
    expect(status(tab)).to_have_text("Complete")
    expect(progress_of(tab)).to_have_js_property("value", 100)
    sentence = f"{rows - len(BAD_ROWS):,} of {rows:,} rows are in. {len(BAD_ROWS)} were refused."
    expect(tab.locator("#import")).to_contain_text(sentence)
    cause = tab.locator(".cause", has_text="This is not a phone number we can call.")
    expect(cause).to_contain_text(f"{len(BAD_ROWS)} refused")


def expect_the_refused_rows(tab):
    rows = tab.locator(".ledger tbody")
    expect(rows).to_have_count(len(BAD_ROWS))
    for row, (number, value) in zip(rows.all(), BAD_ROWS.items(), strict=True):
        expect(row.get_by_role("rowheader")).to_have_text(str(number))
        expect(row).to_contain_text(value)
