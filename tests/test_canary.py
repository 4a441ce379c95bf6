"""No value of a row leaves the tables of an import, in whatever way the row fails.

A canary is in rows that fail in every way. Real workers, a real web server, PostgreSQL and Redis
process them. The canary must be in none of the sinks of `tests.canary.sinks`.
"""

import ast
import base64
import logging.config
from pathlib import Path

import pytest
from django.conf import settings

from config.logging import build_logging_config
from customers.models import Customer
from imports import importer as registry
from imports import lifecycle
from imports.history import SYSTEM
from imports.models import HookCall, ImportJob, Notice, WebhookEndpoint
from imports.statuses import Outcome, Status
from tests.canary import CANARY
from tests.canary.importer import QuotingImporter
from tests.canary.sinks import (
    SENDING_PACKAGES,
    SINK_BY_PACKAGE,
    Sinks,
    find_postgres_log,
    list_public_models,
)
from tests.concurrency import concurrent_transaction
from tests.database import connection
from tests.factories import HEADERS, make_csv, make_row
from tests.fault_points import FaultPoint, block_at, during_staging
from tests.processes import (
    SHORT_TIMEOUTS,
    WorkerProcess,
    flush_redis,
    site,
    upload_in_process,
    wait_for,
    wait_until_final,
)
from tests.webhook_receiver import running_receiver

pytestmark = pytest.mark.django_db(transaction=True)

PROJECT = Path(__file__).resolve().parents[1]
EMAIL = f"{CANARY}@example.com"
QUOTING_HEADERS = ["Code", "Capacity", "Length"]
ENCODED = [
    CANARY,
    CANARY.encode().hex(),
    base64.b64encode(CANARY.encode()).decode().rstrip("=")[:-2],
]
AT_THE_ROW = FaultPoint(
    "BEFORE INSERT", "customers_customer", "ROW", f"NEW.email = 'killer{EMAIL}'"
)
RACE_EMAIL = f"race{EMAIL}"


@pytest.fixture(autouse=True)
def _flush_redis():
    flush_redis()


@pytest.fixture
def environment(tmp_path, monkeypatch, settings):
    """The environment of web server and workers, with every way of telling switched on."""
    monkeypatch.setitem(registry._registered, QuotingImporter.name, QuotingImporter)
    (tmp_path / "mail").mkdir()
    settings.IMPORTS_WEBHOOK_PRIVATE_TARGETS = True
    return {
        "DJANGO_SETTINGS_MODULE": "tests.canary.settings",
        "EMAIL_URL": f"filemail:///{tmp_path}/mail",
        "IMPORTS_EMAIL_OWNERS": "1",
        "IMPORTS_SITE_URL": "https://imports.example.com",
        "IMPORTS_WEBHOOK_PRIVATE_TARGETS": "1",
        "LOG_LEVEL": "DEBUG",
    }


class Cluster:
    """Starts workers one after another, whose output is a sink."""

    def __init__(self, sinks, environment, folder):
        self.sinks, self.environment, self.folder = sinks, environment, folder
        self.process = None
        self.log = None

    def start(self):
        path = self.folder / f"worker{len(self.sinks.logs['worker log'])}.log"
        self.sinks.logs["worker log"].append(path)
        self.log = path.open("w")
        self.process = WorkerProcess(self.log, SHORT_TIMEOUTS | self.environment)

    def kill(self):
        self.process.kill()
        self.log.close()


# --- Ways in which a row fails -------------------------------------------------


def fail_validation(owner, cluster):
    rows = [make_row(1, phone=CANARY), make_row(2, email=CANARY), make_row(3, mark=CANARY * 40)]
    rows += [make_row(4, email=EMAIL), make_row(5, email=EMAIL)]
    job = upload_in_process(owner, make_csv(rows), f"{CANARY}.csv")
    wait_until_final(job)
    assert job.failed == 4
    return job


def fail_with_bugs_of_the_importer(owner, cluster):
    """Rules, hooks and receivers raise errors that quote the row, and PostgreSQL rejects a cast."""
    rows = [["rule", "1", "1"], ["a", CANARY, "1"], ["b", "1", CANARY], ["c", "1", "2"]]
    job = upload_in_process(owner, make_csv(rows, QUOTING_HEADERS), "x.csv", "quoting")
    wait_until_final(job)
    codes = {error["code"] for row in job.rows.filter(outcome="failed") for error in row.errors}
    assert codes == {"row_rule_failed", "rule_failed", "database_error"}
    wait_for(lambda: HookCall.objects.filter(job=job, error="RuntimeError").exists())
    HookCall.objects.filter(job=job).delete()
    return job


