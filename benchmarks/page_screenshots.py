"""Every page and status, photographed at three widths in light and dark.

    python -m benchmarks.page_screenshots [folder] [part of a name]

A part of a name that begins with "admin" photographs the admin's pages in their stead.

PostgreSQL, Redis and Daphne are its own. The imports are what their rows tell: long names,
no rows, a million of them, and files whose every row is wrong.
"""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

WIDTHS = (360, 768, 1280)
SCHEMES = ("light", "dark")


def main(folder="screenshots", wanted=""):
    with temporary_servers() as urls, django_on(urls):
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright's loop runs in this thread.
        from tests.demo_data import create_demo_admin_pages, create_demo_pages
        from tests.streams import make_session_cookie, running_daphne

        is_admin = wanted.startswith("admin")
        owner, pages = create_demo_admin_pages() if is_admin else create_demo_pages()
        with running_daphne() as server, browser() as chromium:
            site = f"http://127.0.0.1:{server.port}"
            for scheme in SCHEMES:
                for width in WIDTHS:
                    tab = open_tab(chromium, site, make_session_cookie(owner), scheme, width)
                    for name, path in pages.items():
                        if wanted in name:
                            photograph(tab, path, Path(folder) / f"{name}-{width}-{scheme}.png")


@contextmanager
def browser():
    from playwright.sync_api import sync_playwright

    from tests.browser import find_browser

    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_browser(), args=options)
        yield chromium
        chromium.close()


def open_tab(chromium, site, session, scheme, width):
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


def photograph(tab, path, file):
    tab.goto(path)
    tab.screenshot(path=file, full_page=True)
    print(file, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
