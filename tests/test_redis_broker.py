"""The broker whose idle workers wait for notifications, with Dramatiq's worker and a real Redis.

Most tests give the watcher and the consumers such long intervals that only the event under test can
deliver the message.
"""

import threading
from contextlib import contextmanager
from queue import Queue

import dramatiq
import pytest
from django.conf import settings
from dramatiq.brokers.redis import RedisBroker
from redis import Redis
from redis.exceptions import NoPermissionError

from devserver.processes import wait_for as wait_for_server
from imports import actors, redis_broker
from imports.broker import get_broker
from imports.redis_broker import NotifyingRedisBroker
from imports.statuses import Status
from tests.factories import make_csv, make_job, make_row
from tests.processes import flush_redis, temporary_redis, wait_for, wait_until_final, worker
from tests.tcp_proxy import redis_proxy

NAMESPACE = "notified"
QUEUE = "letters"
NEVER_SECONDS = 3_600.0
MAX_WAIT_SECONDS = 30
MAX_STOP_MILLISECONDS = 10_000


@pytest.fixture(autouse=True)
def _flush_redis():
    flush_redis()
    yield
    flush_redis()


@pytest.fixture
def without_polling(monkeypatch):
    """Let nothing but a notification, or the start of a subscription, lead to a fetch."""
    monkeypatch.setattr(redis_broker, "POLL_SECONDS", NEVER_SECONDS)
    monkeypatch.setattr(redis_broker, "MAX_FETCH_INTERVAL_SECONDS", NEVER_SECONDS)
    monkeypatch.setattr(redis_broker, "MAX_WAIT_SECONDS", NEVER_SECONDS)


@pytest.fixture
def with_fast_polling(monkeypatch):
    monkeypatch.setattr(redis_broker, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(redis_broker, "MAX_FETCH_INTERVAL_SECONDS", NEVER_SECONDS)


@pytest.fixture
def client():
    with Redis.from_url(settings.REDIS_URL) as client:
        yield client


def make_broker(broker_class=NotifyingRedisBroker, url=None, **options):
    options = {"namespace": NAMESPACE, "middleware": [], "maintenance_chance": 1_000_000} | options
    options.setdefault("client", Redis.from_url(url or settings.REDIS_URL, socket_timeout=2))
    return broker_class(**options)


def send(broker, text, **options):
    message = dramatiq.Message(QUEUE, "read", (text,), {}, {})
    return broker.enqueue(message, **options)


class Reader:
    """A worker of Dramatiq with one actor, which puts what it receives into a queue."""

    def __init__(self, broker, threads=1, prefetch=None, timeout=50):
        self.broker = broker
        self.received = Queue()
        self.worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=timeout)
        self.worker.queue_prefetch = prefetch or self.worker.queue_prefetch
        broker.actors.pop("read", None)  # Of an earlier reader.
        dramatiq.Actor(
            self.read, broker=broker, actor_name="read", queue_name=QUEUE, priority=0, options={}
        )
        self.handle = lambda text: None

    def read(self, text):
        self.handle(text)
        self.received.put(text)

    def get(self):
        return self.received.get(timeout=MAX_WAIT_SECONDS)

    def stop(self):
        """Stop the worker. Fails if a thread of it does not end by itself."""
        self.worker.stop(timeout=MAX_STOP_MILLISECONDS)
        threads = [*self.worker.workers, *self.worker.consumers.values()]
        assert not any(thread.is_alive() for thread in threads)


@contextmanager
def reader(broker=None, *, is_idle=True, **options):
    """Run a reader. With `is_idle`, wait until it has fetched all messages and has subscribed."""
    reader = Reader(broker or make_broker(), **options)
    reader.worker.start()
    try:
        if is_idle:
            wait_for(lambda: is_waiting(reader))
        yield reader
    finally:
        reader.stop()
        reader.broker.notify(QUEUE)  # The watcher notices that no consumer is left.


def is_waiting(reader):
    """Whether the subscription has begun, and every consumer has fetched."""
    return reader.broker.watcher.subscriptions > 0 and has_fetched(reader)


def has_fetched(reader):
    """Whether every consumer has fetched, and knows of no further message."""
    consumers = reader.broker.watcher._consumers
    return len(consumers) == len(reader.worker.consumers) and not any(
        consumer.may_have_messages for consumer in consumers
    )


# --- Notifications -----------------------------------------------------------