def lose_a_unique_race(owner, cluster):
    rows = [make_row(11, email=RACE_EMAIL), make_row(12)]
    job = upload_in_process(owner, make_csv(rows), check_first=True, on_duplicate="fail")
    wait_for(lambda: job.refresh_from_db() or job.status == Status.READY)
    other = Customer.objects.create(
        shipping_mark="RIVAL",
        first_name="R",
        last_name="M",
        email=RACE_EMAIL,
        phone="+233249999999",
    )
    lifecycle.start(job, by=SYSTEM)
    wait_until_final(job)
    assert job.rows.get(outcome=Outcome.FAILED).errors[0]["code"] == "exists"
    other.delete()
    return job


def poison_a_row(owner, cluster):
    """The row kills its worker three times."""
    content = make_csv([make_row(21, email=f"killer{EMAIL}")])
    with block_at(AT_THE_ROW) as gate:
        job = upload_in_process(owner, content)
        while not (job.refresh_from_db() or job.is_final):
            wait_for(lambda: gate.waiting_sessions() or job.refresh_from_db() or job.is_final)
            if gate.waiting_sessions():
                cluster.kill()
                gate.terminate_sessions()
                cluster.start()
    assert job.rows.get(outcome=Outcome.FAILED).errors[0]["code"] == "crashed_worker"
    return job


def meet_a_deadlock(owner, cluster):
    """The worker and another session update two records in opposite orders."""
    for n in (31, 32):
        Customer.objects.create(
            shipping_mark=f"MARK {n}", first_name="x", last_name="y", phone=f"+23324{n:07d}"
        )
    rows = [make_row(31, first=CANARY), make_row(32, first=CANARY)]
    job = upload_in_process(owner, make_csv(rows), on_duplicate="update", check_first=True)
    wait_for(lambda: job.refresh_from_db() or job.status == Status.READY)
    before = count_deadlocks()
    update = "UPDATE customers_customer SET last_name = %s WHERE shipping_mark = %s"
    with concurrent_transaction() as cursor:
        cursor.execute("SET LOCAL deadlock_timeout = '20s'")  # So the worker is the victim.
        cursor.execute(update, ["z", "MARK 32"])
        lifecycle.start(job, by=SYSTEM)
        wait_for(lambda: is_anybody_blocked())
        cursor.execute(update, ["z", "MARK 31"])
    wait_until_final(job)
    assert job.updated == 2
    return job, before


def count_deadlocks():
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return cursor.fetchone()[0]


def is_anybody_blocked():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return cursor.fetchone()[0] > 0


def crash_the_reader(owner, cluster):
    rows = [make_row(n, last=CANARY) for n in range(2_000, 14_000)]
    with block_at(during_staging(after_row=600)) as gate:
        job = upload_in_process(owner, make_csv(rows))
        gate.wait_until_reached()
        if reader := cluster.process.find_reader():
            reader.kill()
        gate.open()
        wait_until_final(job)
    assert job.status == Status.COMPLETE
    return job


def fail_the_job(owner, cluster):
    pdf = upload_in_process(owner, b"%PDF-1.7 " + CANARY.encode(), f"{CANARY}.pdf")
    headers = [CANARY, *HEADERS[1:]]
    columns = upload_in_process(owner, make_csv([make_row(41)], headers), on_missing_columns="fail")
    wait_until_final(pdf, columns)
    assert (pdf.status, columns.error_code) == (Status.FAILED, "missing_columns")
    return columns


def keep_a_record_at_undo(owner, cluster):
    job = upload_in_process(owner, make_csv([make_row(51, mark=CANARY), make_row(52)]))
    wait_until_final(job)
    Customer.objects.filter(shipping_mark=CANARY.upper()).update(last_name=CANARY)
    lifecycle.undo(job, by=SYSTEM)
    wait_for(lambda: job.refresh_from_db() or job.status == Status.UNDONE)
    assert job.kept == 1
    return job


def upload_through_rest(web, content):
    response = web.client.post(
        "/api/imports/",
        data={"importer": "customers"},
        files={"file": (f"{CANARY}.csv", content)},
    )
    return ImportJob.objects.get(pk=response.raise_for_status().json()["id"])


WAYS = [
    fail_validation,
    fail_with_bugs_of_the_importer,
    lose_a_unique_race,
    poison_a_row,
    meet_a_deadlock,
    crash_the_reader,
    fail_the_job,
    keep_a_record_at_undo,
]


