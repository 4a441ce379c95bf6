"""The commands of the app: what they print, their exit statuses, and what they do."""

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command, load_command_class
from django.db.models.functions import Now
from django.utils import timezone

from customers.models import Customer
from imports import ledger, lifecycle, worker_status
from imports.history import Via
from imports.models import (
    HookCall,
    ImportAttempt,
    ImportBatch,
    ImportEvent,
    ImportJob,
    ImportRow,
    Worker,
)
from imports.pipeline import batch_applier
from imports.statuses import Hook, Outcome, Status
from tests.concurrency import concurrent_transaction
from tests.database import connection
from tests.factories import apply_all_batches, check_job, make_csv, make_job, make_row, run_import
from tests.processes import (
    MAX_WAIT_SECONDS,
    PROJECT,
    get_django_environment,
    temporary_redis,
    wait_for,
    wait_until_final,
    worker,
)
from tests.spreadsheets import make_workbook
from tests.test_undo import undo_all_batches

pytestmark = pytest.mark.django_db(transaction=True)

NO_REDIS = "redis://127.0.0.1:1/0"
CONTENT = make_csv([make_row(1), make_row(2)])
WITH_A_BAD_ROW = make_csv([make_row(1), make_row(2, email="nonsense")])


@pytest.fixture(autouse=True)
def fresh_status():
    worker_status.forget_cached_status()
    yield
    worker_status.forget_cached_status()


@pytest.fixture
def path(tmp_path):
    (tmp_path / "list.csv").write_bytes(CONTENT)
    return str(tmp_path / "list.csv")


@pytest.fixture
def live_worker():
    """The row of a worker that is alive, as the process itself writes it."""
    return Worker.objects.create(name="here:1", threads=3)


def run(*arguments, **options):
    """Run a command in this process, and return what it has printed."""
    output = io.StringIO()
    call_command(*map(str, arguments), stdout=output, **options)
    return output.getvalue()


def run_and_fail(*arguments):
    """Run a command that fails, and return its output and its error."""
    output = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command(*map(str, arguments), stdout=output)
    return output.getvalue(), caught.value


def import_arguments(path, *options):
    return ("import_file", path, "--importer=customers", "--user=alice", *options)


@contextmanager
def running_command(*arguments, stdin=None, **environment):
    """Start a command in a process of its own, as a person does. Kill it at the end if it runs."""
    process = subprocess.Popen(
        [sys.executable, PROJECT / "manage.py", *map(str, arguments)],
        env=os.environ | get_django_environment() | environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell lets the commands that it starts in the background ignore SIGINT.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def run_process(*arguments, content=None, **environment):
    """Run a command in a process of its own; return its exit status, output and errors."""
    with running_command(*arguments, stdin=subprocess.PIPE, **environment) as process:
        output, errors = process.communicate(content, timeout=MAX_WAIT_SECONDS)
        return process.returncode, output.decode(), errors.decode()


# --- import_file -------------------------------------------------------------


def test_import_file_prints_the_id_and_returns(alice, path):
    job = ImportJob.objects.get(pk=run(*import_arguments(path)).strip())

    assert (job.status, job.file_name, job.owner) == (Status.QUEUED, "list.csv", alice)
    event = ImportEvent.objects.get(job=job)
    assert (event.command, event.via, event.user) == ("upload", Via.COMMAND_LINE, alice)


def test_import_file_passes_on_its_options(alice, tmp_path):
    path = tmp_path / "parcels.xlsx"
    path.write_bytes(make_workbook(["Mark", "Number", "Weight"], ["MARK 1", 7, 1]))
    options = [
        *("--importer=parcels", "--user=alice", "--name=march.xlsx", "--check-first", "--update"),
        *("--empty-cells=clear", "--sheet=Sheet", "--hidden-rows=skip"),
        *("--on-missing-columns=fail", "--idempotency-key=k1"),
        *("--option=fee=5", "--option=tags=a", "--option=tags=b"),
    ]

    ids = {run("import_file", path, *options) for _ in range(2)}

    job = ImportJob.objects.get()
    assert ids == {f"{job.pk}\n"}
    assert (job.file_name, job.importer, job.check_first) == ("march.xlsx", "parcels", True)
    assert (job.on_duplicate, job.empty_cells) == ("update", "clear")
    assert job.on_missing_columns == "fail"
    assert job.read_options == {"sheet": "Sheet", "hidden_rows": "skip"}
    assert job.importer_options == {"fee": "5", "tags": ["a", "b"]}


def test_import_file_accepts_a_tab_and_an_encoding(alice, path):
    run(*import_arguments(path, "--delimiter", r"\t", "--encoding", "cp850", "--fail"))

    job = ImportJob.objects.get()
    assert job.read_options == {"delimiter": "\t", "encoding": "cp850"}
    assert job.on_duplicate == "fail"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--user=nobody"], "There is no user 'nobody'. Give the username of a user."),
        (["--importer=ships"], "--importer: There is no importer 'ships'. These are: "),
        (["--encoding=utf-99"], "--encoding: Python knows no encoding 'utf-99'."),
        (["--delimiter=ab"], "--delimiter: Give one character that is no letter"),
        (["--option=fee=5"], "fee: There is no such option. This importer has none."),
        (["--option=fee"], "'fee' is not of the form NAME=VALUE."),
        (["--update", "--fail"], "not allowed with argument"),
    ],
)
def test_a_wrong_argument_of_import_file_is_named(alice, path, arguments, message):
    _, error = run_and_fail(*import_arguments(path), *arguments)

    assert message in str(error)
    assert not ImportJob.objects.exists()


