"""A gate inside the database: a worker process stands there, in the middle of a step.

Nothing of ours is patched. A trigger waits for an advisory lock that the test holds, so
where a worker stands when it is killed, stopped or cut off is certain.
"""

from contextlib import contextmanager
from typing import NamedTuple

from django.db import connection

from tests.processes import wait_for

NUMBER = 4711
FUNCTION = """
CREATE FUNCTION stand_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {condition} THEN PERFORM pg_advisory_xact_lock_shared({number}); END IF;
    RETURN NEW;
END $$
"""
TRIGGER = """
CREATE TRIGGER gate {event} ON {table} FOR EACH {each} EXECUTE FUNCTION stand_at_gate()
"""
STANDING = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = %s"


class Step(NamedTuple):
    event: str
    table: str
    each: str
    condition: str


def during_staging(*, after_row, event="AFTER INSERT"):
    """All rows of a chunk are in, and not committed; an earlier chunk is."""
    condition = f"EXISTS (SELECT FROM imports_importjob WHERE cursor_row > {after_row})"
    return Step(event, "imports_importrow", "STATEMENT", condition)


def during_apply(*, after_batch=0):
    """The customers of a batch are in, and neither counted nor committed."""
    condition = f"NEW.applied_at IS NOT NULL AND NEW.number > {after_batch}"
    return Step("BEFORE UPDATE", "imports_importbatch", "ROW", condition)


class Gate:
    """Whoever comes waits until it opens."""

    def __init__(self, cursor):
        self.cursor = cursor

    def close(self):
        self.cursor.execute("SELECT pg_advisory_lock(%s)", [NUMBER])

    def open(self):
        self.cursor.execute("SELECT pg_advisory_unlock(%s)", [NUMBER])

    def waiting_sessions(self):
        """The database sessions that wait."""
        self.cursor.execute(STANDING, [NUMBER])
        return [pid for (pid,) in self.cursor.fetchall()]

    def wait_until_reached(self, count=1):
        wait_for(lambda: len(self.waiting_sessions()) >= count)


@contextmanager
def block_at(step):
    keeper = connection.copy()
    keeper.connect()
    run(FUNCTION.format(condition=step.condition, number=NUMBER))
    run(TRIGGER.format(event=step.event, table=step.table, each=step.each))
    try:
        with keeper.cursor() as cursor:
            gate = Gate(cursor)
            gate.close()
            yield gate
    finally:
        keeper.close()  # And the gate is open.
        run(f"DROP TRIGGER gate ON {step.table}")
        run("DROP FUNCTION stand_at_gate()")


def run(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
