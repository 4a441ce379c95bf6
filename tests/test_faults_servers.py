"""PostgreSQL and Redis stop, restart, stall, or have no memory and no connections left."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from resource import RLIMIT_FSIZE, prlimit
from threading import Event
from time import monotonic

import psutil
import pytest
from django.core.management import call_command
from redis import Redis

from devserver import postgres
from devserver.paths import temporary_paths
from devserver.processes import get_account_arguments, running_child
from devserver.processes import wait_for as wait_for_server
from imports.models import ImportJob
from imports.statuses import Status
from imports.storage import StoredChunk, StoredFile
from tests.concurrency import concurrent_transaction
from tests.database import connection
from tests.database_cleanup import empty_tables
from tests.fault_points import block_at, during_apply, during_staging
from tests.invariants import assert_exact, assert_nothing_left, make_sample, wait_until_end
from tests.processes import (
    MAX_WAIT_SECONDS,
    flush_redis,
    site,
    temporary_redis,
    upload_in_process,
    wait_for,
    wait_for_version_after,
    wait_until_final,
    worker,
)
from tests.streams import PING, get_stream_error
from tests.test_faults_redis import count_applied_batches, restart
from tests.test_faults_undo import DURING_UNDO, assert_undone, undoing_import

pytestmark = pytest.mark.django_db(transaction=True)

MAX_RESUME_SECONDS = 15
MAX_WEB_SECONDS = 2
MAX_CONNECTIONS = 30
UNAVAILABLE = (503, "unavailable")
IN_A_CHECK = pytest.param(during_staging(after_row=600), id="checking")
IN_A_BATCH = pytest.param(during_apply(after_batch=3), id="running")
MIN_FULL_BYTES = 17 << 20  # Above the size of the files of the write-ahead log.
# Each adds 16 MB to the file of a table. The keys to other tables are deferred.
GROW_ROWS = """
INSERT INTO imports_importrow (job_id, number, cells)
SELECT gen_random_uuid(), number, to_jsonb(repeat('x', 1500))
  FROM generate_series(1, %s / 1500) number
"""
GROW_CUSTOMERS = """
INSERT INTO customers_customer (shipping_mark, first_name, last_name, phone, created_at, updated_at)
SELECT number, repeat('x', 100), repeat('x', 100), number, now(), now()
  FROM generate_series(1, %s / 250) number
"""
GROW_CHUNKS = """
INSERT INTO imports_storedchunk (file_id, number, content)
SELECT 0, 0, string_agg(sha512(number::text::bytea), '') FROM generate_series(1, %s / 64) number
"""
FILE_SIZE = """
SELECT max(pg_relation_size(oid)) FROM pg_class
 WHERE oid = %s::regclass OR oid = (SELECT reltoastrelid FROM pg_class WHERE oid = %s::regclass)
