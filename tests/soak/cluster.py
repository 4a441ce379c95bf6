"""The servers and the worker processes of a soak, and the faults that happen to them."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

import psutil
from django.conf import settings
from django.db.models.functions import Now
from dramatiq import Message
from redis import Redis, RedisError

from devserver.processes import Child, wait_for
from imports import actors
from imports.broker import get_broker
from imports.models import HookCall, ImportBatch, Worker
from imports.statuses import Status
from tests.database import connection
from tests.oracle import FIELDS
from tests.processes import SHORT_TIMEOUTS, WorkerProcess, is_alive
from tests.soak.replay import Change
from tests.soak.schedule import WORKERS, PlannedFault

SCAN_SECONDS = 0.5  # Between two looks at the processes; each look costs milliseconds.
GRACE_SECONDS = 25  # Hosting platforms send SIGKILL after 30 seconds.
# A frozen worker must not keep the commands of the soak waiting for long.
TIMEOUTS = SHORT_TIMEOUTS | {"IMPORTS_IDLE_TIMEOUT": "2s", "IMPORTS_STATEMENT_TIMEOUT": "5s"}
STATEMENTS_OF_SLOWNESS = (
    "CREATE OR REPLACE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$"
    " BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$",
    "CREATE OR REPLACE TRIGGER slow_batch BEFORE UPDATE ON imports_importbatch FOR EACH ROW"
    " WHEN (NEW.applied_at IS DISTINCT FROM OLD.applied_at"
    " OR NEW.undone_at IS DISTINCT FROM OLD.undone_at) EXECUTE FUNCTION be_slow()",
    "CREATE OR REPLACE TRIGGER slow_staging AFTER INSERT ON imports_importrow"
    " FOR EACH STATEMENT EXECUTE FUNCTION be_slow()",
)
TERMINATE_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
LIST_REMAINING = """
SELECT application_name, state, count(lock.pid)
  FROM pg_stat_activity session
  LEFT JOIN pg_locks lock ON lock.pid = session.pid AND lock.locktype <> 'virtualxid'
 WHERE session.datname = current_database() AND session.pid <> pg_backend_pid()
   AND backend_type = 'client backend'
 GROUP BY session.pid, application_name, state
