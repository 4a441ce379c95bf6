"""The page /api/docs/ in a real browser: its Content-Security-Policy, and a call that is tried."""

import os
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser import find_browser
from tests.streams import running_daphne

pytestmark = pytest.mark.django_db(transaction=True)

TIMEOUT_MS = 60_000
# Runs before all scripts of the page and records what the policy blocks.
RECORD_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", event => {
    violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


@pytest.fixture
def page():
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright runs an event loop in this thread.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(executable_path=find_browser(), args=options)
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.add_init_script(RECORD_VIOLATIONS)
        yield page
        browser.close()


def test_page_shows_and_executes_calls_under_a_strict_policy(page):
    requested_urls, console_messages = [], []
    page.on("request", lambda request: requested_urls.append(urlsplit(request.url)))
    page.on("console", lambda message: console_messages.append(message.text))
    page.on("pageerror", lambda error: console_messages.append(str(error)))
    with running_daphne() as server:
        address = f"http://127.0.0.1:{server.port}"
        policy = page.goto(f"{address}/api/docs/").headers["content-security-policy"]
        expect(page.get_by_role("heading", name="Customer import")).to_be_visible(
            timeout=TIMEOUT_MS
        )
        expect(page.locator(".opblock")).not_to_have_count(0)
        call = page.locator("#operations-description-schema_retrieve")
        call.locator(".opblock-summary-control").click()
        call.get_by_role("button", name="Try it out").click()
        call.get_by_role("button", name="Execute").click()
        expect(call.locator(".live-responses-table .response-col_status").last).to_contain_text(
            "200", timeout=TIMEOUT_MS
        )
        page.locator("#operations-imports-imports_create .opblock-summary-control").click()
        expect(page.locator("#operations-imports-imports_create .opblock-body")).to_be_visible()
        violations = page.evaluate("violations")

    assert violations == []
    assert console_messages == []
    assert {url.netloc for url in requested_urls if url.scheme != "data"} == {
        urlsplit(address).netloc
    }
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert scripts == "script-src 'self'"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_policy_blocks_an_inline_script(page):
    """Without this, the absence of violations in the test above would prove nothing."""
    with running_daphne() as server:
        page.goto(f"http://127.0.0.1:{server.port}/api/docs/")
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'),"
            "{textContent: 'window.ran = true'}))"
        )
        assert not page.evaluate("window.ran")
        assert page.evaluate("violations")