def test_a_user_who_is_not_active_owns_no_import(alice, path):
    alice.is_active = False
    alice.save()

    _, error = run_and_fail(*import_arguments(path))

    assert str(error) == "The user 'alice' is not active."


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "empty.csv is empty."),
        ("missing.csv", None, "cannot be read: No such file or directory."),
        ("large.csv", b"x" * 2_000, "large.csv has 2,000 bytes."),
    ],
)
def test_a_file_that_cannot_be_imported_is_named(alice, tmp_path, settings, name, content, message):
    settings.IMPORTS_MAX_UPLOAD_BYTES = 1_000
    if content is not None:
        (tmp_path / name).write_bytes(content)

    _, error = run_and_fail(*import_arguments(tmp_path / name))

    assert message in str(error)
    assert error.returncode == 2


def test_standard_input_needs_a_name(alice):
    _, error = run_and_fail(*import_arguments("-"))

    assert "Add --name with the name that people shall see" in str(error)


def test_import_file_waits_shows_the_result_and_reads_standard_input(alice):
    with worker():
        status, output, errors = run_process(
            *import_arguments("-", "--name=piped.csv", "--wait"), content=CONTENT
        )

    assert (status, errors) == (0, "")
    job = ImportJob.objects.get()
    assert output.splitlines()[0] == str(job.pk)
    assert output.splitlines()[-1] == "Complete: 2 rows: 2 created."
    assert job.file_name == "piped.csv"


def test_import_file_with_a_failed_row_has_exit_status_1_and_names_the_problem(alice, tmp_path):
    (tmp_path / "list.csv").write_bytes(WITH_A_BAD_ROW)
    with worker():
        status, output, errors = run_process(*import_arguments(tmp_path / "list.csv", "--wait"))

    assert status == 1
    assert "Complete: 2 rows: 1 created, 1 failed." in output
    assert "  1 row (3): E-mail: " in output
    assert errors == "CommandError: 1 of 2 rows failed.\n"


def test_import_file_whose_file_cannot_be_read_says_why(alice, tmp_path):
    (tmp_path / "list.csv").write_bytes(b"%PDF-1.7\n" + bytes(500))
    with worker():
        status, _, errors = run_process(*import_arguments(tmp_path / "list.csv", "--wait"))

    assert status == 1
    assert errors == (
        "CommandError: Failed. The file is a PDF. Export the original table as .xlsx or CSV.\n"
    )


def test_an_import_that_waits_for_columns_ends_the_command_with_exit_status_1(alice, tmp_path):
    (tmp_path / "list.csv").write_bytes(make_csv([["x", "y"]], ["What", "Ever"]))
    with worker():
        status, _, errors = run_process(*import_arguments(tmp_path / "list.csv", "--wait"))

    assert status == 1
    assert "Column mapping needed. These columns were not recognised: " in errors