"""


@pytest.fixture(autouse=True)
def _flush_redis():
    flush_redis()


@pytest.fixture(scope="module")
def own_cluster(django_db_setup, django_db_blocker):
    """A PostgreSQL with the tables of the site, and its folders."""
    with temporary_paths() as paths:
        server = postgres.make_server(paths, durable=False)
        server.command += ["-c", f"max_connections={MAX_CONNECTIONS}"]
        with running_child(server):
            with django_db_blocker.unblock(), connected_to(paths):
                call_command("migrate", verbosity=0)
            yield server, paths


@pytest.fixture
def own_postgres(own_cluster, transactional_db):
    """A PostgreSQL that the test may restart, for this process and for those that it starts."""
    server, paths = own_cluster
    with connected_to(paths):
        with connection.cursor() as cursor:  # `count_disk_errors` reads the log.
            cursor.execute("ALTER ROLE CURRENT_USER SET log_min_messages = 'error'")
        yield server
        if server.has_exited():
            restart(server)
        connection.close()
        empty_tables()


@contextmanager
def connected_to(paths):
    """Let the connection of this process lead to another server."""
    connection.close()
    original = dict(connection.settings_dict)
    other = {"HOST": "", "PORT": "", "NAME": postgres.DATABASE, "USER": postgres.USER}
    options = original["OPTIONS"] | {"host": str(paths.sockets)}
    connection.settings_dict.update(other, OPTIONS=options)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.clear()
        connection.settings_dict.update(original)


def assert_unavailable(response):
    """Assert that the response has the one shape of errors, and says when to ask again."""
    body = response.json()
    assert (response.status_code, body["code"]) == UNAVAILABLE
    assert set(body) == {"code", "message", "params", "errors"}
    assert int(response.headers["Retry-After"]) > 0


# --- PostgreSQL --------------------------------------------------------------


@pytest.mark.parametrize("step", [IN_A_CHECK, IN_A_BATCH])
def test_an_import_resumes_after_a_restart_of_postgresql(own_postgres, alice, step):
    sample = make_sample()
    with site(alice) as web, block_at(step) as gate, worker() as worker_process:
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        gate.wait_until_reached()
        state_before = ImportJob.objects.get(pk=job.pk)
        restart_postgres(own_postgres)
        resumed_after = wait_for_version_after(state_before)
        wait_until_final(job)
        watcher.assert_saw_the_end(job)
        assert_nothing_left()
        assert worker_process.process.poll() is None

    assert resumed_after < MAX_RESUME_SECONDS
    assert job.reader_crashes == 0
    assert not job.batches.filter(crashes__gt=0).exists()
    assert_exact({job: sample})


def restart_postgres(server):
    """Restart PostgreSQL. The restart opens every barrier: the session that held it is gone."""
    server.stop()
    restart(server)
    connection.close()


@pytest.mark.slow_fault
def test_an_undo_resumes_after_a_restart_of_postgresql(own_postgres, alice):
    with (
        site(alice) as web,
        block_at(DURING_UNDO) as gate,
        undoing_import(alice, gate) as (_, job),
    ):
        watcher = web.watch(job)
        job_before = ImportJob.objects.get(pk=job.pk)
        restart_postgres(own_postgres)
        resumed_after = wait_for_version_after(job_before)
        assert_undone(job, watcher)
        assert_nothing_left()

    assert 0 < job_before.removed < job.created
    assert resumed_after < MAX_RESUME_SECONDS


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "down_seconds", [0, pytest.param(60, marks=pytest.mark.slow_fault)], ids=["short", "a minute"]
)
def test_without_postgresql_the_api_answers_503_and_streams_stay_open(
    own_postgres, alice, down_seconds
):
    sample = make_sample()
    with site(alice) as web, block_at(during_apply(after_batch=3)), worker():
        job = upload_in_process(alice, sample.content)
        wait_for(lambda: count_applied_batches(job) >= 2)
        with web.stream(job) as stream:
            assert stream.next()
            own_postgres.stop()
            down_until = monotonic() + down_seconds
            requests = [
                lambda: web.client.get(f"/api/imports/{job.pk}/"),
                lambda: web.client.get("/api/imports/"),
                lambda: web.client.post("/api/imports/", files={"file": ("a.csv", b"a,b")}),
            ]
            for request in requests:
                started_at = monotonic()
                assert_unavailable(request())
                assert monotonic() - started_at < MAX_WEB_SECONDS
            assert get_stream_error(web.server, job, web.cookie) == UNAVAILABLE
            wait_for(lambda: stream.next(pings=True) == PING)
            ping_count = 0
            while ping_count < 4 or monotonic() < down_until:
                assert stream.next(pings=True) == PING
                ping_count += 1
            restart(own_postgres)
            connection.close()
            events = stream.rest()
        wait_until_final(job)
        assert_nothing_left()

    assert (events[-1].name, events[-1].snapshot["version"]) == ("complete", job.version)
    assert not job.batches.filter(crashes__gt=0).exists()
    assert job.batches.filter(started_at=None).count() == 0
    assert_exact({job: sample})


def test_an_import_completes_after_all_connections_were_in_use(own_postgres, alice):
    sample = make_sample()
    with site(alice) as web, worker(), block_at(during_apply(after_batch=3)) as gate:
        job = upload_in_process(alice, sample.content)
        watcher = web.watch(job)
        gate.wait_until_reached(2)
        with all_connections_in_use():
            # The sessions of the worker are ended and are needed again at once.
            gate.terminate_sessions()
            wait_for(lambda: is_unavailable(web.client.get("/api/imports/")))
            wait_for(lambda: is_unavailable(web.client.get(f"/api/imports/{job.pk}/")))
            assert is_unavailable(web.client.post(f"/api/imports/{job.pk}/pause/"))
        gate.open()
        wait_until_final(job)
        watcher.assert_saw_the_end(job)
        assert_nothing_left()

    assert ImportJob.objects.count() == 1
    assert not job.batches.filter(crashes__gt=0).exists()
    assert_exact({job: sample})


def is_unavailable(response):
    """Whether the response is the error of a database that cannot be reached."""
    if response.is_success:
        return False
    assert_unavailable(response)
    return True


@contextmanager
def all_connections_in_use():
    """Take every connection of PostgreSQL, and each that another process gives back."""
    parameters = connection.get_connection_params()
    is_over, is_full, held = Event(), Event(), []

    def hold_connections():
        while not is_over.wait(0.002):
            try:
                held.append(connection.Database.connect(**parameters))
            except connection.Database.OperationalError:
                is_full.set()

    with ThreadPoolExecutor(1) as thread:
        holder = thread.submit(hold_connections)
        try:
            assert is_full.wait(MAX_WAIT_SECONDS)
            yield
        finally:
            is_over.set()
            holder.result()
            for each in held:
                each.close()


# --- The disk of PostgreSQL --------------------------------------------------


@contextmanager
def full_disk(server, grow, table):
    """Let the table have no room to grow. Yields a function that counts the errors since then.

    No file of PostgreSQL may become larger than that of the table. A write fails as on a file
    system that is full or whose quota is used up.
    """
    with connection.cursor() as cursor:
        cursor.execute("VACUUM FULL imports_importrow, customers_customer, imports_storedchunk")
    with concurrent_transaction() as cursor:
        cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        cursor.connection.commit()
        cursor.execute(grow, [MIN_FULL_BYTES])
        cursor.connection.rollback()  # The file keeps its size.
        cursor.execute(FILE_SIZE, [table, table])
        size = cursor.fetchone()[0]
    assert size > MIN_FULL_BYTES * 0.9
    error_count = count_disk_errors(server)
    limit_file_sizes(server, size)
    try:
        yield lambda: count_disk_errors(server) - error_count
    finally:
        limit_file_sizes(server, None)


def limit_file_sizes(server, limit):
    """Limit the files that any process of PostgreSQL writes, in bytes; None removes the limit."""
    postmaster = psutil.Process(server.process.pid)
    pids = [process.pid for process in [postmaster, *postmaster.children(recursive=True)]]

    def limit_each():
        for pid in pids:
            with suppress(ProcessLookupError):
                hard = prlimit(pid, RLIMIT_FSIZE)[1]
                prlimit(pid, RLIMIT_FSIZE, (hard if limit is None else limit, hard))

    # Only a process of the server's account may change its limits. The function runs in one.
    subprocess.run(
        ["true"], preexec_fn=limit_each, check=True, **get_account_arguments(server.account)
    )


def count_disk_errors(server):
    return server.log.read_text().count("could not extend file")


@pytest.mark.slow_fault
@pytest.mark.parametrize(
    ("grow", "table"),
    [
        pytest.param(GROW_ROWS, "imports_importrow", id="checking"),
        pytest.param(GROW_CUSTOMERS, "customers_customer", id="running"),
    ],
)
def test_an_import_goes_on_when_the_disk_of_postgresql_has_room_again(
    own_postgres, alice, grow, table
):
    sample = make_sample()
    with site(alice) as web, worker():
        with full_disk(own_postgres, grow, table) as count_errors:
            job = upload_in_process(alice, sample.content)
            watcher = web.watch(job)
            # More often than the limit of crashes of a batch or a file.
            wait_for(lambda: count_errors() >= 6)
            job.refresh_from_db()
            status_without_room = job.status
        wait_until_end(watcher)

    assert status_without_room == (Status.CHECKING if grow == GROW_ROWS else Status.RUNNING)
    assert job.reader_crashes == 0
    assert not job.batches.filter(crashes__gt=0).exists()
    assert_exact({job: sample})


@pytest.mark.slow_fault
def test_an_upload_without_room_on_the_disk_of_postgresql_gets_503(own_postgres, alice):
    sample = make_sample()
    with site(alice) as web, worker():
        with full_disk(own_postgres, GROW_CHUNKS, "imports_storedchunk") as count_errors:
            response = web.upload(sample.content)[0]
            errors = count_errors()
            left = [model.objects.count() for model in (ImportJob, StoredFile, StoredChunk)]
        job = web.upload(sample.content)[1]
        wait_until_end(web.watch(job))

    assert errors >= 1
    assert_unavailable(response)
    assert left == [0, 0, 0]
    assert_exact({job: sample})


# --- Redis -------------------------------------------------------------------


@pytest.mark.slow_fault
def test_an_import_completes_while_redis_has_no_memory(alice):
    sample = make_sample()
    with (
        temporary_redis() as (_, address),
        site(alice, **address) as web,
        block_at(during_apply(after_batch=3)) as gate,
        worker(**address),
        Redis.from_url(address["REDIS_URL"]) as client,
    ):
        job = web.upload(sample.content)[1]
        watcher = web.watch(job)
        gate.wait_until_reached(2)
        assert read_health(web) == (200, True)
        client.config_set("maxmemory", 1)
        wait_for(lambda: read_health(web) == (503, False))
        gate.open()
        started_at = monotonic()
        response, second = web.upload(sample.content, "again.csv")
        upload_seconds = monotonic() - started_at
        wait_until_final(job)
        client.config_set("maxmemory", 0)
        wait_for(lambda: read_health(web) == (200, True))
        wait_until_final(second)
        watcher.assert_saw_the_end(job)
        # A message that was executed without memory stays with its worker until the worker exits.
        assert_nothing_left(redis_url=address["REDIS_URL"], is_reply_lost=True)

    assert response.status_code == 202
    assert upload_seconds < MAX_WEB_SECONDS
    assert (second.status, second.created) == (Status.COMPLETE, 0)
    second.delete()
    assert_exact({job: sample})


def read_health(web):
    """Return the HTTP status of the health of the app, and what it says about Redis."""
    response = web.client.get("/api/health/")
    return response.status_code, response.json()["redis"]


@pytest.mark.slow_fault
def test_web_requests_stay_short_while_redis_stalls(alice):
    sample = make_sample()
    with (
        temporary_redis() as (_, address),
        site(alice, **address) as web,
        block_at(during_apply(after_batch=3)) as gate,
        worker(**address),
        Redis.from_url(address["REDIS_URL"]) as client,
    ):
        job = web.upload(sample.content)[1]
        watcher = web.watch(job)
        gate.wait_until_reached(2)
        client.client_pause(8_000)
        gate.open()
        paused_until = monotonic() + 8
        seconds = []
        while monotonic() < paused_until:
            started_at = monotonic()
            assert web.client.get(f"/api/imports/{job.pk}/").status_code == 200
            seconds.append(monotonic() - started_at)
        wait_until_final(job)
        watcher.assert_saw_the_end(job)
        assert_nothing_left(redis_url=address["REDIS_URL"])

    assert max(seconds) < MAX_WEB_SECONDS
    assert_exact({job: sample})


def test_an_upload_and_a_cancel_are_quick_while_redis_stalls(alice):
    sample = make_sample()
    with (
        temporary_redis() as (_, address),
        site(alice, **address) as web,
        Redis.from_url(address["REDIS_URL"]) as client,
    ):
        assert web.client.get("/api/imports/").status_code == 200  # The server has started.
        usual = upload_and_cancel(web, sample)
        client.client_pause(6_000)
        seconds = upload_and_cancel(web, sample)

    # The machine may be busy, so the time without the fault is allowed for.
    assert seconds[0] - usual[0] < MAX_WEB_SECONDS
    assert seconds[1] - usual[1] < MAX_WEB_SECONDS


def upload_and_cancel(web, sample):
    """Return the seconds that each of the two requests took."""
    started_at = monotonic()
    response, job = web.upload(sample.content)
    uploaded_at = monotonic()
    cancelled = web.client.post(f"/api/imports/{job.pk}/cancel/")
    cancelled_at = monotonic()
    assert (response.status_code, cancelled.status_code) == (202, 202)
    return uploaded_at - started_at, cancelled_at - uploaded_at


@pytest.mark.slow_fault
@pytest.mark.timeout(400)
def test_an_import_goes_on_while_redis_is_down_for_a_minute(alice):
    sample = make_sample()
    with (
        temporary_redis() as (server, address),
        site(alice, **address) as web,
        block_at(during_apply(after_batch=3)) as gate,
        worker(**address),
    ):
        job = web.upload(sample.content)[1]
        watcher = web.watch(job)
        gate.wait_until_reached(2)
        server.stop()
        down_until = monotonic() + 60
        gate.open()
        wait_until_final(job)
        watcher.assert_saw_the_end(job)
        wait_for(lambda: monotonic() > down_until, seconds=90)
        waiting = web.upload(sample.content, "again.csv")[1]
        server.start()
        assert wait_for_server(server.is_ready, 10)
        wait_until_final(waiting, seconds=30)
        assert_nothing_left(redis_url=address["REDIS_URL"])

    assert (waiting.status, waiting.created) == (Status.COMPLETE, 0)
    waiting.delete()
    assert_exact({job: sample})


def test_an_import_resumes_after_a_restart_of_redis(alice):
    sample = make_sample()
    with (
        temporary_redis() as (server, address),
        site(alice, **address) as web,
        block_at(during_apply(after_batch=3)) as gate,
        worker(IMPORTS_TURN_SECONDS="0", **address),
    ):
        job = web.upload(sample.content)[1]
        watcher = web.watch(job)
        gate.wait_until_reached(2)
        server.stop()
        restart(server)
        gate.open()
        resumed_after = wait_for_version_after(ImportJob.objects.get(pk=job.pk))
        wait_until_final(job)
        watcher.assert_saw_the_end(job)
        assert_nothing_left(redis_url=address["REDIS_URL"])

    assert resumed_after < MAX_RESUME_SECONDS
    assert_exact({job: sample})
