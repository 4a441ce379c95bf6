"""The page of the API in a real browser: nothing from elsewhere, no script but our files'."""

import os
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from tests import browser as browsers
from tests.streams import running_daphne

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_MS = 60_000
# Before any other script: what the policy forbids is written down.
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", event => {
    violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


@pytest.fixture
def page():
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs in this thread.
        browser = playwright.chromium.launch(executable_path=browsers.find_browser(), args=options)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(WATCH)
        yield page
        browser.close()


def test_it_shows_every_call_and_tries_one_under_a_strict_policy(page):
    asked, said = [], []
    page.on("request", lambda request: asked.append(urlsplit(request.url)))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    with running_daphne() as server:
        address = f"http://127.0.0.1:{server.port}"
        policy = page.goto(f"{address}/api/docs/").headers["content-security-policy"]
        expect(page.get_by_role("heading", name="Customer import")).to_be_visible(
            timeout=PATIENCE_MS
        )
        expect(page.locator(".opblock")).not_to_have_count(0)
        call = page.locator("#operations-description-schema_retrieve")
        call.locator(".opblock-summary-control").click()
        call.get_by_role("button", name="Try it out").click()
        call.get_by_role("button", name="Execute").click()
        expect(call.locator(".live-responses-table .response-col_status").last).to_contain_text(
            "200", timeout=PATIENCE_MS
        )
        page.locator("#operations-imports-imports_create .opblock-summary-control").click()
        expect(page.locator("#operations-imports-imports_create .opblock-body")).to_be_visible()
        violations = page.evaluate("violations")

    assert violations == []
    assert said == []
    assert {one.netloc for one in asked if one.scheme != "data"} == {urlsplit(address).netloc}
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert scripts == "script-src 'self'"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_policy_would_be_felt(page):
    """A script of the page's own is stopped, so that a page without one proves something."""
    with running_daphne() as server:
        page.goto(f"http://127.0.0.1:{server.port}/api/docs/")
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'),"
            "{textContent: 'window.ran = true'}))"
        )
        assert not page.evaluate("window.ran")
        assert page.evaluate("violations")
