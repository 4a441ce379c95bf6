"""Which of the first rows names the columns: asked here to find the sheet, and by `columns`."""

import unicodedata

MAX_HEADER_SEARCH_ROWS = (
    30  # Rows that are not blank: below more titles than that no header is looked for.
)
MAX_HEADER_CHARS = 200

# For each field the names it may have in a header, fold_text, and whether it is required.
FieldHeaders = list[tuple[list[str], bool]]


def fold_text(name: str) -> str:
    """Return the name without case, accents, spaces and punctuation.

    "E-Mail " and "e_mail" become the same text. The Turkish letter dotless i counts as i, because
    many programs write I for both in capitals.
    """
    name = name[:MAX_HEADER_CHARS]  # Ten thousand accents on one letter take this a second.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    plain = plain.replace("\N{LATIN SMALL LETTER DOTLESS I}", "i")
    return "".join(character for character in plain if character.isalnum())


def named_fields(cells: list, fields: FieldHeaders) -> tuple[int, bool]:
    """How many fields a row names, and whether every required one is among them."""
    headers = {fold_text(cell) for cell in cells if type(cell) is str}
    named = [not headers.isdisjoint(names) for names, _ in fields]
    missing = [not has for has, (_, required) in zip(named, fields, strict=True) if required]
    return sum(named), any(named) and not any(missing)