@pytest.mark.usefixtures("without_polling")
def test_a_message_wakes_an_idle_worker():
    with reader() as letters:
        send(make_broker(), "first")
        assert letters.get() == "first"
        send(letters.broker, "second")  # Its own process sends one, too.
        assert letters.get() == "second"


@pytest.mark.usefixtures("without_polling")
def test_messages_that_were_sent_before_the_start_are_received():
    sender = make_broker(RedisBroker)
    for number in range(5):
        send(sender, number)

    with reader(is_idle=False, prefetch=1) as letters:
        assert [letters.get() for _ in range(5)] == [0, 1, 2, 3, 4]


@pytest.mark.usefixtures("without_polling")
def test_a_message_that_is_sent_before_the_subscription_begins_is_received():
    with redis_proxy() as (proxy, environment):
        proxy.hold_replies(b"SUBSCRIBE")
        with reader(make_broker(url=environment["REDIS_URL"]), is_idle=False) as letters:
            wait_for(lambda: proxy.held_replies and has_fetched(letters))
            send(make_broker(RedisBroker), "in between")
            proxy.release()

            assert letters.get() == "in between"


@pytest.mark.usefixtures("without_polling")
def test_a_message_that_is_sent_during_a_fetch_leads_to_another_fetch():
    with reader() as letters:
        broker, fetch, sent = letters.broker, letters.broker.do_fetch, []

        def fetch_and_send(queue, count):
            messages = fetch(queue, count)
            if queue == QUEUE and not sent:
                sent.append(send(make_broker(RedisBroker), "meanwhile"))
                letters.worker.consumers[QUEUE].consumer.notify()
            return messages

        broker.do_fetch = fetch_and_send
        broker.notify(QUEUE)

        assert letters.get() == "meanwhile"


@pytest.mark.usefixtures("without_polling")
def test_a_delayed_message_wakes_an_idle_worker_and_is_received():
    with reader() as letters:
        send(make_broker(), "later", delay=200)

        assert letters.get() == "later"


@pytest.mark.usefixtures("without_polling")
def test_a_message_beyond_the_prefetch_limit_is_fetched_when_one_is_acknowledged():
    with reader(prefetch=1) as letters:
        gate = threading.Event()
        letters.handle = lambda text: gate.wait(MAX_WAIT_SECONDS)
        sender = make_broker()
        for number in range(3):
            send(sender, number)
        consumer = letters.worker.consumers[QUEUE].consumer
        wait_for(lambda: consumer.outstanding_message_count == 1)
        assert sender.client.llen(f"{NAMESPACE}:{QUEUE}") == 2
        gate.set()

        assert [letters.get() for _ in range(3)] == [0, 1, 2]


@pytest.mark.usefixtures("without_polling")
def test_a_message_that_a_stopping_worker_puts_back_wakes_another_one():
    gate = threading.Event()
    with reader(prefetch=2) as first:
        first.handle = lambda text: gate.wait(MAX_WAIT_SECONDS)
        sender = make_broker()
        for number in range(2):
            send(sender, number)
        wait_for(lambda: sender.client.llen(f"{NAMESPACE}:{QUEUE}") == 0)
        with reader() as second:
            stop = threading.Thread(target=first.stop)
            stop.start()
            wait_for(lambda: not any(thread.running for thread in first.worker.workers))
            gate.set()
            stop.join()

            assert (first.get(), second.get()) == (0, 1)


@pytest.mark.usefixtures("without_polling")
def test_two_workers_share_one_queue_and_take_each_message_once():
    both = threading.Barrier(2)
    with reader(prefetch=1) as first, reader(prefetch=1) as second:
        for each in (first, second):
            each.handle = lambda text: both.wait(MAX_WAIT_SECONDS)
        sender = make_broker()
        for number in range(100):
            send(sender, number)
        # The barrier lets two workers pass together, so each of them takes a half.
        received = [[each.get() for _ in range(50)] for each in (first, second)]

        assert sorted(received[0] + received[1]) == list(range(100))
        assert first.received.empty()
        assert second.received.empty()


# --- Lost notifications ------------------------------------------------------


@pytest.mark.usefixtures("with_fast_polling")
@pytest.mark.parametrize("options", [{}, {"delay": 10}])
def test_a_message_without_a_notification_is_received(options):
    with reader() as letters:
        send(make_broker(RedisBroker), "silent", **options)

        assert letters.get() == "silent"


