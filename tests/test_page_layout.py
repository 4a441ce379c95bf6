"""The layout of the pages: no broken words, enough contrast, no sideways scrolling."""

import pytest
from playwright.sync_api import expect

from tests.browser_tabs import address, chromium, find_axe_violations, open_tabs  # noqa: F401
from tests.demo_data import create_demo_pages
from tests.factories import make_csv, make_row, run_import

pytestmark = pytest.mark.django_db(transaction=True)

# Finds words in tables and labels that are broken over two lines. Very long words may be.
FIND_BROKEN_WORDS = """
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
LONG_WORD = "W" * 90
PHONE_WIDTH = 360


@pytest.fixture
def open_tab(chromium, address):  # noqa: F811
    with open_tabs(chromium, address, reduced_motion="reduce") as open_for:
        yield open_for


def open_problems(tab):
    """Open the rows of every problem on the page."""
    for cause in tab.locator("details.cause[data-outcome] > summary").all():
        cause.click()
    expect(tab.locator("details[open] [data-rows]")).to_have_count(0)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_no_page_scrolls_sideways_and_wide_pages_break_no_word(open_tab, language):
    owner, pages = create_demo_pages()
    tab = open_tab(owner, locale=language)
    wide, broken = {}, {}
    for name, path in (pages | create_pages_with_long_words(owner)).items():
        tab.goto(path)
        open_problems(tab)
        for width in (PHONE_WIDTH, 768, 1280):
            tab.set_viewport_size({"width": width, "height": 900})
            if (found := tab.evaluate("document.documentElement.scrollWidth")) > width:
                wide[name, width] = found
            if width > PHONE_WIDTH and (words := tab.evaluate(FIND_BROKEN_WORDS)):
                broken[name, width] = words
    assert (wide, broken) == ({}, {})


def create_pages_with_long_words(owner):
    """Create an import whose values have no spaces. Return the URLs of its pages."""
    row = make_row(700, mark=LONG_WORD[:50], first=LONG_WORD, last=LONG_WORD)
    job = run_import(make_csv([row, make_row(701, phone=LONG_WORD)]), owner=owner)
    assert job.created == 1
    return {"endless": f"/imports/{job.pk}/", "endless-rows": f"/imports/{job.pk}/rows/"}


def test_count_of_a_million_fits_its_box(open_tab):
    owner, pages = create_demo_pages()
    tab = open_tab(owner)
    tab.goto(pages["million"])

    for width in (PHONE_WIDTH, 641, 768, 1280):
        tab.set_viewport_size({"width": width, "height": 900})
        text, card = tab.locator(".counts").evaluate(
            """(counts) => {
                const text = document.createRange();
                text.selectNodeContents(counts.querySelector(".failed dd"));
                return [text, counts].map((box) => box.getBoundingClientRect().right);
            }"""
        )
        assert text <= card, width


def test_narrow_preview_labels_each_value(open_tab):
    owner, pages = create_demo_pages()
    tab = open_tab(owner, viewport={"width": PHONE_WIDTH, "height": 900})
    tab.goto(pages["ready-preview"])

    cell = tab.locator("td", has_text="Mensah60")
    label = "(cell) => getComputedStyle(cell, '::before').content"
    assert cell.evaluate(label) == '"Last name: "'
    tab.set_viewport_size({"width": 1280, "height": 900})
    assert cell.evaluate(label) == "none"


def test_print_uses_light_colours_in_every_theme(open_tab, alice):
    tab = open_tab(alice, color_scheme="dark")
    tab.goto("/customers/")
    tab.emulate_media(media="print")

    looks = "({ color, colorScheme }) => [color, colorScheme]"
    ink, scheme = tab.evaluate(f"({looks})(getComputedStyle(document.body))")
    assert (ink, scheme) == ("rgb(22, 33, 43)", "light")


def test_user_menu_has_enough_contrast_on_hover(open_tab, alice):
    tab = open_tab(alice)
    tab.goto("/")

    tab.locator(".who summary").hover()

    assert find_axe_violations(tab, context={"include": [[".top"]]}) == []
