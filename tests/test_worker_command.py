"""`manage.py imports_worker` in projects with other brokers, and its options."""

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from urllib.parse import urlsplit

import dramatiq
import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from redis import Redis

from imports import actors
from imports.broker import get_broker
from imports.management.commands import imports_worker
from imports.models import ImportJob, Worker
from imports.redis_broker import NotifyingRedisBroker
from imports.statuses import Status
from tests.factories import make_csv, make_job, make_row
from tests.processes import (
    PROJECT,
    flush_redis,
    get_django_environment,
    upload_in_process,
    wait_for,
    wait_until_final,
)

STUB_BROKER = StubBroker(middleware=[])
POLLING_BROKER = RedisBroker(middleware=[])
NO_BROKER = object()


def start_worker(arguments=(), *, folder=PROJECT, **environment):
    return subprocess.Popen(
        [sys.executable, PROJECT / "manage.py", "imports_worker", *arguments],
        cwd=folder,
        env=os.environ | get_django_environment() | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@contextmanager
def running_worker(arguments=(), **options):
    """Start a worker, wait until it has registered, and kill it at the end if it still runs."""
    process = start_worker(arguments, **options)
    try:
        wait_for(lambda: process.poll() is not None or Worker.objects.exists())
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        print(process.communicate()[0])


def write_settings(folder, text):
    """Write settings of another project, and return the environment that names them."""
    (folder / "host_settings.py").write_text(
        "from tests.settings import *\n" + textwrap.dedent(text)
    )
    return {"DJANGO_SETTINGS_MODULE": "host_settings", "PYTHONPATH": f"{folder}:{PROJECT}"}


# --- The broker --------------------------------------------------------------


@pytest.fixture
def without_django_dramatiq(settings):
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if name != "django_dramatiq"
    ]


@pytest.mark.usefixtures("without_django_dramatiq")
def test_the_default_broker_is_on_the_redis_server_of_the_app_and_is_not_the_global_one(settings):
    settings.IMPORTS_REDIS_URL = "redis://imports.example:7000/3"

    broker = get_broker()

    options = broker.client.connection_pool.connection_kwargs
    assert isinstance(broker, NotifyingRedisBroker)
    assert (options["host"], options["port"], options["db"]) == ("imports.example", 7000, 3)
    assert dramatiq.broker.global_broker is not broker


def test_a_setting_names_another_broker(settings):
    settings.IMPORTS_BROKER = f"{__name__}.STUB_BROKER"

    assert get_broker() is STUB_BROKER


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no.such.module", "IMPORTS_BROKER cannot be imported: No module named 'no'"),
        (f"{__name__}.NO_BROKER", "which is no Dramatiq broker but a object"),
    ],
)
def test_the_worker_refuses_a_setting_that_names_no_broker(path, message, settings):
    settings.IMPORTS_BROKER = path

    with pytest.raises(ImproperlyConfigured, match=message):
        get_broker()
    with pytest.raises(CommandError, match=message):
        call_command("imports_worker")


def test_the_worker_refuses_a_broker_in_memory(settings):
    settings.IMPORTS_BROKER = f"{__name__}.STUB_BROKER"

    with pytest.raises(CommandError, match="StubBroker keeps messages in the memory"):
        call_command("imports_worker")


@pytest.mark.django_db(transaction=True)
def test_an_upload_in_a_test_with_a_broker_in_memory_is_accepted(alice, settings):
    settings.IMPORTS_BROKER = f"{__name__}.STUB_BROKER"

    job = upload_in_process(alice, make_csv([make_row(1)]))

    assert job.status == Status.QUEUED
    assert not STUB_BROKER.get_declared_queues()


