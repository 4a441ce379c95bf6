"""Sample files of invented customers with typical mistakes, for demos, tests and benchmarks.

The same seed and count give the same cells, and the counts of an import into an empty table are
known in advance. Each complete hundred of rows has one invalid row and one row that repeats an
earlier valid row. Rows are generated one at a time, so a million rows need little memory.

Seeds 0 to 99 never share a mark, a phone number or an e-mail address, up to a million rows each.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from random import Random
from typing import NamedTuple
from unicodedata import normalize

from openpyxl import Workbook

# Not from `imports.importer`: benchmarks load this module before Django is set up.
from imports.cell_values import Cell

Row = tuple[Cell, ...]  # An empty tuple is a blank row.

MAX_ROWS = 1_000_000
SEEDS = range(100)

MARK, FIRST_NAME, LAST_NAME, EMAIL, PHONE = COLUMNS = range(5)
UNIQUE_FIELDS = ("mark", "email", "phone")
HEADERS = ("Shipping Mark", "First Name", "Surname", "E-mail address", "Phone number")

FIRST_NAMES = (
    "Kwame",
    "Kofi",
    "Kwaku",
    "Yaw",
    "Kwabena",
    "Ama",
    "Akosua",
    "Abena",
    "Adwoa",
    "Efua",
    "Kɔjo",
    "Ɛsi",
    "Nana Akua",
    "Mawuli",
    "Sɛlom",
    "Edem",
    "Dzifa",
    "Naa Dedei",
    "Nii Armah",
    "Abdul-Rahman",
    "Fati",
    "Issah",
    "Wunpini",
    "Grace",
    "Emmanuel",
    "Mary",
    "Samuel",
    "Adélaïde",
    "Aminata",
    "Jean-Baptiste",
    "Françoise",
    "Désiré",
    "Aïcha",
    "Moïse",
    "Chloé",
    "Ayọ̀délé",
    "Olúwaṣeun",
    "Fọlákẹ́",
    "Títílayọ̀",
    "Ṣadé",
    "Chinedu",
    "Ngọzi",
    "Obinna",
)
LAST_NAMES = (
    "Mensah",
    "Owusu",
    "Osei",
    "Boateng",
    "Asante",
    "Agyeman-Rawlings",
    "Appiah",
    "Darko",
    "Ɔfɔri",
    "Amponsah",
    "Adjei",
    "Lamptey",
    "Quaye",
    "Tetteh",
    "Agbeko",
    "Dzokoto",
    "Kpodo",
    "Alhassan",
    "Mahama",
    "Iddrisu",
    "Abubakari",
    "Danquah",
    "Addo",
    "Baah",
    "van Dyck",
    "Kouassi",
    "Traoré",
    "N'Guessan",
    "Koné",
    "Ouédraogo",
    "D'Almeida",
    "Béré",
    "Lefèvre",
    "Adébáyọ̀",
    "Ògúnṣọlá",
    "Ọlátúnjí",
    "Okonkwo",
    "Nwọsu",
    "Eze",
    "Balógun",
)
PORTS = ("ACC", "TEMA", "KSI", "TKD", "TML", "CCT", "HO", "SYI")
EMAIL_DOMAINS = ("gmail.com", "yahoo.com", "outlook.com", "icloud.com", "mail.example.com.gh")

# The two digits after the zero of Ghana's mobile numbers. Seven more digits follow.
MOBILE_NETWORK_PREFIXES = (
    "24",
    "20",
    "27",
    "54",
    "55",
    "50",
    "26",
    "23",
    "28",
    "53",
    "56",
    "57",
    "29",
)
LINES_PER_SEED = 10_000_000 // len(SEEDS)  # In each of the thirteen networks: 1.3 million in all.

# How people write 0244123456. A number cell keeps no zero and no plus sign.
NUMBER_CELL_SPELLINGS = ("{}{}{}", "233{}{}{}")
PHONE_SPELLINGS = (
    "0{}{}{}",
    "0{}{}{}",
    "0{}{}{}",
    "0{} {} {}",
    "0{} {} {}",
    "0{}-{}-{}",
    "(0{}) {}-{}",
    "+233{}{}{}",
    "+233 {} {} {}",
    "00233{}{}{}",
    "+233 (0){} {} {}",
    "0{}.{}.{}",
    NUMBER_CELL_SPELLINGS[0],
    NUMBER_CELL_SPELLINGS[0],
    NUMBER_CELL_SPELLINGS[0],
    NUMBER_CELL_SPELLINGS[1],
)

# A column and the invalid cell to put into it.
FAULTS: tuple[tuple[int, Cell], ...] = (
    (PHONE, "12345"),
    (FIRST_NAME, None),
    (EMAIL, "ama.mensah@"),
    (PHONE, "call me"),
    (MARK, "ACC AND TEMA BOTH UNDER ONE MARK, SEE THE LETTER OF 3 MAY"),
    (PHONE, "024 412 345"),
    (LAST_NAME, "   "),
    (PHONE, "#N/A"),
    (EMAIL, "kofi at gmail.com"),
    (MARK, None),
    (PHONE, None),
    (FIRST_NAME, "Ama Serwaa " * 10),
    (PHONE, "0999999999"),
)


class Customer(NamedTuple):
    """A valid customer. The phone number has no zero in front."""

    mark: str
    first_name: str
    last_name: str
    email: str | None
    phone: str


def make_header(seed: int = 1) -> Row:
    """Return the header row. Each seed has an order of columns of its own."""
    return tuple(HEADERS[column] for column in _choose_column_order(seed))


def generate_rows(count: int = 7000, seed: int = 1) -> Iterator[Row]:
    """Yield `count` rows for the header of the seed, and a few blank rows between them.

    Raises:
        ValueError: The count or the seed is out of range.
    """
    _check_limits(count, seed)
    order = _choose_column_order(seed)
    for row in generate_customers(count, seed):
        yield tuple(row[column] for column in order) if row else ()


def compute_expected_counts(count: int = 7000) -> dict[str, int]:
    """Return the counts of an import of `count` rows into an empty table."""
    failed = 2 * (count // 100)
    return {"total": count, "created": count - failed, "failed": failed, "skipped": 0}


def write_sample(path: Path, count: int = 7000, seed: int = 1) -> None:
    """Write a sample file: CSV if the name ends in .csv, a workbook otherwise.

    Raises:
        ValueError: The count or the seed is out of range.
        OSError: The file cannot be written.
    """
    _check_limits(count, seed)
    if path.suffix.lower() == ".csv":
        return _write_csv(path, count, seed)
    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet("Customers")
    sheet.append(make_header(seed))
    for row in generate_rows(count, seed):
        sheet.append(row)
    return workbook.save(path)


def _write_csv(path: Path, count: int, seed: int) -> None:
    # With a byte order mark, which Excel writes too and needs to read accents correctly.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(make_header(seed))
        lines.writerows(generate_rows(count, seed))


def _check_limits(count: int, seed: int) -> None:
    if seed not in SEEDS or not 0 <= count <= MAX_ROWS:
        raise ValueError(f"Samples have 0 to {MAX_ROWS:,} rows, and seeds 0 to {SEEDS[-1]}.")


def _choose_column_order(seed: int) -> list[int]:
    return Random(seed).sample(COLUMNS, k=len(COLUMNS))


def generate_customers(count: int, seed: int) -> Iterator[Row]:
    """Yield rows in the order of COLUMNS, and an empty tuple for a blank row."""
    random, faults = Random(seed), cycle(FAULTS)
    valid: deque[Customer] = deque(maxlen=1000)
    for start in range(0, count, 100):
        if start and random.random() < 0.2:
            yield ()
        invalid_number, repeat_number = choose_bad_rows(start, count, random)
        for number in range(start, min(start + 100, count)):
            customer = _make_customer(number, seed, random)
            if number == repeat_number:
                customer = _repeat_key(customer, random.choice(valid), random)
            elif number != invalid_number:
                valid.append(customer)
            row = _make_typed_cells(customer, random)
            if number == invalid_number:
                column, cell = next(faults)
                row[column] = cell
            yield tuple(row)


def choose_bad_rows(start: int, count: int, random: Random) -> tuple[int, int]:
    """Return the numbers of a hundred's invalid row and of its row that repeats another.

    Both are -1 if the hundred is not complete.
    """
    # Not among the first ten rows, so that there is always an earlier row to repeat.
    invalid, repeat = random.sample(range(start + 10, start + 100), 2)
    return (invalid, repeat) if start + 100 <= count else (-1, -1)


def _make_customer(number: int, seed: int, random: Random) -> Customer:
    """Return a unique customer. Four in ten have no e-mail address."""
    serial = f"{seed:02}{number:06}"
    first_name, last_name = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
    first, last = MAILBOX_NAMES[first_name], MAILBOX_NAMES[last_name]
    mark = f"{random.choice(PORTS)}-{first[0]}{last[0]} {serial}".upper()
    has_email = random.random() < 0.6
    email = f"{first}.{last}{serial}@{random.choice(EMAIL_DOMAINS)}" if has_email else None
    return Customer(mark, first_name, last_name, email, make_phone_number(number, seed))


def make_phone_number(number: int, seed: int) -> str:
    """Return a number from the seed's own block of lines, without its leading zero.

    Consecutive customers do not get consecutive lines.
    """
    # The factor is coprime to the size of the block, so that each line occurs once.
    line = number * 61_803 % LINES_PER_SEED
    prefix = MOBILE_NETWORK_PREFIXES[number % len(MOBILE_NETWORK_PREFIXES)]
    return f"{prefix}{seed * LINES_PER_SEED + line:07}"


def _repeat_key(customer: Customer, earlier: Customer, random: Random) -> Customer:
    """Return the customer with one unique value of an earlier customer."""
    name = random.choice([name for name in UNIQUE_FIELDS if getattr(earlier, name)])
    return customer._replace(**{name: getattr(earlier, name)})


def _make_typed_cells(customer: Customer, random: Random) -> list[Cell]:
    """Return the customer's values as a person may have typed them."""
    mark, first_name, last_name, email, phone = customer
    carelessness = random.random()
    if carelessness < 0.1:
        mark = mark.lower()
    elif carelessness < 0.15:
        mark = mark.replace(" ", "  ")
    elif carelessness < 0.2:
        last_name = f" {last_name}\u00a0"
    elif carelessness < 0.3:
        email = email and email.capitalize()
    return [mark, first_name, last_name, email, _spell_phone(phone, random)]


def _spell_phone(phone: str, random: Random) -> Cell:
    spelling = random.choice(PHONE_SPELLINGS)
    text = spelling.format(phone[:2], phone[2:5], phone[5:])
    return int(text) if spelling in NUMBER_CELL_SPELLINGS else text


def _to_mailbox_name(name: str) -> str:
    """Return the name with the letters a to z only, as an e-mail address may have it."""
    plain = normalize("NFD", name.lower().translate({ord("ɛ"): "e", ord("ɔ"): "o"}))
    return "".join(letter for letter in plain if "a" <= letter <= "z")


MAILBOX_NAMES = {name: _to_mailbox_name(name) for name in FIRST_NAMES + LAST_NAMES}
