"""Which of the first rows names the columns: asked here to find the sheet, and by `columns`."""

import unicodedata

LOOKED_AT = 30  # Rows that are not blank: below more titles than that no header is looked for.
LONGEST_HEADER = 200

# For each field the names it may have in a header, folded, and whether it is required.
Fields = list[tuple[list[str], bool]]


def folded(name: str) -> str:
    """Without case, accents, spaces and punctuation: "E-Mail " and "e_mail" are one name."""
    name = name[:LONGEST_HEADER]  # Ten thousand accents on one letter take this a second.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    return "".join(character for character in plain if character.isalnum())


def named_fields(cells: list, fields: Fields) -> tuple[int, bool]:
    """How many fields a row names, and whether every required one is among them."""
    headers = {folded(cell) for cell in cells if type(cell) is str}
    named = [not headers.isdisjoint(names) for names, _ in fields]
    missing = [not has for has, (_, required) in zip(named, fields, strict=True) if required]
    return sum(named), any(named) and not any(missing)
