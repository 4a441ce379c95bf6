"""Measure the response times of the customers API with a million customers.

    python -m benchmarks.customers_api                on its own servers and site

Requests lists, searches and single customers as three users: one who may see all customers, one
who imported nearly all of them, and one who imported the oldest 4,000. The customers and the
imports are created by SQL.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import httpx

from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

OLDEST_CUSTOMERS = 4_000
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
       (job_id, number, first_row, last_row, rows, applied_at, worker, crashes)
SELECT '{job}', g / 5000, g, g + 4999, 5000, now(), '', 0
  FROM generate_series({first}, {last}, 5000) g
"""
ROWS = """
INSERT INTO imports_importrow (job_id, number, target_id, cleaned)
SELECT '{job}', c.id, c.id::text, ARRAY[shipping_mark, first_name, last_name, email, phone]
  FROM customers_customer c WHERE c.id BETWEEN {first} AND {last} ORDER BY c.id
"""


def main() -> int:
    arguments = parse_arguments()
    with temporary_servers() as urls, django_on(urls):
        from tests.streams import running_daphne

        tokens = prepare(arguments.customers)
        with running_daphne(THROTTLE_READS="100000/s") as server:
            print(f"{'':52}{'median':>10}{'worst':>10}   (ms, {arguments.runs} runs)")
            for user, token in tokens.items():
                headers = {"Authorization": f"Bearer {token}"}
                url = f"http://127.0.0.1:{server.port}/api/customers/"
                with httpx.Client(headers=headers, timeout=60) as client:
                    measure(client, url, user, arguments)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.customers_api",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument(
        "--runs", type=int, default=10, help="runs after a first one that is not counted (10)"
    )
    return parser.parse_args()


def prepare(customers: int) -> dict[str, str]:
    """Create the customers and the users, and return an access token for each user."""
    from django.db import connection
    from rest_framework_simplejwt.tokens import AccessToken

    from tests.conftest import create_user

    users = {
        "may see all": create_user("viewer", "view_customer"),
        "imported nearly all": create_user("most", "add_importjob"),
        "imported the oldest 4,000": create_user("oldest", "add_importjob"),
    }
    with connection.cursor() as cursor:
        cursor.execute(CUSTOMERS.format(customers=customers))
        create_import(cursor, users["imported the oldest 4,000"], 1, OLDEST_CUSTOMERS)
        create_import(cursor, users["imported nearly all"], OLDEST_CUSTOMERS + 1, customers)
        cursor.execute("VACUUM ANALYZE")
    return {name: str(AccessToken.for_user(user)) for name, user in users.items()}


def create_import(cursor, owner, first: int, last: int) -> None:
    from imports.models import ImportJob

    job = ImportJob.objects.create(owner=owner, importer="customers", file_size=1)
    for statement in (BATCHES, ROWS):
        cursor.execute(statement.format(job=job.pk, first=first, last=last))


def measure(client: httpx.Client, url: str, user: str, arguments: argparse.Namespace) -> None:
    queries = {
        "first page": {},
        **{f"search {text!r}": {"search": text} for text in SEARCHES},
    }
    for name, query in queries.items():
        print_times(f"{user}: {name}", measure_times(client, url, query, arguments.runs))
    customers = client.get(url).json()["results"]
    provenance = customers[0]["provenance"]
    if provenance:
        query = {"import": provenance["import"]}
        print_times(f"{user}: by import", measure_times(client, url, query, arguments.runs))
    customer_url = f"{url}{customers[0]['id']}/"
    print_times(f"{user}: one customer", measure_times(client, customer_url, {}, arguments.runs))


def measure_times(client: httpx.Client, url: str, query: dict[str, str], runs: int) -> list[float]:
    """Return the milliseconds of each run, without the first."""
    times = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        client.get(url, params=query).raise_for_status()
        times.append((time.perf_counter() - started) * 1000)
    return times[1:]


def print_times(name: str, times: list[float]) -> None:
    print(f"{name:52}{statistics.median(times):10.1f}{max(times):10.1f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
