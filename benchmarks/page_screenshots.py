"""Take screenshots of every page and status, at three widths, in light and dark.

    python -m benchmarks.page_screenshots [folder] [part of a name]

With a part of a name that begins with "admin", only pages of the admin are taken. Starts its own
PostgreSQL, Redis and Daphne. The imports are database rows without files: some have long names, no
rows, a million rows, or only failed rows.
"""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

WIDTHS = (360, 768, 1280)
SCHEMES = ("light", "dark")


def main(folder="screenshots", name_part=""):
    with temporary_servers() as urls, django_on(urls):
        # Playwright runs its event loop in this thread.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        from tests.demo_data import create_demo_admin_pages, create_demo_pages
        from tests.streams import make_session_cookie, running_daphne

        is_admin = name_part.startswith("admin")
        owner, pages = create_demo_admin_pages() if is_admin else create_demo_pages()
        with running_daphne() as server, running_browser() as chromium:
            site = f"http://127.0.0.1:{server.port}"
            for scheme in SCHEMES:
                for width in WIDTHS:
                    page = open_page(chromium, site, make_session_cookie(owner), scheme, width)
                    for name, path in pages.items():
                        if name_part in name:
                            take_screenshot(
                                page, path, Path(folder) / f"{name}-{width}-{scheme}.png"
                            )


@contextmanager
def running_browser():
    from playwright.sync_api import sync_playwright

    from tests.browser import find_browser

    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_browser(), args=options)
        yield chromium
        chromium.close()


def open_page(chromium, site, session, scheme, width):
    from django.conf import settings

    context = chromium.new_context(
        base_url=site,
        color_scheme=scheme,
        reduced_motion="reduce",
        viewport={"width": width, "height": 900},
        locale=os.environ.get("LOCALE", "en"),
    )
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": session, "url": site}
    context.add_cookies([cookie])
    return context.new_page()


def take_screenshot(page, path, file):
    page.goto(path)
    page.screenshot(path=file, full_page=True)
    print(file, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