def test_actors_of_a_broker_with_retries_are_not_retried_and_keep_their_time_limit():
    broker = StubBroker()  # With Dramatiq's default middleware, Retries among it.

    actors.declare_actors(broker)

    limits = {
        name: (actor.options["max_retries"], actor.options["time_limit"])
        for name, actor in broker.actors.items()
    }
    assert limits == {
        "imports.check_next_file": (0, 3_600_000),
        "imports.apply_batches": (0, 300_000),
        "imports.call_hooks": (0, 300_000),
        "imports.delete_old_data": (0, 300_000),
        "imports.send_notices": (0, 300_000),
        "imports.undo_batches": (0, 300_000),
    }


def test_the_check_names_a_setting_that_names_no_broker(settings):
    settings.IMPORTS_BROKER = "no.such.module"

    errors = [error for error in run_checks(tags=["imports"]) if error.id == "imports.E109"]

    assert [error.msg for error in errors] == [
        "IMPORTS_BROKER cannot be imported: No module named 'no'"
    ]


def test_the_deployment_check_warns_of_a_broker_in_memory(settings):
    settings.IMPORTS_BROKER = f"{__name__}.STUB_BROKER"

    def list_ids(**options):
        return [message.id for message in run_checks(tags=["imports"], **options)]

    assert "imports.W110" not in list_ids()
    assert "imports.W110" in list_ids(include_deployment_checks=True)


def test_the_deployment_check_names_a_broker_whose_idle_workers_poll(settings):
    def list_ids():
        messages = run_checks(tags=["imports"], include_deployment_checks=True)
        return [message.id for message in messages]

    assert "imports.I111" not in list_ids()
    settings.IMPORTS_BROKER = f"{__name__}.POLLING_BROKER"
    assert "imports.I111" in list_ids()


@pytest.mark.django_db(transaction=True)
def test_the_worker_needs_the_tables():
    database = urlsplit(get_django_environment()["DATABASE_URL"])._replace(path="/postgres")

    process = start_worker(DATABASE_URL=database.geturl())
    try:
        output, _ = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    assert process.returncode == 1
    assert "Run `python manage.py migrate`" in output


# --- Options -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "0"], "'0' is not a number of at least 1."),
        (["--processes", "two"], "'two' is not a number of at least 1."),
        (["--shutdown-timeout", "-1"], "'-1' is not a number of seconds"),
        (["--shutdown-timeout", "nan"], "'nan' is not a number of seconds"),
        (["--all-queues"], "--all-queues needs django_dramatiq in INSTALLED_APPS"),
    ],
)
@pytest.mark.usefixtures("without_django_dramatiq")
def test_options_that_cannot_be_used_are_explained(arguments, message):
    with pytest.raises(CommandError, match=message):
        call_command("imports_worker", *arguments)


def test_reload_names_the_package_that_it_needs(monkeypatch):
    monkeypatch.setattr(imports_worker, "find_spec", lambda name: None)

    with pytest.raises(CommandError, match=r"pip install 'dramatiq\[watch\]'"):
        call_command("imports_worker", "--reload")


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_starts_in_another_folder_imports_and_exits_with_status_0(alice, tmp_path):
    with running_worker(folder=tmp_path) as process:
        job = make_job(make_csv([make_row(1)]), owner=alice)
        wait_until_final(job)
        process.send_signal(signal.SIGTERM)

        assert process.wait(30) == 0
    assert job.status == Status.COMPLETE
    assert not Worker.objects.exists()


# --- Projects with django_dramatiq -------------------------------------------

# The default middleware of Dramatiq retries and limits ages, and django_dramatiq records tasks.
HOST_SETTINGS = """
    INSTALLED_APPS = [*INSTALLED_APPS, "host_app"]
    DRAMATIQ_BROKER = {
        "BROKER": "dramatiq.brokers.redis.RedisBroker",
        "OPTIONS": {"url": REDIS_URL, "namespace": "host"},
        "MIDDLEWARE": [
            "dramatiq.middleware.AgeLimit",
            "dramatiq.middleware.TimeLimit",
            "dramatiq.middleware.Callbacks",
            "dramatiq.middleware.Retries",
            "django_dramatiq.middleware.DbConnectionsMiddleware",
        ],
    }
"""
HOST_TASKS = """
    import dramatiq
    from imports import lifecycle  # The project's own tasks may upload files.

    @dramatiq.actor
    def write_file(path):
        with open(path, "w") as file:
            file.write("done")
"""
SEND_HOST_TASK = """
    import django
    django.setup()
    from host_app.tasks import write_file
    write_file.send({path!r})
"""