def test_check_first_ends_ready_with_a_preview_and_start_import_writes(alice, tmp_path):
    run_import(make_csv([make_row(1)]), owner=alice)
    (tmp_path / "list.csv").write_bytes(make_csv([make_row(n) for n in range(1, 4)]))
    with worker():
        status, output, _ = run_process(
            *import_arguments(tmp_path / "list.csv", "--check-first", "--wait")
        )
        job = ImportJob.objects.latest("created_at")
        written = Customer.objects.count()
        started = run_process("start_import", job.pk, "--wait", "--user=alice")

    assert (status, written) == (0, 1)
    assert "Checked 3 rows. To create: 2, to update: 0, to skip: 1, failed: 0." in output
    assert f"`start_import {job.pk}` starts the import." in output
    assert started[0] == 0
    assert "Complete: 3 rows: 2 created, 1 skipped." in started[1]
    assert ImportEvent.objects.filter(command="start", via="command_line", user=alice).exists()


def test_import_file_says_that_no_worker_runs_and_goes_on_waiting(alice, path):
    with running_command(*import_arguments(path, "--wait")) as process:
        lines = iter(process.stdout.readline, b"")
        text = next(line.decode() for line in lines if b"No worker is running" in line)
        is_waiting = process.poll() is None
        with worker():
            output, _ = process.communicate(timeout=MAX_WAIT_SECONDS)

    assert "Start a worker: python manage.py imports_worker." in text
    assert is_waiting
    assert "Complete: 2 rows: 2 created." in output.decode()
    assert process.returncode == 0


def test_ctrl_c_ends_the_command_and_not_the_import(alice, path):
    with running_command(*import_arguments(path, "--wait")) as process:
        job_id = process.stdout.readline().decode().strip()
        process.stdout.readline()  # It has begun to wait.
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=MAX_WAIT_SECONDS)

    assert process.returncode == 130
    assert f"`cancel_import {job_id}` cancels it." in output.decode()
    assert ImportJob.objects.get(pk=job_id).status == Status.QUEUED
    with worker():
        wait_until_final(ImportJob.objects.get(pk=job_id))


# --- Control -----------------------------------------------------------------


def test_cancel_import_cancels_and_is_in_the_history(alice):
    job = make_job(CONTENT, owner=alice)

    output = run("cancel_import", job.pk, "--user=alice")

    job.refresh_from_db()
    assert (job.status, output.split(".")[0]) == (Status.CANCELLED, "Cancelled")
    event = ImportEvent.objects.get(job=job)
    assert (event.command, event.via, event.user) == ("cancel", Via.COMMAND_LINE, alice)


def test_pause_import_and_resume_import(alice, settings):
    settings.IMPORTS_BATCHES_PER_SMALL_FILE = 2
    job = check_job(make_job(make_csv([make_row(n) for n in range(100)])))
    batch_applier.apply_batch(job.pk, 1)

    assert run("pause_import", job.pk) == "Paused after 50 of 100 rows.\n"
    assert run("resume_import", job.pk) == "Resumed after 50 of 100 rows.\n"
    assert apply_all_batches(job.pk).status == Status.COMPLETE


def test_retry_import_waits_for_the_import_of_the_failed_rows(alice):
    job = run_import(make_csv([make_row(1), make_row(2, phone="no number")]), owner=alice)
    with worker():
        status, output, error = run_process("retry_import", job.pk, "--wait", "--user=alice")

    retry = ImportJob.objects.get(retry_of=job)
    assert (status, error.splitlines()[-1]) == (1, "CommandError: 1 of 1 row failed.")
    assert output.startswith(f"The import {retry.pk} retries the failed rows.\n")
    event = ImportEvent.objects.get(job=job, command="retry")
    assert (event.via, event.user) == (Via.COMMAND_LINE, alice)


def test_retry_import_goes_on_with_a_failed_import(alice):
    job = make_job(CONTENT, owner=alice)
    ImportJob.objects.filter(pk=job.pk).update(
        status=Status.FAILED, error_code="values_failed", finished_at=Now()
    )

    assert run("retry_import", job.pk) == "The import goes on from where it stopped.\n"
    job.refresh_from_db()
    assert (job.status, job.continues_check) == (Status.QUEUED, True)


def test_undo_import_waits_until_everything_is_undone(alice):
    job = run_import(make_csv([make_row(n) for n in range(3)]), owner=alice)
    Customer.objects.filter(shipping_mark="MARK 1").update(first_name="Edited")
    with worker():
        status, output, _ = run_process("undo_import", job.pk, "--wait", "--user=alice")

    assert status == 0
    assert output.startswith("Undo has begun. Written records: 3.\n")
    assert output.endswith("Undone: 3 rows: 3 created. Undone: 2 removed, 0 restored, 1 kept.\n")
    assert Customer.objects.get().first_name == "Edited"
    assert ImportEvent.objects.filter(command="undo", via="command_line", user=alice).exists()
    # The removed records are not missing.
    assert run("check_imports", job.pk) == "Checked 1 imports. Every row has exactly one outcome.\n"


