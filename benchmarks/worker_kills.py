"""A large import whose worker is killed at any moment: nothing may be lost or doubled.

    python -m benchmarks.worker_kills [runs] [seed]

PostgreSQL and Redis are its own, the waits are those of production. One import runs
undisturbed; then one after another the worker's whole process group is killed at a moment
drawn from that time, and a new worker is started at once. At least two are killed while
checking and two while writing. The exit status is 1 unless every run came out exactly.
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
AT_LEAST_IN_EACH_PHASE = 2
FORGET = """
TRUNCATE customers_customer, imports_importjob, imports_importbatch, imports_importattempt,
         imports_importrow, imports_storedfile, imports_storedchunk CASCADE
"""


def main(runs=10, seed=None):
    runs = max(runs, 2 * AT_LEAST_IN_EACH_PHASE)
    seed = randrange(10**6) if seed is None else seed
    with temporary_servers() as urls, django_on(urls):
        bench = Bench()
        lengths = bench.undisturbed()
        print(f"seed {seed}, {ROWS:,} rows; undisturbed: ", end="")
        print(", ".join(f"{phase} {length:.2f} s" for phase, length in lengths.items()))
        dice, results = Random(seed), []
        for phase, seconds in moments(dice, lengths, runs):
            results.append(bench.killed(len(results) + 1, phase, seconds))
        # On a busy machine a phase may be over sooner, or later, than it was undisturbed.
        while missed := missing([phase for phase, _ in results], lengths):
            seconds = dice.uniform(0, lengths[missed[0]])
            results.append(bench.killed(len(results) + 1, missed[0], seconds))
    good = sum(is_exact for _, is_exact in results)
    print(f"{good} of {len(results)} exact")
    return 0 if good == len(results) else 1


def moments(dice, lengths, count):
    """Moments uniform over the whole import, drawn again until each phase has enough of them."""
    while True:
        drawn = [moment(dice, lengths) for _ in range(count)]
        if not missing([phase for phase, _ in drawn], lengths):
            return drawn


def moment(dice, lengths):
    """A phase, and a time since its beginning."""
    drawn = dice.uniform(0, sum(lengths.values()))
    if drawn < lengths["CHECKING"]:
        return "CHECKING", drawn
    return "RUNNING", drawn - lengths["CHECKING"]


def missing(phases, lengths):
    """The phases that have too few."""
    return [phase for phase in lengths if phases.count(phase) < AT_LEAST_IN_EACH_PHASE]


class Bench:
    """The sample, and imports of it into an empty table."""

    def __init__(self):
        # Django is set up only now.
        from django.contrib.auth import get_user_model

        from tests import invariants, processes

        self.exactness, self.processes = invariants, processes
        self.sent = invariants.make_sample(ROWS, name="customers.xlsx")
        self.owner = get_user_model().objects.create_superuser("alice")

    def undisturbed(self):
        """How long each phase takes."""
        with self.worker():
            job = self.upload()
            self.until(job, "CHECKING", 0)
            checking_at = time.monotonic()
            self.until(job, "RUNNING", 0)
            running_at = time.monotonic()
            self.processes.wait_until_final(job, seconds=300)
            complete_at = time.monotonic()
        self.exactness.assert_exact({job: self.sent})
        return {"CHECKING": running_at - checking_at, "RUNNING": complete_at - running_at}

    def killed(self, number, phase, seconds):
        """One import, its worker killed; the phase it was killed in, and if all came out right."""
        with self.worker() as doomed:
            job = self.upload()
            began = time.monotonic()
            self.until(job, phase, seconds)
            doomed.kill()
        killed_at = time.monotonic()
        job.refresh_from_db()
        killed_in = job.status
        with self.worker():
            if not job.is_final:
                self.processes.wait_for_version_after(job)
            resumed = time.monotonic() - killed_at
            self.processes.wait_until_final(job, seconds=300)
        total = time.monotonic() - began
        is_exact = self.is_exact(job)
        print(
            f"{number:3}  killed {seconds:6.2f} s into {phase:8} in {killed_in:8}"
            f"  next commit after {resumed:5.2f} s  total {total:6.2f} s"
            f"  {'OK' if is_exact else 'NOT'}",
            flush=True,
        )
        return killed_in, is_exact

    def until(self, job, phase, seconds):
        """Until the import has been in this phase for so long, or is beyond it."""
        order = ["QUEUED", "CHECKING", "RUNNING", "COMPLETE", "FAILED"]
        reached = order.index(phase)
        self.processes.wait_for(
            lambda: job.refresh_from_db() or order.index(job.status) >= reached, 300
        )
        time.sleep(seconds if job.status == phase else 0)

    def is_exact(self, job):
        try:
            self.exactness.assert_exact({job: self.sent})
        except AssertionError:
            traceback.print_exc()
            return False
        return True

    def upload(self):
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(FORGET)
        return self.processes.upload(self.owner, self.sent.content, self.sent.name)

    @contextmanager
    def worker(self):
        """A worker as in production; what it says is shown only if something fails."""
        said = StringIO()
        try:
            with redirect_stdout(said), self.processes.worker(waits={}) as started:
                yield started
        except BaseException:
            print(said.getvalue(), file=sys.stderr)
            raise


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
