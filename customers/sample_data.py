"""Workbooks of invented customers, as people really send them, for demos, tests and benchmarks.

The same seed and count give the same cells, and what an import into an empty database
makes of them is known beforehand. Each full hundred of rows holds one that is invalid and
one that repeats an earlier, kept row. Rows are made one at a time: a million need no memory.

Seeds 0 to 99 never share a mark, phone number or e-mail address, up to a million rows each.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from itertools import cycle
from operator import itemgetter
from pathlib import Path
from random import Random
from unicodedata import normalize

from openpyxl import Workbook

from imports.importer import Cell

Row = tuple[Cell, ...]  # Empty for a blank row.

MAX_ROWS = 1_000_000
SEEDS = range(100)

MARK, FIRST_NAME, LAST_NAME, EMAIL, PHONE = COLUMNS = range(5)
HEADERS = ("Shipping Mark", "First Name", "Surname", "E-mail address", "Phone number")

FIRST_NAMES = (
    *("Kwame", "Kofi", "Kwaku", "Yaw", "Kwabena", "Ama", "Akosua", "Abena", "Adwoa", "Efua"),
    *("Kɔjo", "Ɛsi", "Nana Akua", "Mawuli", "Sɛlom", "Edem", "Dzifa", "Naa Dedei", "Nii Armah"),
    *("Abdul-Rahman", "Fati", "Issah", "Wunpini", "Grace", "Emmanuel", "Mary", "Samuel"),
    *("Adélaïde", "Aminata", "Jean-Baptiste", "Françoise", "Désiré", "Aïcha", "Moïse", "Chloé"),
    *("Ayọ̀délé", "Olúwaṣeun", "Fọlákẹ́", "Títílayọ̀", "Ṣadé", "Chinedu", "Ngọzi", "Obinna"),
)
LAST_NAMES = (
    *("Mensah", "Owusu", "Osei", "Boateng", "Asante", "Agyeman-Rawlings", "Appiah", "Darko"),
    *("Ɔfɔri", "Amponsah", "Adjei", "Lamptey", "Quaye", "Tetteh", "Agbeko", "Dzokoto", "Kpodo"),
    *("Alhassan", "Mahama", "Iddrisu", "Abubakari", "Danquah", "Addo", "Baah", "van Dyck"),
    *("Kouassi", "Traoré", "N'Guessan", "Koné", "Ouédraogo", "D'Almeida", "Béré", "Lefèvre"),
    *("Adébáyọ̀", "Ògúnṣọlá", "Ọlátúnjí", "Okonkwo", "Nwọsu", "Eze", "Balógun"),
)
PORTS = ("ACC", "TEMA", "KSI", "TKD", "TML", "CCT", "HO", "SYI")
HOSTS = ("gmail.com", "yahoo.com", "outlook.com", "icloud.com", "mail.example.com.gh")

# Two digits of Ghana's mobile numbers, after the zero; each takes any seven more.
NETWORKS = ("24", "20", "27", "54", "55", "50", "26", "23", "28", "53", "56", "57", "29")
LINES_A_SEED = 10_000_000 // len(SEEDS)  # Of each network; thirteen of them make 1.3 million.

# How people write 0244123456. A number cell keeps no zero and no plus sign.
NUMBERS = ("{}{}{}", "233{}{}{}")
SPELLINGS = (
    *("0{}{}{}", "0{}{}{}", "0{}{}{}", "0{} {} {}", "0{} {} {}", "0{}-{}-{}", "(0{}) {}-{}"),
    *("+233{}{}{}", "+233 {} {} {}", "00233{}{}{}", "+233 (0){} {} {}", "0{}.{}.{}"),
    *(NUMBERS[0], NUMBERS[0], NUMBERS[0], NUMBERS[1]),
)

FAULTS: tuple[tuple[int, Cell], ...] = (
    *((PHONE, "12345"), (FIRST_NAME, None), (EMAIL, "ama.mensah@"), (PHONE, "call me")),
    (MARK, "ACC AND TEMA BOTH UNDER ONE MARK, SEE THE LETTER OF 3 MAY"),
    *((PHONE, "024 412 345"), (LAST_NAME, "   "), (PHONE, "#N/A"), (EMAIL, "kofi at gmail.com")),
    *((MARK, None), (PHONE, None), (FIRST_NAME, "Ama Serwaa " * 10), (PHONE, "0999999999")),
)


def make_header(seed: int = 1) -> Row:
    """The first row: the columns stand in an order of the seed's own."""
    return itemgetter(*column_order(seed))(HEADERS)