@pytest.mark.timeout(200)  # Also with the shorter limit of mutations.
def test_no_sink_holds_a_value_of_a_row_that_fails(alice, environment, tmp_path):
    alice.email = "owner@example.com"
    alice.save()
    sinks = Sinks(tmp_path / "mail")
    cluster = Cluster(sinks, environment, tmp_path)
    with (
        running_receiver() as receiver,
        sinks.recording(),
        site(alice, **environment) as web,
    ):
        WebhookEndpoint.objects.create(name="All", url=receiver.url())
        sinks.logs["web log"].append(web.server.errors)
        cluster.start()
        try:
            uploaded = upload_through_rest(web, make_csv([make_row(61, phone=CANARY)]))
            watcher = web.watch(uploaded)
            for fail in WAYS:
                fail(alice, cluster)
            # Requests that fail, with the canary where a person types it.
            web.client.get("/api/imports/", params={"search": CANARY})
            web.client.post("/api/imports/", files={"file": (f"{CANARY}.csv", b"")})
            web.client.patch(f"/api/imports/{uploaded.pk}/", json={"encoding": CANARY})
            web.client.get(f"/imports/{uploaded.pk}/rows/")
            quoting = ImportJob.objects.get(importer="quoting")
            in_french = {"Accept-Language": "fr"}
            failed = web.client.get(f"/imports/{quoting.pk}/rows/", headers=in_french)
            assert failed.status_code == 500  # The importer has a bug.
            assert CANARY not in failed.text
            wait_for(lambda: not Notice.objects.filter(delivered_at=None).exists())
            watcher.thread.join(10)
            sinks.streamed += [str(event.snapshot) for event in watcher.events]
        finally:
            cluster.kill()
        sinks.webhook_requests += receiver.requests
        contents = sinks.read_all()

    # The sinks work: each that must have something has it.
    for name in ("Redis", "worker log", "process titles", "e-mail", "webhooks", "streams"):
        assert contents[name], name
    assert "raised RuntimeError" in contents["worker log"]
    assert "RuntimeError" in contents["web log"]
    assert count_deadlocks() > 0
    leaks = {
        name: [line for line in text.splitlines() if any(each in line.lower() for each in ENCODED)]
        for name, text in contents.items()
    }
    assert {name: lines[:3] for name, lines in leaks.items() if lines} == {}


# --- The registry ----------------------------------------------------------------


def list_imported_packages():
    """Return the packages that modules of the app and of the site import, by module."""
    for folder in ("imports", "customers", "config"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            # The reader process has no network and an empty environment: see `sandbox`.
            if "reader" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    yield from ((path, alias.name) for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    yield path, node.module
                    yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)


def test_every_package_that_can_send_something_has_a_sink(tmp_path):
    sinks = Sinks(tmp_path)
    used = {
        package: path.relative_to(PROJECT)
        for path, name in list_imported_packages()
        for package in SENDING_PACKAGES
        if name == package or name.startswith(f"{package}.")
    }

    assert {package: path for package, path in used.items() if package not in SINK_BY_PACKAGE} == {}
    assert set(SINK_BY_PACKAGE) <= set(used)
    assert set(SINK_BY_PACKAGE.values()) <= set(sinks.readers)


def test_every_model_is_a_sink_or_private(tmp_path):
    """A new model is a sink. It is listed here, or in PRIVATE_MODELS if it may hold values."""
    assert set(list_public_models()) == {
        "hookcall",
        "idempotencykey",
        "importattempt",
        "importbatch",
        "importevent",
        "notice",
        "purgerun",
        "savedmapping",
        "ticketstamp",
        "tokenfamily",
        "webhookendpoint",
        "worker",
    }
    assert {f"table {name}" for name in list_public_models()} <= set(Sinks(tmp_path).readers)


def test_the_site_logs_to_standard_error_only():
    """An other handler, such as one for error reports, needs a sink of its own."""
    config = build_logging_config("INFO")

    assert {name: each["class"] for name, each in config["handlers"].items()} == {
        "console": "logging.StreamHandler"
    }
    assert settings.LOGGING["root"]["handlers"] == ["console"]
    assert settings.ADMINS == []  # Django mails error reports to them.
    logging.config.dictConfig(config)


def test_an_error_of_postgresql_would_reach_the_log_without_our_settings(db):
    """The log that the test reads is the right one, and its settings matter."""
    log = find_postgres_log()
    start = log.stat().st_size
    marker = "marker4711"
    with connection.cursor() as cursor:
        cursor.execute("SET log_min_messages = 'error'")
        cursor.execute("SET log_min_error_statement = 'error'")
        with pytest.raises(Exception, match="invalid input"):
            cursor.execute(f"SELECT '{marker}'::int")
        cursor.execute("RESET ALL")
        with pytest.raises(Exception, match="invalid input"):
            cursor.execute("SELECT 'hidden4711'::int")
    with log.open("rb") as file:
        file.seek(start)
        text = file.read().decode()

    assert marker in text
    assert "hidden4711" not in text