@pytest.fixture
def host(tmp_path):
    """A project with django_dramatiq and an actor of its own; its environment."""
    environment = write_settings(tmp_path, HOST_SETTINGS)
    app = tmp_path / "host_app"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "tasks.py").write_text(textwrap.dedent(HOST_TASKS))
    flush_redis()
    yield environment
    flush_redis()


def send_host_task(environment, path):
    code = textwrap.dedent(SEND_HOST_TASK).format(path=str(path))
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=os.environ | get_django_environment() | environment,
        check=True,
    )


@pytest.mark.django_db(transaction=True)
def test_a_worker_uses_the_broker_of_django_dramatiq_and_leaves_other_messages(
    alice, host, tmp_path
):
    send_host_task(host, tmp_path / "written")

    with running_worker(**host, IMPORTS_RECOVERY_INTERVAL_SECONDS="0.2"):
        job = make_job(make_csv([make_row(n) for n in range(100)]), owner=alice)
        wait_until_final(job)

    assert (job.status, job.created) == (Status.COMPLETE, 100)
    assert not (tmp_path / "written").exists()
    with Redis.from_url(settings.REDIS_URL) as client:
        assert client.llen("host:default") == 1
        assert {key.partition(b":")[0] for key in client.scan_iter()} == {b"host"}


WORKER_LIMITS = """
    from imports.worker import broker
    limits = [m for m in broker.middleware if type(m).__name__ == "TimeLimit"]
    print([type(m).__name__ for m in broker.middleware], limits[0].time_limit)
"""


def test_a_worker_adds_the_middleware_that_the_project_lacks(host, tmp_path):
    with (tmp_path / "host_settings.py").open("a") as file:
        file.write("del DRAMATIQ_BROKER['MIDDLEWARE']\n")

    output = subprocess.check_output(
        [sys.executable, "-c", textwrap.dedent(WORKER_LIMITS)],
        cwd=PROJECT,
        env=os.environ | get_django_environment() | host,
        text=True,
    )

    assert output == "['MaintenanceMiddleware', 'TimeLimit'] inf\n"


@pytest.mark.django_db(transaction=True)
def test_with_all_queues_one_worker_also_runs_the_actors_of_other_apps(alice, host, tmp_path):
    send_host_task(host, tmp_path / "written")

    with running_worker(["--all-queues"], **host, IMPORTS_RECOVERY_INTERVAL_SECONDS="0.2"):
        job = make_job(make_csv([make_row(1)]), owner=alice)
        wait_until_final(job)
        wait_for((tmp_path / "written").exists)

    assert job.status == Status.COMPLETE


@pytest.mark.django_db(transaction=True)
def test_the_worker_of_the_project_takes_no_message_of_imports(alice, host, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "manage.py", "rundramatiq", "--processes", "1", "--threads", "1"],
        cwd=PROJECT,
        env=os.environ | get_django_environment() | host,
        start_new_session=True,
    )
    try:
        with Redis.from_url(settings.REDIS_URL) as client:
            job = make_job(make_csv([make_row(1)]), owner=alice)
            broker = RedisBroker(client=client, middleware=[], namespace="host")
            broker.enqueue(dramatiq.Message(actors.CHECK_QUEUE, actors.CHECK_ACTOR, (), {}, {}))
            send_host_task(host, tmp_path / "written")
            wait_for((tmp_path / "written").exists)

            assert client.llen(f"host:{actors.CHECK_QUEUE}") == 1
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert ImportJob.objects.get(pk=job.pk).status == Status.QUEUED