def test_rescue_imports_continues_an_undo_whose_message_is_lost(alice):
    job = run_import(CONTENT, owner=alice)
    with temporary_redis() as (_, redis_environment), worker(**redis_environment):
        lifecycle.undo(job)  # The message goes to another Redis.
        job.batches.update(enqueued_at=timezone.now() + timedelta(hours=1))
        run_process("rescue_imports", **redis_environment)
        wait_until_final(job)

    assert job.status == Status.UNDONE


def test_a_command_that_the_import_does_not_allow_says_so(alice):
    job = run_import(CONTENT, owner=alice)

    _, error = run_and_fail("cancel_import", job.pk)

    assert "COMPLETE" in str(error)
    assert error.returncode == 2


@pytest.mark.parametrize("command", ["cancel_import", "imports_status", "check_imports"])
def test_an_unknown_import_is_named(command):
    job_id = uuid4()

    _, error = run_and_fail(command, job_id)

    assert str(error).startswith(f"There is no import {job_id}.")


# --- check_imports -----------------------------------------------------------


@pytest.fixture
def complete(alice):
    """An import with rows of every outcome but updated, in several batches."""
    run_import(make_csv([make_row(1)]), owner=alice)
    rows = [make_row(n) for n in range(1, 201)] + [make_row(201, email="nonsense")]
    return run_import(make_csv(rows), owner=alice)


def test_the_ledger_of_imports_in_every_status_is_right(alice, complete, settings):
    settings.IMPORTS_BATCHES_PER_SMALL_FILE = 2
    make_job(CONTENT, owner=alice)
    check_job(make_job(make_csv([make_row(n) for n in range(300, 310)]), check_first=True))
    check_job(make_job(make_csv([["x"]], ["What"])))
    check_job(make_job(b"%PDF-1.7\n" + bytes(500)))
    running = check_job(make_job(make_csv([make_row(n) for n in range(400, 500)])))
    batch_applier.apply_batch(running.pk, 1)
    cancelled = check_job(make_job(make_csv([make_row(n) for n in range(500, 600)])))
    batch_applier.apply_batch(cancelled.pk, 2)
    lifecycle.cancel(cancelled)
    updated = [make_row(n, first="Akosua") for n in range(1, 51)] + [make_row(60)]
    undone = run_import(make_csv(updated), owner=alice, on_duplicate="update")
    Customer.objects.filter(shipping_mark="MARK 2").update(first_name="Edited")
    lifecycle.undo(undone)
    undo_all_batches(undone.pk)

    output = run("check_imports")

    assert "WRONG" not in output
    assert "Checked 9 imports. Every row has exactly one outcome." in output


def change_batch(job, number, **fields):
    ImportBatch.objects.filter(job=job, number=number).update(**fields)


def change_row(job, number, **fields):
    ImportRow.objects.filter(job=job, number=number).update(**fields)


def get_record_key(job, number):
    return ImportRow.objects.get(job=job, number=number).target_id


def delete_row(job, number):
    ImportRow.objects.filter(job=job, number=number).delete()


# What makes the ledger wrong, by the sentence that reports it. Row 2 was skipped, the rows after it
# were created, and row 202 failed.
VIOLATIONS = {
    "The count of created rows is 199. Stored rows: 198.": (
        lambda job: change_row(job, 3, outcome=Outcome.SKIPPED)
    ),
    "The count of skipped rows is 1. Stored rows: 2.": (
        lambda job: change_row(job, 3, outcome=Outcome.SKIPPED)
    ),
    "Rows in total: 201. Stored rows: 200.": lambda job: delete_row(job, 202),
    "Checked rows: 201. Stored rows: 200.": lambda job: delete_row(job, 202),
    "Rows that store the outcome created: 1.": (
        lambda job: change_row(job, 3, outcome=Outcome.CREATED)
    ),
    "Rows of written batches without an outcome: 1.": lambda job: change_row(job, 3, matched=True),
    "Batches that hold rows of an earlier batch: 1.": lambda job: change_batch(
        job, 1, last_row=100
    ),
    "The import is complete. Rows without an outcome: 50.": (
        lambda job: change_batch(job, 2, applied_at=None)
    ),
    "Row 3 created a record that another row created too.": (
        lambda job: change_row(job, 4, target_id=get_record_key(job, 3))
    ),
    "The count of records that undo has kept is 0. Stored rows: 1.": (
        lambda job: change_row(job, 3, kept={"code": "edited", "params": {}})
    ),
    "The count of records that undo has removed is 0. Stored rows: 50.": (
        lambda job: change_batch(job, 1, undone_at=Now())
    ),
    "counts as undone, but the record still exists.": (
        lambda job: change_batch(job, 1, undone_at=Now())
    ),
}


