"""The advisory locks of the app: PostgreSQL's two-key locks, held until the transaction ends.

The first key says what is locked and is one of the constants below, the second says which one.
Source: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

from imports.postgres import open_cursor

# A table that imports write to, by its name. Batches share the lock. A batch that met a deadlock
# or a lock time-out is repeated with the lock held exclusively.
TARGET_TABLE = 7
# The end of the check of one import, by the import's id.
CHECK_COMPLETION = 8
# The maintenance that one worker does for all workers.
MAINTENANCE = 9
# A step of the deletion of old data.
PURGE = 10
# The quotas of one user, by the user's primary key.
USER_QUOTA = 11

LOCK = "SELECT pg_advisory_xact_lock(%s, hashtext(%s))"
LOCK_SHARED = "SELECT pg_advisory_xact_lock_shared(%s, hashtext(%s))"
TRY_LOCK = "SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))"


def lock_exclusively(what: int, which: str) -> None:
    """Take the lock, after waiting for every holder."""
    _execute(LOCK, what, which)


def lock_shared(what: int, which: str) -> None:
    """Take the lock together with other shared holders, after waiting for an exclusive holder."""
    _execute(LOCK_SHARED, what, which)


def try_lock(what: int, which: str) -> bool:
    """Take the lock exclusively without waiting; return whether it was free."""
    return bool(_execute(TRY_LOCK, what, which))


def _execute(statement: str, what: int, which: str) -> object:
    with open_cursor() as cursor:
        cursor.execute(statement, [what, which])
        return cursor.fetchone()[0]