def test_a_lost_notification_costs_at_most_a_second():
    assert redis_broker.POLL_SECONDS <= 1


@pytest.mark.usefixtures("with_fast_polling")
def test_a_user_of_redis_without_pub_sub_sends_and_receives(client):
    client.acl_setuser(
        "quiet", enabled=True, nopass=True, keys="*", commands=["+@all"], reset_channels=True
    )
    try:
        quiet = make_broker(url=settings.REDIS_URL.replace("unix://", "unix://quiet:any@"))
        with pytest.raises(NoPermissionError):
            quiet.client.publish(quiet.notification_channel, QUEUE)
        with reader(quiet, is_idle=False) as letters:
            wait_for(lambda: letters.broker.watcher._failure == "NoPermissionError")
            send(quiet, "allowed")

            assert letters.get() == "allowed"
    finally:
        client.acl_deluser("quiet")


@pytest.mark.usefixtures("with_fast_polling")
def test_a_lost_subscription_begins_again(client):
    with reader() as letters:
        subscriptions = letters.broker.watcher.subscriptions
        client.client_kill_filter(_type="pubsub")
        wait_for(lambda: letters.broker.watcher.subscriptions > subscriptions)
        send(make_broker(), "again")

        assert letters.get() == "again"


@pytest.mark.usefixtures("with_fast_polling")
def test_a_silent_subscription_is_replaced(monkeypatch, client):
    monkeypatch.setattr(redis_broker, "MAX_SILENCE_SECONDS", 0.2)
    with redis_proxy() as (proxy, environment):
        proxy.hold_replies(b"SUBSCRIBE")
        broker = make_broker(url=environment["REDIS_URL"])
        with reader(broker, is_idle=False):
            # The replies to other commands are not held, so polling succeeds all the time.
            wait_for(lambda: proxy.held_replies >= 2)
            assert broker.watcher.subscriptions == 0
            proxy.release()
            wait_for(lambda: broker.watcher.subscriptions > 0)


# --- Failures of Redis -------------------------------------------------------


@pytest.mark.usefixtures("with_fast_polling")
def test_an_idle_worker_survives_a_restart_of_redis():
    with temporary_redis() as (server, environment):
        url = environment["REDIS_URL"]
        with reader(make_broker(url=url)) as letters:
            subscriptions = letters.broker.watcher.subscriptions
            server.stop()
            wait_for(lambda: letters.broker.watcher._failure)
            server.start()
            assert wait_for_server(server.is_ready, MAX_WAIT_SECONDS)
            send(make_broker(url=url), "after the restart")

            assert letters.get() == "after the restart"
            wait_for(lambda: letters.broker.watcher.subscriptions > subscriptions)


@pytest.mark.usefixtures("with_fast_polling")
def test_an_idle_worker_survives_a_redis_without_memory():
    with temporary_redis() as (_, environment):
        sender = make_broker(url=environment["REDIS_URL"])
        with reader(make_broker(url=environment["REDIS_URL"])) as letters:
            sender.client.config_set("maxmemory", "1")
            wait_for(lambda: letters.broker.watcher._failure == "OutOfMemoryError")
            sender.client.config_set("maxmemory", "0")
            wait_for(lambda: not letters.broker.watcher._failure)
            send(sender, "with memory")

            assert letters.get() == "with memory"


# --- What Dramatiq promises --------------------------------------------------


@pytest.mark.usefixtures("with_fast_polling")
def test_the_messages_of_a_crashed_worker_are_received_by_an_idle_one(client):
    crashed = make_broker(RedisBroker)
    send(crashed, "fetched")
    send(crashed, "delayed", delay=1)
    for queue in (QUEUE, f"{QUEUE}.DQ"):
        assert len(crashed.do_fetch(queue, 1)) == 1

    with reader(make_broker(heartbeat_timeout=500)) as letters:
        assert {letters.get(), letters.get()} == {"fetched", "delayed"}
        wait_for(lambda: client.zcard(f"{NAMESPACE}:__heartbeats__") == 1)


@pytest.mark.usefixtures("with_fast_polling")
def test_the_heartbeat_of_a_crashed_worker_without_messages_is_deleted(client):
    with reader(make_broker(heartbeat_timeout=500)) as letters:
        # An idle worker crashes: it has sent a heartbeat, and holds no message.
        make_broker(RedisBroker).do_fetch(QUEUE, 1)
        names = {letters.broker.broker_id.encode()}

        wait_for(lambda: set(client.zrange(f"{NAMESPACE}:__heartbeats__", 0, -1)) == names)


