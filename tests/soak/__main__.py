"""`python -m tests.soak --seeds 1-100 --report docs/soak.md`; the exit status is 0 if all is well.

The soak starts its own PostgreSQL and Redis, which it stops and crashes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django

from devserver import postgres, redis, signals
from devserver.paths import temporary_paths
from devserver.processes import Child, running_child


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seeds", default="1-20", help="for example 7 or 1-100", type=parse_seeds)
    parser.add_argument("--report", type=Path, help="the file that gets the table of results")
    arguments = parser.parse_args()
    signals.install_handlers()
    with running_services() as (postgres_server, redis_server):
        # Django is set up by now.
        from tests.soak.report import format_report, print_result
        from tests.soak.run import run_schedule
        from tests.soak.schedule import make_schedule
        from tests.streams import running_daphne

        results = []
        with running_daphne(
            IMPORTS_STREAM_PING_SECONDS="0.2",
            IMPORTS_STREAM_POLL_SECONDS="0.5",
            LOG_LEVEL="CRITICAL",
        ) as daphne:
            for seed in arguments.seeds:
                signals.raise_if_stop_requested()
                schedule = make_schedule(seed)
                result = run_schedule(schedule, postgres_server, redis_server, daphne.port)
                if result.violations:
                    print(f"--- Errors of the web server:\n{daphne.errors.read_text()}---")
                print_result(result, schedule)
                results.append(result)
    if arguments.report:
        arguments.report.write_text(format_report(results))
    return int(any(result.violations for result in results))


def parse_seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


@contextmanager
def running_services() -> Iterator[tuple[Child, Child]]:
    """Start both servers, and set Django up for them with a migrated database."""
    with (
        temporary_paths() as paths,
        running_child(postgres.make_server(paths, durable=False)) as postgres_server,
        running_child(redis.make_server(paths)) as redis_server,
    ):
        os.environ.pop("DEBUG", None)
        os.environ |= {
            "DATABASE_URL": postgres.get_url(paths),
            "REDIS_URL": redis.get_url(paths),
            "SECRET_KEY": "only-for-tests",
            "HTTPS_ONLY": "0",
            "LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield postgres_server, redis_server


if __name__ == "__main__":
    sys.exit(main())
