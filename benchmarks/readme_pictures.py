"""The README's pictures, each of a real import, as a clerk would make them in a browser.

    python -m benchmarks.readme_pictures [folder]         docs/images, if no other is named

Servers, site and worker are its own.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.import_duration import everything_of_its_own
from benchmarks.page_screenshots import browser
from customers import sample_data

if TYPE_CHECKING:
    from playwright.sync_api import Page

SIZE = {"width": 900, "height": 1180}
PASSWORD = "only-for-pictures"


def main(folder: str = "docs/images") -> None:
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright's loop runs in this thread.
    with (
        everything_of_its_own() as (site, _),
        browser() as chromium,
        TemporaryDirectory() as files,
    ):
        march, april = Path(files, "customers_march.xlsx"), Path(files, "customers_april.csv")
        tab = chromium.new_page(base_url=site, viewport=SIZE, reduced_motion="reduce")
        log_in(tab)
        sample_data.write_sample(march)
        photograph(imported(tab, march), "Rows that were not imported", Path(folder, "import.png"))
        write_changes(april)
        photograph(
            imported(tab, april, check_first=True),
            "Examples of records that would be updated",
            Path(folder, "check-first.png"),
        )


def log_in(tab: Page) -> None:
    from django.contrib.auth.models import User

    User.objects.create_superuser("demo", password=PASSWORD)
    tab.goto("/")
    tab.get_by_label("Username").fill("demo")
    tab.get_by_label("Password").fill(PASSWORD)
    tab.keyboard.press("Enter")


def imported(tab: Page, file: Path, *, check_first: bool = False) -> Page:
    tab.goto("/")
    tab.locator("input[type=file]").set_input_files(file)
    if check_first:
        tab.get_by_label("Update the existing record").check()
        tab.get_by_label("Check first").check()
    tab.get_by_role("button", name="Import", exact=True).click()
    return tab


def photograph(tab: Page, heading: str, file: Path) -> None:
    from playwright.sync_api import expect

    expect(tab.get_by_role("heading", name=heading)).to_be_visible(timeout=60_000)
    tab.mouse.move(0, 0)
    tab.screenshot(path=file)
    print(file, flush=True)


def write_changes(file: Path) -> None:
    """Customers as they are, some with another first name; new ones; and what is refused."""
    from customers.models import Customer

    fields = ("shipping_mark", "first_name", "last_name", "email", "phone")
    known = Customer.objects.order_by("pk").values_list(*fields)[:57]
    with file.open("w", newline="") as text:
        rows = csv.writer(text)
        rows.writerow(fields)
        for number, (mark, first, *others) in enumerate(known):
            rows.writerow([mark, f"{first} K." if number % 5 == 0 else first, *others])
        for number in range(30):
            contact = f"ama{number}@example.com", f"024 400 {number:04}"
            rows.writerow([f"ACC-NEW {number:03}", "Ama", "Mensah", *contact])
        rows.writerow(["ACC-NEW 030", "Kofi", "Boateng", "", "call after six"])
        rows.writerow(["ACC-NEW 031", "", "Boateng", "", "024 400 0031"])


if __name__ == "__main__":
    main(*sys.argv[1:])