def generate_rows(count: int = 7000, seed: int = 1) -> Iterator[Row]:
    """`count` rows of data below the header, and a few blank ones between them."""
    check_limits(count, seed)
    in_order = itemgetter(*column_order(seed))
    for customer in generate_customers(count, seed):
        yield in_order(customer) if customer else ()


def expected_counts(count: int = 7000) -> dict[str, int]:
    """What the import of `count` rows into an empty database ends with."""
    failed = 2 * (count // 100)
    return {"total": count, "created": count - failed, "failed": failed, "skipped": 0}


def write_sample(path: Path, count: int = 7000, seed: int = 1) -> None:
    """Write a sample to `path`, as CSV where its name says so, else as a workbook."""
    check_limits(count, seed)
    if path.suffix.lower() == ".csv":
        return write_csv(path, count, seed)
    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet("Customers")
    sheet.append(make_header(seed))
    for row in generate_rows(count, seed):
        sheet.append(row)
    return workbook.save(path)


def write_csv(path: Path, count: int, seed: int) -> None:
    # With the mark Excel puts first and without which it misreads accents.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(make_header(seed))
        lines.writerows(generate_rows(count, seed))


def check_limits(count: int, seed: int) -> None:
    if seed not in SEEDS or not 0 <= count <= MAX_ROWS:
        raise ValueError(f"Samples have 0 to {MAX_ROWS:,} rows, and seeds 0 to {SEEDS[-1]}.")


def column_order(seed: int) -> list[int]:
    return Random(seed).sample(COLUMNS, k=len(COLUMNS))


def generate_customers(count: int, seed: int) -> Iterator[Row]:
    """Rows in the order of COLUMNS, hundred by hundred; an empty one is a blank row."""
    random, faults = Random(seed), cycle(FAULTS)
    kept: deque[list[Cell]] = deque(maxlen=1000)
    for start in range(0, count, 100):
        if start and random.random() < 0.2:
            yield ()
        invalid, repeat = choose_bad_rows(start, count, random)
        for number in range(start, min(start + 100, count)):
            customer = invent(number, seed, random)
            if number == repeat:
                repeat_key(customer, random.choice(kept), random)
            elif number != invalid:
                kept.append(customer)
            spelled = spell(customer, random)
            if number == invalid:
                column, value = next(faults)
                spelled[column] = value
            yield tuple(spelled)


def choose_bad_rows(start: int, count: int, random: Random) -> tuple[int, int]:
    """Which row of a hundred is invalid and which a repeat; -1 if the hundred is not full."""
    # Not among the first ten, so that there always is a row to repeat.
    invalid, repeat = random.sample(range(start + 10, start + 100), 2)
    return (invalid, repeat) if start + 100 <= count else (-1, -1)


def invent(number: int, seed: int, random: Random) -> list[Cell]:
    """A customer nobody else is, the phone number without its zero; four in ten have no e-mail."""
    serial = f"{seed:02}{number:06}"
    first_name, last_name = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
    first, last = MAILBOXES[first_name], MAILBOXES[last_name]
    mark = f"{random.choice(PORTS)}-{first[0]}{last[0]} {serial}".upper()
    has_email = random.random() < 0.6
    email = f"{first}.{last}{serial}@{random.choice(HOSTS)}" if has_email else None
    return [mark, first_name, last_name, email, make_phone_number(number, seed)]


def make_phone_number(number: int, seed: int) -> str:
    """A number of the seed's own block of lines, which are taken in no visible order."""
    # Thirteen times the factor shares no divisor with the block: each line comes up once.
    line = number * 61_803 % LINES_A_SEED
    return f"{NETWORKS[number % len(NETWORKS)]}{seed * LINES_A_SEED + line:07}"


def repeat_key(customer: list[Cell], earlier: list[Cell], random: Random) -> None:
    key = random.choice([column for column in (MARK, EMAIL, PHONE) if earlier[column]])
    customer[key] = earlier[key]


def spell(customer: list[Cell], random: Random) -> list[Cell]:
    """The customer as someone typed it."""
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
    return [mark, first_name, last_name, email, spell_phone(phone, random)]


def spell_phone(phone: str, random: Random) -> Cell:
    spelling = random.choice(SPELLINGS)
    text = spelling.format(phone[:2], phone[2:5], phone[5:])
    return int(text) if spelling in NUMBERS else text


def mailbox(name: str) -> str:
    """A name as it stands in an e-mail address: a to z only."""
    plain = normalize("NFD", name.lower().translate({ord("ɛ"): "e", ord("ɔ"): "o"}))
    return "".join(letter for letter in plain if "a" <= letter <= "z")


MAILBOXES = {name: mailbox(name) for name in FIRST_NAMES + LAST_NAMES}
