"""Take the screenshots of the README, each of a real import in a browser.

    python -m benchmarks.readme_pictures [folder]         default: docs/images

Starts its own servers, site and worker.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.import_duration import temporary_site
from benchmarks.page_screenshots import running_browser
from customers import sample_data

if TYPE_CHECKING:
    from playwright.sync_api import Page

VIEWPORT = {"width": 900, "height": 1180}
PASSWORD = "only-for-pictures"


def main(folder: str = "docs/images") -> None:
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright runs its event loop in this thread.
    with (
        temporary_site() as (site, _),
        running_browser() as chromium,
        TemporaryDirectory() as files,
    ):
        march, april = Path(files, "customers_march.xlsx"), Path(files, "customers_april.csv")
        page = chromium.new_page(base_url=site, viewport=VIEWPORT, reduced_motion="reduce")
        log_in(page)
        sample_data.write_sample(march)
        take_screenshot(
            import_file(page, march), "Rows that were not imported", Path(folder, "import.png")
        )
        write_changed_customers(april)
        take_screenshot(
            import_file(page, april, check_first=True),
            "Examples of records that would be updated",
            Path(folder, "check-first.png"),
        )


def log_in(page: Page) -> None:
    from django.contrib.auth.models import User

    User.objects.create_superuser("demo", password=PASSWORD)
    page.goto("/")
    page.get_by_label("Username").fill("demo")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")


def import_file(page: Page, file: Path, *, check_first: bool = False) -> Page:
    page.goto("/")
    page.locator("input[type=file]").set_input_files(file)
    if check_first:
        page.get_by_label("Update the existing record").check()
        page.get_by_label("Check first").check()
    page.get_by_role("button", name="Import", exact=True).click()
    return page


def take_screenshot(page: Page, heading: str, file: Path) -> None:
    from playwright.sync_api import expect

    expect(page.get_by_role("heading", name=heading)).to_be_visible(timeout=60_000)
    page.mouse.move(0, 0)
    page.screenshot(path=file)
    print(file, flush=True)


def write_changed_customers(file: Path) -> None:
    """Write a file with unchanged, changed and new customers, and with invalid rows."""
    from customers.models import Customer

    fields = ("shipping_mark", "first_name", "last_name", "email", "phone")
    existing = Customer.objects.order_by("pk").values_list(*fields)[:57]
    with file.open("w", newline="") as text:
        rows = csv.writer(text)
        rows.writerow(fields)
        for number, (mark, first, *others) in enumerate(existing):
            rows.writerow([mark, f"{first} K." if number % 5 == 0 else first, *others])
        for number in range(30):
            contact = f"ama{number}@example.com", f"024 400 {number:04}"
            rows.writerow([f"ACC-NEW {number:03}", "Ama", "Mensah", *contact])
        rows.writerow(["ACC-NEW 030", "Kofi", "Boateng", "", "call after six"])
        rows.writerow(["ACC-NEW 031", "", "Boateng", "", "024 400 0031"])


if __name__ == "__main__":
    main(*sys.argv[1:])
