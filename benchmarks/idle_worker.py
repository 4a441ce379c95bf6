"""Measure the costs of an idle worker, and the time from an upload to its first step.

    python -m benchmarks.idle_worker [--seconds 60] [--uploads 100] [--broker PATH]

Starts its own servers, worker and site. Prints two Markdown tables. The first one has the processor
time and the Redis commands of a worker without work. Redis counts the commands inside Lua scripts
too. The second one has the times of uploads of three rows to a site that is otherwise idle.
`--broker` names another Dramatiq broker, such as dramatiq.brokers.redis.RedisBroker.
"""

import argparse
import os
import statistics
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis

from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

NANOSECONDS = 1_000_000_000
SETTLE_SECONDS = 5  # For what the worker does when it starts.
ROWS = 3


def main(seconds, uploads, broker):
    with temporary_servers() as urls, django_on(urls), settings_with(broker):
        from django.contrib.auth import get_user_model

        from benchmarks.import_duration import hidden_output
        from tests.processes import site, worker

        owner = get_user_model().objects.create_superuser("idle")
        with hidden_output(worker(timeouts={})) as worker_process:
            time.sleep(SETTLE_SECONDS)
            print_costs(measure_idle_costs(worker_process, urls["REDIS_URL"], seconds), seconds)
            with site(owner) as web:
                web_times = [upload(web, number) for number in range(-1, uploads)][1:]
            with recorded_messages() as sent:
                python_times = [upload_in_process(owner, sent, number) for number in range(uploads)]
        print_times(web_times, python_times)


@contextmanager
def settings_with(broker):
    """Let the worker and the site use another broker, which their module of settings names."""
    if not broker:
        yield
        return
    with TemporaryDirectory() as folder:
        Path(folder, "idle_worker_settings.py").write_text(
            "from config.settings import *\n"
            f"DRAMATIQ_BROKER = DRAMATIQ_BROKER | {{'BROKER': {broker!r}}}\n"
        )
        os.environ |= {"DJANGO_SETTINGS_MODULE": "idle_worker_settings", "PYTHONPATH": folder}
        yield


# --- Costs -------------------------------------------------------------------


def measure_idle_costs(worker_process, redis_url, seconds):
    """Return the costs of a period, by name."""
    processes = {
        "master": [worker_process.list_processes()[0].pid],
        "worker": [process.pid for process in worker_process.list_processes()[1:]],
        "postgresql": list_backends(),
    }
    with Redis.from_url(redis_url) as client:
        client.info("commandstats")
        commands, cpu = read_commands(client), read_cpu(processes)
        time.sleep(seconds)
        commands = read_commands(client) - commands
        cpu = read_cpu(processes) - cpu
    commands["info"] -= 2  # Those of the first measurement.
    return {"cpu": cpu, "commands": +commands}


def list_backends():
    """Return the PIDs of the sessions of the worker."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return [pid for (pid,) in cursor.fetchall()]


def read_commands(client):
    """Return how often each command was called, and all of them together as `total`."""
    stats = client.info("commandstats")
    counts = Counter({name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()})
    return counts + Counter(total=client.info("stats")["total_commands_processed"])


def read_cpu(processes):
    """Return the nanoseconds of processor time of each group, and the wake-ups of the worker."""
    counts = Counter()
    for name, pids in processes.items():
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                with suppress(OSError):  # The thread has ended meanwhile.
                    on_cpu, _, times = (task / "schedstat").read_text().split()
                    counts[name] += int(on_cpu)
                    counts["wake-ups"] += int(times) if name != "postgresql" else 0
    return counts


def print_costs(costs, seconds):
    cpu, commands = costs["cpu"], costs["commands"]
    both = cpu["master"] + cpu["worker"]
    print(f"| Idle for {seconds} s | a second |\n|---|---|")
    for name, nanoseconds in (
        ("processor of the worker, all processes", both),
        ("among these: Dramatiq's main process", cpu["master"]),
        ("processor of its sessions in PostgreSQL", cpu["postgresql"]),
    ):
        print(f"| {name} | {nanoseconds / NANOSECONDS / seconds:.2%} of a core |")
    print(f"| its threads wake up | {cpu['wake-ups'] / seconds:.1f} times |")
    print(f"| Redis commands | {commands.pop('total') / seconds:.1f} |")
    for name, calls in sorted(commands.items(), key=lambda item: -item[1]):
        print(f"| among these: {name.upper()} | {calls / seconds:.2f} |")
    print(flush=True)


# --- Times -------------------------------------------------------------------


def upload(web, number):
    """Upload a file by HTTP, and return the seconds until its response and its first step."""
    content = make_content(number)
    started = time.time()
    _, job = web.upload(content, f"{number}.csv")
    responded = time.time()
    return responded - started, wait_for_first_step(job) - started


def upload_in_process(owner, sent, number):
    """Upload a file by the Python API, and return the seconds from its message to its first step.

    `sent` receives the times at which messages were stored in Redis.
    """
    from tests import processes

    sent.clear()
    job = processes.upload_in_process(owner, make_content(-2 - number))
    return (wait_for_first_step(job) - sent[0],)


@contextmanager
def recorded_messages():
    """Yield a list that receives the time of each message that this process sends."""
    from dramatiq.middleware import Middleware

    from imports.broker import get_broker

    class Recorder(Middleware):
        def before_enqueue(self, broker, message, delay):
            sent.append(time.time())

    sent = []
    get_broker().add_middleware(Recorder())
    yield sent


def make_content(number):
    from tests.factories import make_csv, make_row

    return make_csv([make_row(100_000 + number * ROWS + row) for row in range(ROWS)])


def wait_for_first_step(job):
    """Wait for the end of the import, so that the site is idle. Return the time of its first step.

    PostgreSQL runs on this machine, so it has the same clock.
    """
    from tests.processes import wait_until_final

    wait_until_final(job)
    if job.status != "COMPLETE":
        raise SystemExit(f"The import has the status {job.status}.")
    return job.started_at.timestamp()


def print_times(web_times, python_times):
    print(f"| {len(web_times)} uploads | p50 | p99 | worst |\n|---|---|---|---|")
    names = ("POST to its response", "POST to the first step", "message to the first step")
    columns = [*zip(*web_times, strict=True), *zip(*python_times, strict=True)]
    for name, values in zip(names, columns, strict=True):
        p99 = (
            statistics.quantiles(values, n=100, method="inclusive")[98]
            if len(values) > 1
            else values[0]
        )
        figures = (statistics.median(values), p99, max(values))
        print(f"| {name} | {' | '.join(f'{1_000 * value:.0f} ms' for value in figures)} |")


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.idle_worker",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=int, default=60, help="length of the idle period (60)")
    parser.add_argument("--uploads", type=int, default=100, help="uploads, one after another (100)")
    parser.add_argument("--broker", help="dotted path of another broker")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    main(arguments.seconds, arguments.uploads, arguments.broker)
