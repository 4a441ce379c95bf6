"""How long a program waits for customers: lists, searches, one of them, at a million.

    python -m benchmarks.customers_api                on servers and a site of its own

Asked by who may see all, by an owner who wrote nearly all, and by one who wrote the oldest 4,000.
The customers, and the imports that wrote them, are made by SQL.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import httpx

from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

OLDEST = 4_000
SEARCHES = ("ACC-AM 0000077", "024 000 0077", "+2332400000", "user77@", "ama", "nobody")

CUSTOMERS = """
INSERT INTO customers_customer
       (shipping_mark, first_name, last_name, email, phone, created_at, updated_at)
SELECT 'ACC-AM ' || lpad(n::text, 7, '0'),
       (ARRAY['Ama', 'Kofi', 'Yaw', 'Akosua', 'Kwame', 'Efua', 'Abena'])[1 + n % 7],
       (ARRAY['Mensah', 'Owusu', 'Boateng', 'Asante', 'Osei'])[1 + n % 5],
       CASE WHEN n % 10 < 6 THEN 'user' || n || '@example.com' END,
       '+23324' || lpad(n::text, 7, '0'), now(), now()
  FROM generate_series(1, {customers}) n
"""
BATCHES = """
INSERT INTO imports_importbatch
       (job_id, number, first_row, last_row, rows, applied_at, after_batch_at, worker, crashes)
SELECT '{job}', g / 5000, g, g + 4999, 5000, now(), now(), '', 0
  FROM generate_series({first}, {last}, 5000) g
"""
ROWS = """
INSERT INTO imports_importrow (job_id, number, target_id, cleaned)
SELECT '{job}', c.id, c.id::text, ARRAY[shipping_mark, first_name, last_name, email, phone]
  FROM customers_customer c WHERE c.id BETWEEN {first} AND {last} ORDER BY c.id
"""


def main() -> int:
    arguments = parse()
    with temporary_servers() as urls, django_on(urls):
        from tests.streams import running_daphne

        tokens = prepare(arguments.customers)
        with running_daphne(THROTTLE_READS="100000/s") as server:
            print(f"{'':52}{'median':>10}{'worst':>10}   (ms, {arguments.runs} runs)")
            for who, token in tokens.items():
                headers = {"Authorization": f"Bearer {token}"}
                address = f"http://127.0.0.1:{server.port}/api/customers/"
                with httpx.Client(headers=headers, timeout=60) as client:
                    measure(client, address, who, arguments)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.customers_api",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=10, help="after one to warm up (10)")
    return parser.parse_args()


def prepare(customers: int) -> dict[str, str]:
    """Customers, who wrote them, and a token of each who asks."""
    from django.db import connection
    from rest_framework_simplejwt.tokens import AccessToken

    from tests.conftest import create_user

    people = {
        "may see all": create_user("viewer", "view_customer"),
        "wrote nearly all": create_user("most", "add_importjob"),
        "wrote the oldest 4,000": create_user("oldest", "add_importjob"),
    }
    with connection.cursor() as cursor:
        cursor.execute(CUSTOMERS.format(customers=customers))
        write(cursor, people["wrote the oldest 4,000"], 1, OLDEST)
        write(cursor, people["wrote nearly all"], OLDEST + 1, customers)
        cursor.execute("VACUUM ANALYZE")
    return {who: str(AccessToken.for_user(one)) for who, one in people.items()}


def write(cursor, owner, first: int, last: int) -> None:
    from imports.models import ImportJob

    job = ImportJob.objects.create(owner=owner, importer="customers", file_size=1)
    for statement in (BATCHES, ROWS):
        cursor.execute(statement.format(job=job.pk, first=first, last=last))


def measure(client: httpx.Client, address: str, who: str, arguments: argparse.Namespace) -> None:
    asked = {
        "first page": {},
        **{f"search {text!r}": {"search": text} for text in SEARCHES},
    }
    for what, query in asked.items():
        show(f"{who}: {what}", times(client, address, query, arguments.runs))
    customers = client.get(address).json()["results"]
    origin = customers[0]["origin"]
    if origin:
        of_import = {"import": origin["import"]}
        show(f"{who}: by import", times(client, address, of_import, arguments.runs))
    one = f"{address}{customers[0]['id']}/"
    show(f"{who}: one customer", times(client, one, {}, arguments.runs))


def times(client: httpx.Client, address: str, query: dict[str, str], runs: int) -> list[float]:
    taken = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        client.get(address, params=query).raise_for_status()
        taken.append((time.perf_counter() - began) * 1000)
    return taken[1:]


def show(what: str, taken: list[float]) -> None:
    print(f"{what:52}{statistics.median(taken):10.1f}{max(taken):10.1f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
