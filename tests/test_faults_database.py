"""PostgreSQL cuts its workers off in the middle of a step: done again, and nobody is blamed."""

import pytest
from django.db import connection

from imports.models import ImportJob
from tests.fault_points import block_at, during_apply, during_staging
from tests.invariants import assert_exact, assert_no_attempts_left, make_sample
from tests.processes import flush_redis, upload_in_process, wait_for, wait_until_final, worker

pytestmark = pytest.mark.django_db(transaction=True)

# All but this run's own: the gate's keeper, and whoever asks.
CUT_OFF = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> %s
"""


@pytest.mark.parametrize(
    "step",
    [during_staging(after_row=600), during_apply(after_batch=3)],
    ids=["checking", "running"],
)
def test_workers_cut_off_again_and_again_finish_exactly_and_nobody_is_blamed(alice, step):
    flush_redis()
    sent = make_sample()
    with block_at(step) as gate, worker():
        job = upload_in_process(alice, sent.content)
        for _ in range(4):  # More than what gives a row, or a file, up.
            gate.wait_until_reached()
            assert cut_off_all_but(gate) >= 1
            wait_for(lambda: not gate.waiting_sessions())
        gate.open()
        wait_until_final(job)
        blamed = ImportJob.objects.get(pk=job.pk).reader_crashes

    assert blamed == 0
    assert not job.batches.filter(crashes__gt=0).exists()
    assert_exact({job: sent})
    assert_no_attempts_left()


def test_a_check_cut_off_while_it_waits_for_its_reader_is_done_again_and_nobody_is_blamed(alice):
    flush_redis()
    sent = make_sample(30_000)
    with block_at(during_staging(after_row=600)) as gate, worker() as reading:
        job = upload_in_process(alice, sent.content)
        gate.wait_until_reached()
        reading.find_reader().suspend()
        gate.open()
        wait_for(lambda: only_waits(job))
        gate.close()
        assert cut_off_all_but(gate) >= 1
        gate.wait_until_reached()
        again = ImportJob.objects.get(pk=job.pk)
        gate.open()
        wait_until_final(job)

    assert again.reader_crashes == 1
    assert_exact({job: sent})


def only_waits(job):
    """Whether its worker has said that it is still there, and staged nothing meanwhile."""
    before = job.version, job.reader_heartbeat_at
    job.refresh_from_db()
    return job.version == before[0] and job.reader_heartbeat_at != before[1]


def cut_off_all_but(gate):
    with connection.cursor() as cursor:
        cursor.execute(CUT_OFF, [gate.cursor.connection.info.backend_pid])
        return cursor.fetchone()[0]