HAVING state <> 'idle' OR count(lock.pid) > 0
"""
CHOOSE_RECORD = """
SELECT id FROM customers_customer ORDER BY id
OFFSET floor(%s * (SELECT count(*) FROM customers_customer)) LIMIT 1
"""
# The time is taken when the record is locked.
EDIT_RECORD = f"""
UPDATE customers_customer SET first_name = %s WHERE id = %s
RETURNING clock_timestamp(), {", ".join(FIELDS)}
"""
DELETE_RECORD = "DELETE FROM customers_customer WHERE id = %s RETURNING clock_timestamp()"


def make_slow(seconds: float) -> None:
    """Let each batch, and each chunk of staged rows, take this much longer."""
    with connection.cursor() as cursor:
        for statement in STATEMENTS_OF_SLOWNESS:
            cursor.execute(statement.format(seconds=seconds))


class Cluster:
    """Worker processes that are replaced when they exit, and their servers.

    `changes` lists what the faults have done to records. `kills` counts the processes that were
    killed; from the third on, a row or a file may be blamed for them.
    """

    def __init__(self, postgres: Child, redis: Child) -> None:
        self.postgres = postgres
        self.redis = redis
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  Closed by `running_cluster`.
        self.workers = [self._start_worker() for _ in range(WORKERS)]
        self.stopping: list[WorkerProcess] = []
        self.lifts: list[tuple[float, Callable[[], object]]] = []
        self.processes: dict[int, psutil.Process] = {}
        self.next_scan_at = 0.0
        self.changes: list[Change] = []
        self.kills = 0
        self.stream_drops = 0

    def _start_worker(self) -> WorkerProcess:
        return WorkerProcess(self.log, TIMEOUTS)

    def inject(self, fault: PlannedFault) -> bool:
        """Let a fault happen. Return False if there is nothing that it could happen to yet."""
        return FAULTS[fault.fault](self, fault) is not False

    def replace_exited_workers(self) -> None:
        """Start a worker for each that has exited, as a hosting platform does."""
        for index, worker in enumerate(self.workers):
            if worker.process.poll() is not None:
                self.workers[index] = self._start_worker()

    def supervise(self) -> None:
        """End the faults whose duration is over, and replace the workers that have exited."""
        self.lift_faults()
        self.replace_exited_workers()
        if time.monotonic() >= self.next_scan_at:
            self.remember_processes()
            self.next_scan_at = time.monotonic() + SCAN_SECONDS

    def remember_processes(self) -> None:
        """Remember all processes of the workers, to find out at the end whether they are gone."""
        for worker in self.workers:
            with suppress(psutil.NoSuchProcess):
                self.processes |= {each.pid: each for each in worker.list_processes()}

    def lift_later(self, fault: PlannedFault, lift: Callable[[], object]) -> None:
        """Call `lift` when the fault has lasted for its duration: see `lift_faults`."""
        self.lifts.append((time.monotonic() + fault.duration, lift))

    def lift_faults(self, *, all_of_them: bool = False) -> None:
        """End the faults whose duration is over, or all of them."""
        due = [each for each in self.lifts if all_of_them or each[0] <= time.monotonic()]
        for each in due:
            self.lifts.remove(each)
            each[1]()

    def stop(self) -> Iterator[str]:
        """Stop the workers in order. Yield a sentence for each process that does not exit."""
        self.remember_processes()
        for worker in self.workers:
            worker.terminate()
        for worker in [*self.workers, *self.stopping]:
            if not wait_for(lambda worker=worker: worker.process.poll() is not None, GRACE_SECONDS):
                yield f"A worker has not exited {GRACE_SECONDS} s after SIGTERM."
        wait_for(lambda: not self.list_remaining_processes(), GRACE_SECONDS)
        for process in self.list_remaining_processes():
            with suppress(psutil.NoSuchProcess):
                yield f"A process is left: {' '.join(process.cmdline())}"

    def list_remaining_processes(self) -> list[psutil.Process]:
        return [process for process in self.processes.values() if is_alive(process)]

    def choose_worker(self, fault: PlannedFault) -> int:
        return int(fault.choice * len(self.workers))


@contextmanager
def running_cluster(postgres: Child, redis: Child) -> Iterator[Cluster]:
    """Start workers. At the end, lift all faults and kill the workers that still run."""
    cluster = Cluster(postgres, redis)
    try:
        yield cluster
    finally:
        cluster.lift_faults(all_of_them=True)
        for worker in [*cluster.workers, *cluster.stopping]:
            with suppress(ProcessLookupError):
                worker.signal(signal.SIGKILL)
            worker.process.wait()
        cluster.log.close()


# --- Faults of processes -----------------------------------------------------


def kill_worker(cluster: Cluster, fault: PlannedFault) -> None:
    index = cluster.choose_worker(fault)
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        cluster.workers[index].kill()
    cluster.kills += 1
    cluster.workers[index] = cluster._start_worker()


def terminate_worker(cluster: Cluster, fault: PlannedFault) -> None:
    index = cluster.choose_worker(fault)
    cluster.workers[index].terminate()
    cluster.stopping.append(cluster.workers[index])
    cluster.workers[index] = cluster._start_worker()


def kill_reader(cluster: Cluster, fault: PlannedFault) -> bool:
    """Kill the next reader process that is found."""
    for worker in cluster.workers:
        with suppress(psutil.NoSuchProcess):
            if reader := worker.find_reader():
                reader.kill()
                cluster.kills += 1
                return True
    return False


def freeze_worker(cluster: Cluster, fault: PlannedFault) -> None:
    worker = cluster.workers[cluster.choose_worker(fault)]
    with suppress(ProcessLookupError):
        os.killpg(worker.process.pid, signal.SIGSTOP)

    def thaw() -> None:
        with suppress(ProcessLookupError):
            os.killpg(worker.process.pid, signal.SIGCONT)

    cluster.lift_later(fault, thaw)


# --- Faults of servers -------------------------------------------------------


def flush_redis(cluster: Cluster, fault: PlannedFault) -> None:
    with Redis.from_url(settings.IMPORTS_REDIS_URL) as client, suppress(RedisError):
        client.flushall()


def stop_redis(cluster: Cluster, fault: PlannedFault) -> bool:
    """Stop Redis for a while. It loses all of its data."""
    if cluster.redis.has_exited():
        return False
    cluster.redis.stop()
    cluster.lift_later(fault, cluster.redis.start)
    return True


def terminate_sessions(cluster: Cluster, fault: PlannedFault) -> None:
    with connection.cursor() as cursor:
        cursor.execute(TERMINATE_SESSIONS)


def restart_postgres(cluster: Cluster, fault: PlannedFault) -> None:
    _restart(cluster.postgres, signal.SIGINT)


def crash_postgres(cluster: Cluster, fault: PlannedFault) -> None:
    """Restart PostgreSQL without a checkpoint. It recovers from its log."""
    _restart(cluster.postgres, signal.SIGQUIT)


def _restart(postgres: Child, stop_signal: signal.Signals) -> None:
    connection.close()
    normal_signal, postgres.stop_signal = postgres.stop_signal, stop_signal
    postgres.stop()
    postgres.stop_signal = normal_signal
    postgres.start()
    if not wait_for(postgres.is_ready, 60):
        raise RuntimeError("PostgreSQL did not start again.")


# --- Faults of messages and streams, and what people do ----------------------


def duplicate_messages(cluster: Cluster, fault: PlannedFault) -> None:
    """Send the messages of a check and of random batches, whether they are due or not."""
    messages = [(actors.CHECK_QUEUE, actors.CHECK_ACTOR, ())] * 2
    batches = ImportBatch.objects.exclude(job__status=Status.READY)
    numbers = list(batches.order_by("job__file_name", "number").values_list("job", "number"))
    for index in range(min(len(numbers), 4)):
        job_id, number = numbers[int((fault.choice + index / 4) % 1 * len(numbers))]
        messages += [(actors.BATCH_QUEUE, actors.BATCH_ACTOR, (str(job_id), number))] * 2
    for queue, actor, arguments in messages:
        message = Message(queue_name=queue, actor_name=actor, args=arguments, kwargs={}, options={})
        with suppress(actors.BrokerConnectionError, RedisError):
            get_broker().enqueue(message)


def drop_streams(cluster: Cluster, fault: PlannedFault) -> None:
    """Let every watching client drop its connection."""
    cluster.stream_drops += 1


def edit_record(cluster: Cluster, fault: PlannedFault) -> bool:
    return _change_record(cluster, fault, EDIT_RECORD, ["Edited by a person"])


def delete_record(cluster: Cluster, fault: PlannedFault) -> bool:
    return _change_record(cluster, fault, DELETE_RECORD, [])


def _change_record(
    cluster: Cluster, fault: PlannedFault, statement: str, parameters: list[str]
) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(CHOOSE_RECORD, [fault.choice])
        if (record := cursor.fetchone()) is None:
            return False
        cursor.execute(statement, [*parameters, record[0]])
        if row := cursor.fetchone():
            at, *values = row
            cluster.changes.append(_make_change(at, record[0], values))
    return True


def _make_change(at: datetime, record_id: int, values: list[str | None]) -> Change:
    return Change(at, record_id, dict(zip(FIELDS, values, strict=True)) if values else None)


FAULTS: dict[str, Callable[[Cluster, PlannedFault], bool | None]] = {
    fault.__name__: fault
    for fault in (
        kill_worker,
        terminate_worker,
        kill_reader,
        freeze_worker,
        flush_redis,
        stop_redis,
        terminate_sessions,
        restart_postgres,
        crash_postgres,
        duplicate_messages,
        drop_streams,
        edit_record,
        delete_record,
    )
}


def list_live_workers() -> list[Worker]:
    return list(Worker.objects.filter(heartbeat_at__gt=Now() - timedelta(seconds=1)))


def has_workers() -> bool:
    """Return whether all workers that should run send heartbeats."""
    return len(list_live_workers()) >= WORKERS


def is_idle() -> bool:
    """Return whether no message waits, no hook is to be called, and every worker is idle."""
    with Redis.from_url(settings.IMPORTS_REDIS_URL) as client:
        if any(client.llen(f"imports:{queue}") for queue in actors.QUEUES):
            return False
    is_working = any(worker.current_work for worker in list_live_workers())
    return has_workers() and not is_working and not HookCall.objects.exists()


def list_remaining_locks() -> list[str]:
    """Return a sentence for each session that works, or holds a lock of the app."""
    with connection.cursor() as cursor:
        cursor.execute(LIST_REMAINING)
        return [
            f"A session is left: {name}, {state}, {locks} locks"
            for name, state, locks in cursor.fetchall()
        ]