@pytest.mark.usefixtures("with_fast_polling")
def test_an_idle_worker_renews_its_heartbeat(client):
    with reader():
        wait_for_heartbeats(client, count=5)


@pytest.mark.usefixtures("with_fast_polling")
def test_a_worker_that_is_busy_for_long_keeps_its_message(client):
    gate = threading.Event()
    with (
        reader(make_broker(heartbeat_timeout=500), prefetch=1) as first,
        reader(make_broker(heartbeat_timeout=500)) as second,
    ):
        for each in (first, second):
            each.handle = lambda text: gate.wait(MAX_WAIT_SECONDS)
        send(make_broker(), "long")
        acks = f"{NAMESPACE}:__acks__.*"
        wait_for(lambda: list(client.scan_iter(acks)))
        owner = list(client.scan_iter(acks))
        wait_for_heartbeats(client, count=20)  # Two seconds: four times the timeout.

        assert list(client.scan_iter(acks)) == owner
        gate.set()
        wait_for(lambda: not list(client.scan_iter(acks)))
        assert first.received.qsize() + second.received.qsize() == 1


def wait_for_heartbeats(client, count):
    """Wait until some worker has sent this many heartbeats."""
    seen = set()

    def has_seen_all():
        seen.update(score for _, score in read_heartbeats(client))
        return len(seen) >= count

    wait_for(has_seen_all)


def read_heartbeats(client, namespace=NAMESPACE):
    return client.zrange(f"{namespace}:__heartbeats__", 0, -1, withscores=True)


@pytest.mark.usefixtures("without_polling")
def test_a_worker_stops_at_once():
    with reader() as letters:
        events = [consumer.wake_event for consumer in letters.broker.watcher._consumers]
        wait_for(lambda: all(event._cond._waiters for event in events))
        # Now `stop` fails if a consumer waits on.

    assert not letters.broker.watcher._consumers


@pytest.mark.usefixtures("without_polling")
def test_a_worker_that_has_stopped_can_be_followed_by_another_one():
    broker = make_broker()
    with reader(broker):
        pass

    with reader(broker) as letters:
        send(make_broker(), "next")
        assert letters.get() == "next"
        assert not broker.is_stopping


# --- The worker of the app ---------------------------------------------------


def test_the_site_uses_the_broker():
    assert isinstance(get_broker(), NotifyingRedisBroker)


def read_calls(client):
    stats = client.info("commandstats")
    return {name: row["calls"] for name, row in stats.items()}


@pytest.mark.django_db(transaction=True)
def test_an_idle_worker_process_sends_only_the_commands_of_its_polls(client):
    with worker(IMPORTS_RECOVERY_INTERVAL_SECONDS="60"):
        wait_for(lambda: client.execute_command("PUBSUB", "NUMPAT") or has_subscriber(client))
        wait_for_polls(client, 2)  # After the fetches of the start.
        before = read_calls(client)
        wait_for_polls(client, 5)
        after = read_calls(client)

    grown = {name for name, calls in after.items() if calls > before.get(name, 0)}
    assert "cmdstat_evalsha" not in grown
    assert "cmdstat_lpop" not in grown
    polls = after["cmdstat_zadd"] - before["cmdstat_zadd"]
    for name in ("cmdstat_exists", "cmdstat_zrangebyscore"):
        assert after[name] - before[name] <= polls + 1


def has_subscriber(client):
    return client.pubsub_numsub(get_broker().notification_channel)[0][1] > 0


def wait_for_polls(client, count):
    last = read_calls(client)["cmdstat_zadd"] + count
    wait_for(lambda: read_calls(client)["cmdstat_zadd"] >= last)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("broker_class", [NotifyingRedisBroker, RedisBroker])
def test_a_worker_process_receives_messages_of_both_brokers(broker_class, alice):
    sender = make_broker(broker_class, namespace="imports")
    with worker(IMPORTS_RECOVERY_INTERVAL_SECONDS="60"):
        job = make_job(make_csv([make_row(1)]), owner=alice)
        sender.enqueue(dramatiq.Message(actors.CHECK_QUEUE, actors.CHECK_ACTOR, (), {}, {}))
        wait_until_final(job, seconds=MAX_WAIT_SECONDS)

    assert job.status == Status.COMPLETE
