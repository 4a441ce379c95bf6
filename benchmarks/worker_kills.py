"""Kill the worker of a large import at random moments, and check that no row is lost or doubled.

    python -m benchmarks.worker_kills [runs] [seed]

Starts its own PostgreSQL and Redis, and uses the timeouts of production. The first import runs
without a kill, to measure how long it takes. In each further run the worker's process group is
killed at a random moment of that time, and a new worker is started immediately. At least two
workers are killed while checking and two while applying. The exit status is 1 unless the counts and
the customers of every run are exact.
"""

import sys
import time
import traceback
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from random import Random, randrange

from benchmarks.stream_subscribers import django_on
from devserver.servers import temporary_servers

ROWS = 100_000
MIN_KILLS_PER_PHASE = 2
MAX_WAIT_SECONDS = 300
DELETE_EVERYTHING = """
TRUNCATE customers_customer, imports_importjob, imports_importbatch, imports_importattempt,
         imports_importrow, imports_storedfile, imports_storedchunk CASCADE
"""


def main(runs=10, seed=None):
    runs = max(runs, 2 * MIN_KILLS_PER_PHASE)
    seed = randrange(10**6) if seed is None else seed
    with temporary_servers() as urls, django_on(urls):
        benchmark = KillBenchmark()
        durations = benchmark.measure_phases()
        print(f"seed {seed}, {ROWS:,} rows; without a kill: ", end="")
        print(", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in durations.items()))
        rng, results = Random(seed), []
        for phase, seconds in draw_moments(rng, durations, runs):
            results.append(benchmark.run_with_kill(len(results) + 1, phase, seconds))
        # On a busy machine a phase may take more or less time than in the first run.
        while phases := list_missing_phases([phase for phase, _ in results], durations):
            seconds = rng.uniform(0, durations[phases[0]])
            results.append(benchmark.run_with_kill(len(results) + 1, phases[0], seconds))
    exact_runs = sum(is_exact for _, is_exact in results)
    print(f"{exact_runs} of {len(results)} exact")
    return 0 if exact_runs == len(results) else 1


def draw_moments(rng, durations, count):
    """Return moments that are uniformly distributed, with enough moments in each phase."""
    while True:
        moments = [draw_moment(rng, durations) for _ in range(count)]
        if not list_missing_phases([phase for phase, _ in moments], durations):
            return moments


def draw_moment(rng, durations):
    """Return a phase, and the seconds since its beginning."""
    seconds = rng.uniform(0, sum(durations.values()))
    if seconds < durations["CHECKING"]:
        return "CHECKING", seconds
    return "RUNNING", seconds - durations["CHECKING"]


def list_missing_phases(phases, durations):
    """Return the phases with fewer kills than MIN_KILLS_PER_PHASE."""
    return [phase for phase in durations if phases.count(phase) < MIN_KILLS_PER_PHASE]


class KillBenchmark:
    """Imports of one sample into an empty table."""

    def __init__(self):
        # These modules need Django, which is set up only now.
        from django.contrib.auth import get_user_model

        from tests import invariants, processes

        self.invariants = invariants
        self.processes = processes
        self.sample = invariants.make_sample(ROWS, name="customers.xlsx")
        self.owner = get_user_model().objects.create_superuser("alice")

    def measure_phases(self):
        """Import without a kill, and return the seconds of each phase."""
        with self.running_worker():
            job = self.upload_sample()
            self.wait_for_phase(job, "CHECKING", 0)
            checking_at = time.monotonic()
            self.wait_for_phase(job, "RUNNING", 0)
            running_at = time.monotonic()
            self.processes.wait_until_final(job, seconds=MAX_WAIT_SECONDS)
            complete_at = time.monotonic()
        self.invariants.assert_exact({job: self.sample})
        return {"CHECKING": running_at - checking_at, "RUNNING": complete_at - running_at}

    def run_with_kill(self, number, phase, seconds):
        """Import, and kill the worker `seconds` after the beginning of the phase.

        Returns the status in which the worker was killed, and whether the result is exact.
        """
        with self.running_worker() as worker:
            job = self.upload_sample()
            started = time.monotonic()
            self.wait_for_phase(job, phase, seconds)
            worker.kill()
        killed_at = time.monotonic()
        job.refresh_from_db()
        status_at_kill = job.status
        with self.running_worker():
            if not job.is_final:
                self.processes.wait_for_version_after(job)
            resumed_after = time.monotonic() - killed_at
            self.processes.wait_until_final(job, seconds=MAX_WAIT_SECONDS)
        total = time.monotonic() - started
        is_exact = self.is_exact(job)
        print(
            f"{number:3}  killed {seconds:6.2f} s into {phase:8} in {status_at_kill:8}"
            f"  next commit after {resumed_after:5.2f} s  total {total:6.2f} s"
            f"  {'OK' if is_exact else 'NOT EXACT'}",
            flush=True,
        )
        return status_at_kill, is_exact

    def wait_for_phase(self, job, phase, seconds):
        """Wait until the import has been in the phase for `seconds`, or is beyond the phase."""
        order = ["QUEUED", "CHECKING", "RUNNING", "COMPLETE", "FAILED"]
        index = order.index(phase)
        self.processes.wait_for(
            lambda: job.refresh_from_db() or order.index(job.status) >= index, MAX_WAIT_SECONDS
        )
        time.sleep(seconds if job.status == phase else 0)

    def is_exact(self, job):
        try:
            self.invariants.assert_exact({job: self.sample})
        except AssertionError:
            traceback.print_exc()
            return False
        return True

    def upload_sample(self):
        """Empty the tables, and upload the sample."""
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(DELETE_EVERYTHING)
        return self.processes.upload_in_process(self.owner, self.sample.content, self.sample.name)

    @contextmanager
    def running_worker(self):
        """Start a worker as in production. Its output is shown only if something fails."""
        output = StringIO()
        try:
            with redirect_stdout(output), self.processes.worker(timeouts={}) as worker:
                yield worker
        except BaseException:
            print(output.getvalue(), file=sys.stderr)
            raise


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
