"""PostgreSQL ends sessions of workers in the middle of a step, or reports a full disk.

The step is repeated. The fault counts neither as a crash of the batch nor as a crash of the reader.
"""

import pytest

from imports.models import ImportJob
from imports.storage import StoredChunk, StoredFile
from tests.database import connection
from tests.fault_points import FaultPoint, block_at, disk_full_at, during_apply, during_staging
from tests.invariants import assert_exact, make_sample, wait_until_end
from tests.processes import (
    flush_redis,
    site,
    upload_in_process,
    wait_for,
    worker,
)

pytestmark = pytest.mark.django_db(transaction=True)

# Ends every session of the test database except that of the gate (the parameter) and the
# session that runs the query.
TERMINATE_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> %s
"""


@pytest.mark.parametrize(
    "step",
    [during_staging(after_row=600), during_apply(after_batch=3)],
    ids=["checking", "running"],
)
def test_repeated_loss_of_the_database_session_costs_no_row_and_counts_as_no_crash(
    alice, web_server, step
):
    flush_redis()
    sample = make_sample()
    with site(alice, web_server) as web, block_at(step) as gate, worker():
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        for _ in range(4):  # More often than the limit of crashes of a batch or a file.
            gate.wait_until_reached()
            assert terminate_sessions_except(gate) >= 1
            wait_for(lambda: not gate.waiting_sessions())
        gate.open()
        wait_until_end(watcher)

    assert job.reader_crashes == 0
    assert not job.batches.filter(crashes__gt=0).exists()
    assert_exact({job: sample})


def test_a_check_that_loses_its_session_while_the_reader_is_silent_is_repeated(alice, web_server):
    flush_redis()
    sample = make_sample(30_000)
    with (
        site(alice, web_server) as web,
        block_at(during_staging(after_row=600)) as gate,
        worker() as worker_process,
    ):
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        gate.wait_until_reached()
        worker_process.find_reader().suspend()
        gate.open()
        wait_for(lambda: is_waiting_for_reader(job))
        gate.close()
        assert terminate_sessions_except(gate) >= 1
        gate.wait_until_reached()
        interrupted_job = ImportJob.objects.get(pk=job.pk)
        gate.open()
        wait_until_end(watcher)

    assert interrupted_job.reader_crashes == 1
    assert_exact({job: sample})


@pytest.mark.slow_fault
@pytest.mark.parametrize(
    "step",
    [during_staging(after_row=600), during_apply(after_batch=3)],
    ids=["checking", "running"],
)
def test_an_import_goes_on_after_postgresql_reported_a_full_disk(alice, web_server, step):
    flush_redis()
    sample = make_sample()
    with site(alice, web_server) as web, worker():
        with disk_full_at(step) as disk:
            job = upload_in_process(alice, sample.content)
            watcher = web.watch(job)
            # More often than the limit of crashes of a batch or a file.
            wait_for(lambda: disk.count_errors() >= 4)
        wait_until_end(watcher)

    assert job.reader_crashes == 0
    assert not job.batches.filter(crashes__gt=0).exists()
    assert_exact({job: sample})


@pytest.mark.slow_fault
def test_an_upload_gets_503_and_stores_nothing_while_postgresql_reports_a_full_disk(
    alice, web_server
):
    flush_redis()
    sample = make_sample(200)
    in_an_upload = FaultPoint("BEFORE INSERT", "imports_storedchunk", "STATEMENT", "true")
    with site(alice, web_server) as web, worker():
        with disk_full_at(in_an_upload) as disk:
            response = web.upload(sample.content)[0]
            errors = disk.count_errors()
            left = [model.objects.count() for model in (ImportJob, StoredFile, StoredChunk)]
        job = web.upload(sample.content)[1]
        wait_until_end(web.watch(job))

    assert errors >= 1
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert left == [0, 0, 0]
    assert_exact({job: sample})


def is_waiting_for_reader(job):
    """Whether the worker has renewed its lease since the last call and has staged no rows."""
    version, heartbeat_at = job.version, job.reader_heartbeat_at
    job.refresh_from_db()
    return job.version == version and job.reader_heartbeat_at != heartbeat_at


def terminate_sessions_except(gate):
    """Return the number of sessions that have been ended."""
    with connection.cursor() as cursor:
        cursor.execute(TERMINATE_SESSIONS, [gate.cursor.connection.info.backend_pid])
        return cursor.fetchone()[0]
