"""Measure how long an import makes no progress after a fault.

    python -m benchmarks.recovery_times [--runs 10] [--other-runs 3] [--rows 100000] [--seed 1]

Starts its own PostgreSQL and Redis, and uses the timeouts of production. The recovery time is the
time from the fault to the next commit of the import, as PostgreSQL shows it, the restart of the
process or server included. Each fault happens at a random moment. A killed worker is started again
at once, as by any supervisor. Prints a Markdown table with the median and the worst of all runs.
"""

import argparse
import signal
import sys
import time
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from random import Random
from statistics import median

from benchmarks.stream_subscribers import django_on
from benchmarks.worker_kills import DELETE_EVERYTHING
from devserver import postgres, redis
from devserver.paths import temporary_paths
from devserver.processes import running_child
from devserver.processes import wait_for as wait_for_server

MAX_WAIT_SECONDS = 120
OUTAGE_SECONDS = 8
TERMINATE_OTHER_SESSIONS = """
SELECT pg_terminate_backend(pid)
  FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
MAX_DELAY_SECONDS = 1.0  # The random part of the moment of a fault.


def main(runs, other_runs, rows, seed):
    with (
        temporary_paths() as paths,
        running_child(postgres.make_server(paths, durable=False)) as database,
        running_child(redis.make_server(paths)) as message_server,
        django_on({"DATABASE_URL": postgres.get_url(paths), "REDIS_URL": redis.get_url(paths)}),
    ):
        benchmark = RecoveryBenchmark(database, message_server, rows, Random(seed))
        main_faults = {
            "worker killed while it writes": benchmark.kill_worker_in_apply,
            "worker killed while it checks": benchmark.kill_worker_in_check,
            "reader killed": benchmark.kill_reader,
            "Redis restarted": benchmark.restart_redis,
            "PostgreSQL restarted": benchmark.restart_postgresql,
            "network to PostgreSQL and Redis cut": benchmark.cut_network,
        }
        other_faults = {
            "worker killed while it undoes": benchmark.kill_worker_in_undo,
            "worker terminated while it writes": benchmark.terminate_worker,
            "worker frozen while it writes": benchmark.freeze_worker,
            "Redis loses its data": benchmark.flush_redis,
            "Redis down for 8 s": benchmark.stop_redis,
            "network to Redis silent for 8 s": benchmark.silence_redis,
            "PostgreSQL down for 8 s": benchmark.stop_postgresql,
            "every session of PostgreSQL ended": benchmark.terminate_sessions,
            "web process killed before it sends the message": benchmark.lose_first_message,
        }
        print("| Fault | Median | Worst | Runs |\n|---|---|---|---|", flush=True)
        for faults, times in ((main_faults, runs), (other_faults, other_runs)):
            for name, measure in faults.items():
                seconds = [benchmark.run(measure) for _ in range(times)]
                if seconds:
                    figures = f"{median(seconds):.1f} s | {max(seconds):.1f} s"
                    print(f"| {name} | {figures} | {times} |", flush=True)


class RecoveryBenchmark:
    """Imports of one sample, each with one fault."""

    def __init__(self, database, message_server, rows, random):
        # These modules need Django, which is set up only now.
        from django.contrib.auth import get_user_model

        from tests import invariants, processes

        self.database = database
        self.message_server = message_server
        self.random = random
        self.processes = processes
        self.invariants = invariants
        self.sample = invariants.make_sample(rows)
        self.owner = get_user_model().objects.create_superuser("alice")

    def run(self, measure):
        """Import with a fault, check that the result is exact, and return the seconds."""
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(DELETE_EVERYTHING)
        self.processes.flush_redis()
        job = self.processes.upload_in_process(self.owner, self.sample.content)
        with quiet_unless_it_fails():
            seconds = measure(job)
            job.refresh_from_db()
            self.invariants.assert_exact({} if job.undone else {job: self.sample})
        return seconds

    # --- Faults --------------------------------------------------------------

    def kill_worker_in_apply(self, job):
        return self.kill_worker(job, "RUNNING")

    def kill_worker_in_check(self, job):
        return self.kill_worker(job, "CHECKING")

    def kill_worker(self, job, status):
        with self.processes.worker(timeouts={}) as worker:
            self.wait_for_moment(job, status)
            started = time.monotonic()
            worker.kill()
        version = read_version(job)
        with self.processes.worker(timeouts={}):
            return self.finish(job, version, started)

    def kill_reader(self, job):
        with self.processes.worker(timeouts={}) as worker:
            self.wait_for(worker.find_reader)
            self.wait_for_seconds(job, "CHECKING")
            if (reader := worker.find_reader()) is None:
                raise SystemExit("The whole file was read too quickly. Give it more --rows.")
            started = time.monotonic()
            reader.kill()
            # What the killed reader has sent is still committed, so wait for the next reader.
            self.wait_for(lambda: worker.find_reader() not in {None, reader})
            return self.finish(job, read_version(job), started)

    def restart_redis(self, job):
        with self.processes.worker(timeouts={}):
            self.wait_for_moment(job, "RUNNING")
            started, version = time.monotonic(), read_version(job)
            restart(self.message_server)
            return self.finish(job, version, started)

    def restart_postgresql(self, job):
        with self.processes.worker(timeouts={}):
            self.wait_for_moment(job, "RUNNING")
            started, version = time.monotonic(), read_version(job)
            restart(self.database)
            return self.finish(job, version, started)

    def cut_network(self, job):
        from tests.tcp_proxy import database_proxy, redis_proxy

        with (
            database_proxy() as (database, address),
            redis_proxy() as (messages, other_address),
            self.processes.worker(timeouts={}, **address, **other_address),
        ):
            self.wait_for_moment(job, "RUNNING")
            started = time.monotonic()
            for proxy in (database, messages):
                proxy.refuse()
            version = read_version(job)
            for proxy in (database, messages):
                proxy.accept()
            return self.finish(job, version, started)

    def kill_worker_in_undo(self, job):
        from imports import lifecycle

        with self.processes.worker(timeouts={}) as worker:
            self.processes.wait_until_final(job, seconds=MAX_WAIT_SECONDS)
            lifecycle.undo(job)
            self.wait_for_moment(job, "UNDOING")
            started = time.monotonic()
            worker.kill()
        version = read_version(job)
        with self.processes.worker(timeouts={}):
            return self.finish(job, version, started)

    def terminate_worker(self, job):
        """Start another worker when the first one has exited."""
        with self.processes.worker(timeouts={}) as worker:
            self.wait_for_moment(job, "RUNNING")
            started = time.monotonic()
            worker.terminate()
            worker.wait_for_exit()
        version = read_version(job)
        with self.processes.worker(timeouts={}):
            return self.finish(job, version, started)

    def freeze_worker(self, job):
        """Start another worker at once. The first one never wakes."""
        with self.processes.worker(timeouts={}) as worker:
            self.wait_for_moment(job, "RUNNING")
            started = time.monotonic()
            worker.signal(signal.SIGSTOP)
            version = read_version(job)
            with self.processes.worker(timeouts={}):
                return self.finish(job, version, started)

    def flush_redis(self, job):
        with self.processes.worker(timeouts={}):
            self.wait_for_moment(job, "RUNNING")
            started, version = time.monotonic(), read_version(job)
            self.processes.flush_redis()
            return self.finish(job, version, started)

    def stop_redis(self, job):
        return self.stop_server(job, self.message_server)

    def stop_postgresql(self, job):
        return self.stop_server(job, self.database)

    def stop_server(self, job, server):
        """Stop it for OUTAGE_SECONDS, which the recovery time includes."""
        with self.processes.worker(timeouts={}):
            self.wait_for_moment(job, "RUNNING")
            started, version = time.monotonic(), read_version(job)
            server.stop()
            time.sleep(OUTAGE_SECONDS)
            server.start()
            assert wait_for_server(server.is_ready, MAX_WAIT_SECONDS)
            return self.finish(job, version, started)

    def silence_redis(self, job):
        from tests.tcp_proxy import redis_proxy

        with redis_proxy() as (proxy, address), self.processes.worker(timeouts={}, **address):
            self.wait_for_moment(job, "RUNNING")
            started, version = time.monotonic(), read_version(job)
            proxy.freeze()
            time.sleep(OUTAGE_SECONDS)
            proxy.thaw()
            return self.finish(job, version, started)

    def terminate_sessions(self, job):
        from django.db import connection

        with self.processes.worker(timeouts={}), connection.cursor() as cursor:
            self.wait_for_moment(job, "RUNNING")
            started, version = time.monotonic(), read_version(job)
            cursor.execute(TERMINATE_OTHER_SESSIONS)
            return self.finish(job, version, started)

    def lose_first_message(self, job):
        """Delete the message of the upload, as if it had never been sent, and start a worker."""
        self.processes.flush_redis()
        started = time.monotonic()
        with self.processes.worker(timeouts={}):
            return self.finish(job, read_version(job), started)

    # --- Waiting -------------------------------------------------------------

    def wait_for_moment(self, job, status):
        """Wait for the first commit in the status, and then for a random time."""
        self.wait_for(lambda: job.refresh_from_db() or job.status == status)
        version = job.version
        self.wait_for(lambda: read_version(job) > version)
        self.wait_for_seconds(job, status)

    def wait_for_seconds(self, job, status):
        """Wait for a random time, or until the status is nearly over."""
        deadline = time.monotonic() + self.random.uniform(0, MAX_DELAY_SECONDS)
        self.wait_for(lambda: time.monotonic() > deadline or self.is_nearly_over(job, status))

    def is_nearly_over(self, job, status):
        job.refresh_from_db()
        done = {"CHECKING": job.checked, "UNDOING": job.undone}.get(status, job.processed)
        return done > 0.5 * len(self.sample.rows) or job.status not in ("QUEUED", status)

    def finish(self, job, version, started):
        """Wait for the next commit and for the end; return the seconds until the commit."""
        self.wait_for(lambda: read_version(job) > version)
        seconds = time.monotonic() - started
        self.processes.wait_until_final(job, seconds=MAX_WAIT_SECONDS)
        return seconds

    def wait_for(self, condition):
        return self.processes.wait_for(condition, MAX_WAIT_SECONDS)


def read_version(job):
    """Return the version of the import; 0 while PostgreSQL does not answer."""
    from django.db import OperationalError, connection

    try:
        return type(job).objects.values_list("version", flat=True).get(pk=job.pk)
    except OperationalError:
        with suppress(OperationalError):
            connection.close()
        return 0


def restart(server):
    server.stop()
    server.start()
    assert wait_for_server(server.is_ready, MAX_WAIT_SECONDS)


@contextmanager
def quiet_unless_it_fails():
    """Show the output of the workers only if something fails."""
    output = StringIO()
    try:
        with redirect_stdout(output):
            yield
    except BaseException:
        print(output.getvalue(), file=sys.stderr)
        raise


def parse_arguments():
    parser = argparse.ArgumentParser(description="Measure recovery times.")
    parser.add_argument("--runs", type=int, default=10, help="runs of the first faults")
    parser.add_argument("--other-runs", type=int, default=3, help="runs of each other fault")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the file")
    parser.add_argument("--seed", type=int, default=None, help="seed of the random moments")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    main(arguments.runs, arguments.other_runs, arguments.rows, arguments.seed)
