"""Hold worker processes at a defined point in the middle of their work.

The production code is not patched. A database trigger waits for an advisory lock that the test
holds, so a worker is certain to be at that point when the test kills, stops or disconnects it.
"""

from contextlib import contextmanager
from typing import NamedTuple

from tests.database import connection
from tests.processes import wait_for

ADVISORY_LOCK_NUMBER = 4711
FUNCTION = """
CREATE FUNCTION wait_at_barrier() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {condition} THEN PERFORM pg_advisory_xact_lock_shared({number}); END IF;
    RETURN NEW;
END $$
"""
TRIGGER = """
CREATE TRIGGER barrier {event} ON {table} FOR EACH {each} EXECUTE FUNCTION wait_at_barrier()
"""
DISK_FULL_FUNCTION = """
CREATE FUNCTION fail_as_on_a_full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {condition} THEN
        PERFORM nextval('disk_errors');
        RAISE EXCEPTION USING ERRCODE = 'disk_full',
            MESSAGE = 'could not extend file "base/1/2": No space left on device';
    END IF;
    RETURN NEW;
END $$
"""
DISK_FULL_TRIGGER = """
CREATE TRIGGER full_disk {event} ON {table} FOR EACH {each}
EXECUTE FUNCTION fail_as_on_a_full_disk()
"""
WAITING = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = %s"


class FaultPoint(NamedTuple):
    """The parts of the trigger that define where a worker waits."""

    event: str
    table: str
    each: str
    condition: str


def during_staging(*, after_row, event="AFTER INSERT"):
    """After the rows of a chunk are inserted and before they are committed.

    Only chunks that begin after the row `after_row` wait.
    """
    condition = f"EXISTS (SELECT FROM imports_importjob WHERE cursor_row > {after_row})"
    return FaultPoint(event, "imports_importrow", "STATEMENT", condition)


def during_apply(*, after_batch=0):
    """After the customers of a batch are written and before the batch is counted and committed.

    Only batches whose number is above `after_batch` wait.
    """
    condition = f"NEW.applied_at IS NOT NULL AND NEW.number > {after_batch}"
    return FaultPoint("BEFORE UPDATE", "imports_importbatch", "ROW", condition)


def during_undo(*, from_batch=10**6):
    """After the customers of a batch are undone and before the batch is counted and committed.

    Batches are undone from the last to the first. Only those up to `from_batch` wait.
    """
    condition = (
        f"NEW.undone_at IS NOT NULL AND OLD.undone_at IS NULL AND NEW.number <= {from_batch}"
    )
    return FaultPoint("BEFORE UPDATE", "imports_importbatch", "ROW", condition)


def during_hook(hook):
    """Inside a hook of the app `tests.parcels`, before its work is committed."""
    return FaultPoint("BEFORE INSERT", "parcels_hookrecord", "ROW", f"NEW.hook = '{hook}'")


def after_hook(hook):
    """After a hook has returned and before the record of the due call is deleted."""
    return FaultPoint("AFTER DELETE", "imports_hookcall", "ROW", f"OLD.hook = '{hook}'")


class FullDisk:
    """PostgreSQL reports a full disk at a fault point, and counts how often."""

    def count_errors(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM disk_errors")
            return cursor.fetchone()[0]


@contextmanager
def disk_full_at(fault_point):
    """Let every statement that reaches the fault point fail as on a full disk of PostgreSQL."""
    execute("CREATE SEQUENCE disk_errors")  # A sequence also counts in transactions that fail.
    execute(DISK_FULL_FUNCTION.format(condition=fault_point.condition))
    execute(
        DISK_FULL_TRIGGER.format(
            event=fault_point.event, table=fault_point.table, each=fault_point.each
        )
    )
    try:
        yield FullDisk()
    finally:
        execute(f"DROP TRIGGER full_disk ON {fault_point.table}")
        execute("DROP FUNCTION fail_as_on_a_full_disk()")
        execute("DROP SEQUENCE disk_errors")


class Barrier:
    """Database sessions that reach it wait until it is opened."""

    def __init__(self, cursor):
        self.cursor = cursor

    def close(self):
        self.cursor.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK_NUMBER])

    def open(self):
        self.cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK_NUMBER])

    def waiting_sessions(self):
        """Return the PostgreSQL process IDs of the sessions that wait."""
        self.cursor.execute(WAITING, [ADVISORY_LOCK_NUMBER])
        return [pid for (pid,) in self.cursor.fetchall()]

    def terminate_sessions(self):
        """End the sessions that wait. PostgreSQL notices late that the client of one was killed."""
        for pid in self.waiting_sessions():
            self.cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        wait_for(lambda: not self.waiting_sessions())

    def wait_until_reached(self, count=1):
        """Wait until this many sessions wait at the barrier."""
        wait_for(lambda: len(self.waiting_sessions()) >= count)


@contextmanager
def block_at(fault_point):
    """Install a closed barrier at the fault point. It is opened and removed at the end."""
    lock_holder = connection.copy()
    lock_holder.connect()
    execute(FUNCTION.format(condition=fault_point.condition, number=ADVISORY_LOCK_NUMBER))
    execute(TRIGGER.format(event=fault_point.event, table=fault_point.table, each=fault_point.each))
    try:
        with lock_holder.cursor() as cursor:
            barrier = Barrier(cursor)
            barrier.close()
            yield barrier
    finally:
        lock_holder.close()  # PostgreSQL releases the lock of a closed session.
        execute(f"DROP TRIGGER barrier ON {fault_point.table}")
        execute("DROP FUNCTION wait_at_barrier()")


def execute(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
