"""The web process is killed or stopped, and its disk is full, while clients use it."""

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from resource import RLIMIT_FSIZE, prlimit

import httpx
import pytest

from customers.models import Customer
from imports.models import ImportJob
from imports.statuses import Status
from imports.storage import StoredChunk, StoredFile
from tests.concurrency import concurrent_transaction
from tests.factories import make_csv, make_row
from tests.fault_points import FaultPoint, block_at, during_apply
from tests.invariants import assert_exact, assert_nothing_left, make_sample
from tests.processes import (
    SHORT_STREAM_INTERVALS,
    flush_redis,
    site,
    upload_in_process,
    wait_for,
    wait_until_final,
    worker,
)
from tests.streams import is_lock_awaited, running_daphne
from tests.tcp_proxy import redis_proxy

pytestmark = pytest.mark.django_db(transaction=True)

MAX_START_SECONDS = 15
STREAM_COUNT = 200
KEY = {"Idempotency-Key": "the-same-upload"}
# In the middle of the transaction that stores a file and its import.
DURING_UPLOAD = FaultPoint("AFTER INSERT", "imports_storedchunk", "STATEMENT", "true")


@pytest.fixture(autouse=True)
def _flush_redis():
    flush_redis()


def post_file(web, content):
    return web.client.post("/api/imports/", files={"file": ("customers.csv", content)}, headers=KEY)


def test_an_import_starts_although_its_web_process_was_killed_before_the_message(alice):
    sample = make_sample()
    with (
        redis_proxy() as (proxy, address),
        site(alice, **address) as web,
        ThreadPoolExecutor(1) as thread,
    ):
        assert web.client.get("/api/imports/").is_success  # The server has started.
        proxy.freeze()
        response = thread.submit(post_file, web, sample.content)
        wait_for(ImportJob.objects.exists)
        web.server.process.kill()
        with pytest.raises(httpx.TransportError):
            response.result()
        proxy.refuse()  # What the web process has sent does not reach Redis.
        job = ImportJob.objects.get()
        with worker():
            wait_for(lambda: has_started(job), MAX_START_SECONDS)
            wait_until_final(job)
            assert_nothing_left()

    assert_exact({job: sample})


def has_started(job):
    job.refresh_from_db()
    return job.status != Status.QUEUED


def test_an_upload_whose_web_process_was_killed_leaves_nothing_and_can_be_repeated(alice):
    sample = make_sample()
    with ThreadPoolExecutor(1) as thread, block_at(DURING_UPLOAD) as gate:
        with site(alice) as web:
            response = thread.submit(post_file, web, sample.content)
            gate.wait_until_reached()
            web.server.process.kill()
            gate.terminate_sessions()
            with pytest.raises(httpx.TransportError):
                response.result()
        left = [model.objects.count() for model in (ImportJob, StoredFile, StoredChunk)]
        gate.open()
        with site(alice) as web, worker():
            ids = {post_file(web, sample.content).json()["id"] for _ in range(2)}
            job = ImportJob.objects.get()
            wait_until_final(job)
            assert_nothing_left()

    assert left == [0, 0, 0]
    assert ids == {str(job.pk)}
    assert_exact({job: sample})


@pytest.mark.slow_fault
@pytest.mark.timeout(600)
def test_a_stopped_web_process_loses_no_upload_and_no_end_of_a_stream(alice):
    first, second = make_sample(), make_sample(seed=2)
    with (
        ExitStack() as stack,
        block_at(during_apply(after_batch=3)) as gate,
        worker(),
        ThreadPoolExecutor(1) as thread,
    ):
        old = ExitStack()
        stack.enter_context(old)
        limits = SHORT_STREAM_INTERVALS | {"IMPORTS_MAX_STREAMS_PER_USER": str(2 * STREAM_COUNT)}
        server = old.enter_context(running_daphne(**limits))
        web = stack.enter_context(site(alice, server))
        job = upload_in_process(alice, first.content)
        watchers = [web.watch(job) for _ in range(STREAM_COUNT)]
        wait_for(lambda: all(watcher.events for watcher in watchers))
        gate.wait_until_reached()
        with locked_storage() as cursor:
            response = thread.submit(post_file, web, second.content)
            wait_for(lambda: is_lock_awaited(cursor, StoredChunk._meta.db_table))
            server.process.send_signal(signal.SIGTERM)
            wait_for(lambda: not any(watcher.is_connected for watcher in watchers))
            cursor.connection.rollback()
            with suppress(httpx.TransportError):  # Then the client repeats the upload.
                response.result()
        old.close()
        stack.enter_context(running_daphne(server.port, **limits))
        repeated = post_file(web, second.content)
        gate.open()
        other = ImportJob.objects.exclude(pk=job.pk).get()
        wait_until_final(job, other)
        for watcher in watchers:
            watcher.assert_saw_the_end(job)
        assert_nothing_left()

    assert (repeated.status_code, repeated.json()["id"]) == (202, str(other.pk))
    assert_exact({job: first, other: second})


@contextmanager
def locked_storage():
    """Let every upload wait while it stores its file. Yields the cursor of the lock."""
    with concurrent_transaction() as cursor:
        cursor.execute(f"LOCK TABLE {StoredChunk._meta.db_table} IN ACCESS EXCLUSIVE MODE")
        yield cursor


@pytest.mark.parametrize(
    ("file_bytes", "disk_bytes"),
    [
        pytest.param(300_000, 150_000, id="while the body arrives"),
        pytest.param(50_000, 60, id="while the form is parsed"),
    ],
)
def test_an_upload_to_a_full_disk_gets_503_and_stores_nothing(alice, file_bytes, disk_bytes):
    row_count = file_bytes // 60
    content = make_csv([make_row(n) for n in range(row_count)])
    with site(alice) as web:
        assert web.client.get("/api/imports/").is_success  # The server has started.
        # No file of the process may grow beyond the limit. A write fails as on a full disk.
        soft, hard = prlimit(web.server.process.pid, RLIMIT_FSIZE)
        prlimit(web.server.process.pid, RLIMIT_FSIZE, (disk_bytes, hard))
        response = post_file(web, content)
        prlimit(web.server.process.pid, RLIMIT_FSIZE, (soft, hard))
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert set(response.json()) == {"code", "message", "params", "errors"}
        assert int(response.headers["Retry-After"]) > 0
        left = [model.objects.count() for model in (ImportJob, StoredFile, StoredChunk)]
        assert left == [0, 0, 0]
        with worker():
            job = ImportJob.objects.get(pk=post_file(web, content).json()["id"])
            wait_until_final(job)

    assert job.created == Customer.objects.count() == row_count