@pytest.mark.parametrize("sentence", VIOLATIONS)
def test_check_imports_finds_a_wrong_ledger(complete, sentence):
    VIOLATIONS[sentence](complete)

    output, error = run_and_fail("check_imports", complete.pk)

    lines = [line for line in output.splitlines() if sentence in line]
    assert [line.startswith(f"WRONG: import {complete.pk}: ") for line in lines] == [True]
    assert str(error) == "The ledger of 1 of 1 imports is wrong."


def test_rows_in_no_batch_are_a_violation(alice):
    job = check_job(make_job(make_csv([make_row(n) for n in range(120)])))
    job.batches.filter(number=2).delete()
    job.batches.filter(number=1).update(rows=49)

    assert ledger.check_ledger(job).violations == [
        "Rows without an outcome that are in no batch: 50.",
        "Batches with another number of rows than planned: 1.",
    ]


def test_deleted_and_edited_records_are_no_violation(complete):
    keys = ImportRow.objects.filter(job=complete, number__in=[4, 9]).values_list("target_id")
    Customer.objects.filter(pk__in=[int(key) for (key,) in keys]).delete()
    Customer.objects.update(first_name="Edited")

    output = run("check_imports", complete.pk)

    assert (
        f"note: import {complete.pk}: Each of 2 rows (4, 9) created a record that does not exist "
        "now" in output
    )


def test_an_import_without_contents_is_not_checked(complete):
    ImportRow.objects.filter(job=complete).delete()
    ImportJob.objects.filter(pk=complete.pk).update(contents_deleted_at=Now())

    assert "so only its counts are left." in run("check_imports", complete.pk)


# --- imports_status ----------------------------------------------------------


def test_imports_status_is_0_when_nothing_needs_attention(alice, live_worker):
    run_import(CONTENT, owner=alice)

    output = run("imports_status")

    assert output == (
        "The database answers. Redis answers and stores messages.\n1 worker is running.\n"
        "  here:1: 0 of 3 threads busy.\nNo import is under way.\n"
    )


def test_imports_status_shows_workers_and_imports(alice):
    job = make_job(CONTENT, owner=alice)
    work = [{"what": f"checking {job.pk}", "seconds": 4}]
    Worker.objects.create(name="here:1", threads=3, current_work=work)

    output = run("imports_status")

    assert f"  here:1: 1 of 3 threads busy: checking {job.pk} for 4 s" in output
    assert f"Import {job.pk} (customers.csv): Waiting for a worker, position 1, 0 %" in output


def test_imports_status_without_a_worker_says_how_to_start_one(alice):
    job = make_job(CONTENT, owner=alice)

    output, error = run_and_fail("imports_status")

    assert "No worker is running. Start a worker: python manage.py imports_worker." in output
    assert f"Import {job.pk}" in output
    assert error.returncode == 1


def test_imports_status_names_a_hook_that_was_given_up(alice, live_worker):
    job = run_import(CONTENT, owner=alice)
    HookCall.objects.create(
        job=job, hook=Hook.AFTER_IMPORT, attempts=9, error="KeyError", gave_up_at=Now()
    )

    output, _ = run_and_fail("imports_status")

    assert f"Import {job.pk}: after_import was given up after 9 attempts (KeyError)." in output


def test_imports_status_of_one_import_shows_why_it_failed(alice, live_worker):
    job = check_job(make_job(b"%PDF-1.7\n" + bytes(500), owner=alice))

    output, _ = run_and_fail("imports_status", job.pk)

    assert "  pdf_file: The file is a PDF." in output


