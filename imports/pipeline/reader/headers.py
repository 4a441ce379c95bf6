"""Headers of columns: how they are compared with the names of fields.

The reader uses this module to find the sheet and the delimiter, and `header_detection` uses it to
find the columns.
"""

import unicodedata
from collections.abc import Sequence

MAX_HEADER_SEARCH_ROWS = 30  # The header is among the first so many rows that are not blank.
MAX_HEADER_CHARS = 200

# For each field the names that its header may have, as `fold_text` returns them, and whether the
# field is required.
FieldHeaders = Sequence[tuple[list[str], bool]]


def fold_text(name: str) -> str:
    """Return the name without case, accents, spaces and punctuation.

    "E-Mail " and "e_mail" become the same text. The Turkish letter dotless i counts as i, because
    many programs write I for both in capitals.
    """
    name = name[:MAX_HEADER_CHARS]  # One letter with ten thousand accents would take a second.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    plain = plain.replace("\N{LATIN SMALL LETTER DOTLESS I}", "i")
    return "".join(character for character in plain if character.isalnum())


def match_fields(cells: Sequence[object], fields: FieldHeaders) -> tuple[int, bool]:
    """Return how many fields a row names, and whether it names every required field."""
    headers = {fold_text(cell) for cell in cells if type(cell) is str}
    named = [not headers.isdisjoint(names) for names, _ in fields]
    missing = [
        not is_named for is_named, (_, required) in zip(named, fields, strict=True) if required
    ]
    return sum(named), any(named) and not any(missing)
