"""What stands on the pages can be read: words are whole, colours differ, nothing is off screen."""

import pytest
from playwright.sync_api import expect

from tests.browser_tabs import address, chromium, tabs, what_axe_finds  # noqa: F401
from tests.demo_data import create_demo_pages
from tests.factories import make_csv, make_row, run_import

pytestmark = pytest.mark.django_db(transaction=True)

# Words in tables and beside fields that stand on two lines; what is endless may.
BROKEN_WORDS = """
() => [...document.querySelectorAll("main :is(th, td, dt, label, legend)")].flatMap((cell) => {
    const found = [];
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const { currentNode: node } = walker;
        for (const { index, 0: word } of node.data.matchAll(/\\S+/g)) {
            const range = document.createRange();
            range.setStart(node, index);
            range.setEnd(node, index + word.length);
            const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
            if (lines.size > 1 && word.length <= 30) found.push(word);
        }
    }
    return found;
})
"""
ENDLESS = "W" * 90
PHONE_WIDTH = 360


@pytest.fixture
def open_tab(chromium, address):  # noqa: F811
    with tabs(chromium, address, reduced_motion="reduce") as open_for:
        yield open_for


def open_causes(tab):
    """Every list of rows that a page can show within itself."""
    for cause in tab.locator("details.cause[data-outcome] > summary").all():
        cause.click()
    expect(tab.locator("details[open] [data-rows]")).to_have_count(0)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_no_page_scrolls_sideways_and_beyond_a_phone_no_word_is_broken(open_tab, language):
    owner, pages = create_demo_pages()
    tab = open_tab(owner, locale=language)
    wide, broken = {}, {}
    for name, path in (pages | endless_pages(owner)).items():
        tab.goto(path)
        open_causes(tab)
        for width in (PHONE_WIDTH, 768, 1280):
            tab.set_viewport_size({"width": width, "height": 900})
            if (found := tab.evaluate("document.documentElement.scrollWidth")) > width:
                wide[name, width] = found
            if width > PHONE_WIDTH and (words := tab.evaluate(BROKEN_WORDS)):
                broken[name, width] = words
    assert (wide, broken) == ({}, {})


def endless_pages(owner):
    """Of an import whose values have no place where a line could end."""
    row = make_row(700, mark=ENDLESS[:50], first=ENDLESS, last=ENDLESS)
    job = run_import(make_csv([row, make_row(701, phone=ENDLESS)]), owner=owner)
    assert job.created == 1
    return {"endless": f"/imports/{job.pk}/", "endless-rows": f"/imports/{job.pk}/rows/"}


def test_a_million_fits_the_place_of_its_count(open_tab):
    owner, pages = create_demo_pages()
    tab = open_tab(owner)
    tab.goto(pages["million"])

    for width in (PHONE_WIDTH, 641, 768, 1280):
        tab.set_viewport_size({"width": width, "height": 900})
        text, card = tab.locator(".counts").evaluate(
            """(counts) => {
                const text = document.createRange();
                text.selectNodeContents(counts.querySelector(".refused dd"));
                return [text, counts].map((one) => one.getBoundingClientRect().right);
            }"""
        )
        assert text <= card, width


def test_in_a_narrow_window_each_value_of_a_new_row_has_its_name(open_tab):
    owner, pages = create_demo_pages()
    tab = open_tab(owner, viewport={"width": PHONE_WIDTH, "height": 900})
    tab.goto(pages["ready-preview"])

    cell = tab.locator("td", has_text="Mensah60")
    label = "(cell) => getComputedStyle(cell, '::before').content"
    assert cell.evaluate(label) == '"Last name: "'
    tab.set_viewport_size({"width": 1280, "height": 900})
    assert cell.evaluate(label) == "none"


def test_paper_is_white_and_its_ink_dark_whatever_the_theme(open_tab, alice):
    tab = open_tab(alice, color_scheme="dark")
    tab.goto("/customers/")
    tab.emulate_media(media="print")

    looks = "({ color, colorScheme }) => [color, colorScheme]"
    ink, scheme = tab.evaluate(f"({looks})(getComputedStyle(document.body))")
    assert (ink, scheme) == ("rgb(22, 33, 43)", "light")


def test_the_name_in_the_header_can_be_read_under_the_pointer(open_tab, alice):
    tab = open_tab(alice)
    tab.goto("/")

    tab.locator(".who summary").hover()

    assert what_axe_finds(tab, context={"include": [[".top"]]}) == []