def test_imports_status_prints_json(alice, live_worker):
    job = make_job(CONTENT, owner=alice)

    report = json.loads(run("imports_status", "--json"))

    assert report["needs_attention"] is False
    assert [snapshot["id"] for snapshot in report["imports"]] == [str(job.pk)]
    assert report["workers"][0]["name"] == "here:1"


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_imports_status_says_that_redis_or_the_database_does_not_answer(arguments):
    database = settings.DATABASES["default"]
    without_redis = run_process("imports_status", *arguments, REDIS_URL=NO_REDIS)
    no_database = f"postgres://u:p@127.0.0.1:1/{database['NAME']}"
    without_database = run_process("imports_status", *arguments, DATABASE_URL=no_database)

    assert without_redis[0] == without_database[0] == 1
    if arguments:
        assert json.loads(without_redis[1])["redis"] is False
        assert json.loads(without_database[1])["database"] is False
    else:
        assert (
            "Redis does not answer or stores no messages. Start Redis, or correct its address"
            in without_redis[1]
        )
        assert "The database does not answer (SQLSTATE 08" in without_database[2]


def test_imports_status_names_the_session_that_keeps_a_step_waiting(alice, live_worker):
    job = check_job(make_job(CONTENT, owner=alice))
    with concurrent_transaction() as cursor:
        cursor.execute("LOCK TABLE customers_customer IN ACCESS EXCLUSIVE MODE")
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
        with worker(IMPORTS_LOCK_TIMEOUT="60s"):
            wait_for(lambda: count_waiting_steps() > 0)
            output = io.StringIO()
            call_command("imports_status", job.pk, stdout=output)

    assert f"The database session {pid} (" in output.getvalue()
    assert f"`SELECT pg_terminate_backend({pid})` ends it." in output.getvalue()


def count_waiting_steps():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name LIKE 'imports step%' AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone()[0]


# --- rescue_imports ----------------------------------------------------------


def test_rescue_imports_finds_nothing(live_worker):
    assert run("rescue_imports") == "There was nothing to rescue.\n"


def test_rescue_imports_sends_messages_that_have_not_expired(alice, live_worker, settings):
    settings.IMPORTS_BATCHES_PER_SMALL_FILE = 6
    running = check_job(make_job(make_csv([make_row(n) for n in range(300)])))
    running.batches.update(enqueued_at=timezone.now())
    make_job(CONTENT, owner=alice)
    abandoned = make_job(CONTENT, owner=alice)
    ImportJob.objects.filter(pk=abandoned.pk).update(
        status=Status.CHECKING, reader_heartbeat_at=Now() - timedelta(minutes=1)
    )

    output = run("rescue_imports")

    assert output.splitlines() == [
        "Files that have lost their reader, so that any worker may read on: 1.",
        "Files that wait to be checked: 1.",
        "Messages sent for batches: 2.",
        "Calls of hooks that are due: 1.",
    ]


def test_rescue_imports_continues_an_import_whose_messages_are_lost(alice):
    with temporary_redis() as (_, redis_environment), worker(**redis_environment):
        job = check_job(make_job(CONTENT, owner=alice))
        # Recovery of the worker would wait until these messages expire.
        job.batches.update(enqueued_at=timezone.now() + timedelta(hours=1))
        status, output, _ = run_process("rescue_imports", **redis_environment)
        wait_until_final(job)

    assert (status, output) == (0, "Messages sent for batches: 1.\n")
    assert job.status == Status.COMPLETE


def test_rescue_imports_without_redis_and_without_a_worker_says_so(alice):
    make_job(CONTENT, owner=alice)

    status, output, errors = run_process("rescue_imports", REDIS_URL=NO_REDIS)

    assert status == 1
    assert "Files that wait to be checked: 1." in output
    assert "No worker is running, so nothing continues before you start one" in output
    assert "CommandError: The queue cannot be reached, so no message was sent." in errors


def test_rescue_imports_ends_a_frozen_session(live_worker):
    with concurrent_transaction() as cursor:
        cursor.execute("SET LOCAL application_name = 'imports step, at most 0 s'")
        cursor.execute("SELECT pg_sleep(0.01)")
        assert "Frozen database sessions that were ended: 1." in run("rescue_imports")
        assert not ImportAttempt.objects.exists()


# --- Help --------------------------------------------------------------------

COMMANDS = [
    "import_file",
    "imports_status",
    "rescue_imports",
    "check_imports",
    "cancel_import",
    "undo_import",
    "retry_import",
    "start_import",
    "pause_import",
    "resume_import",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_of_a_command_has_a_help_text(command):
    parser = load_command_class("imports", command).create_parser("manage.py", command)

    assert parser.description
    assert [action.dest for action in parser._actions if not action.help] == []
