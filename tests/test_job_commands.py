"""The commands of an import: offered, given and refused alike in REST, on pages and in the admin.

Of two commands, or of a command and the end of the import, exactly one succeeds.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from customers.models import Customer
from imports import job_commands, lifecycle
from imports.error_codes import list_request_codes
from imports.history import PYTHON, Actor, Command, Via
from imports.job_commands import DONE_ALREADY, JOB_COMMANDS, STATUS_REASONS, list_actions
from imports.models import ImportJob, TransitionNotAllowed
from imports.pipeline.batch_applier import apply_batch
from imports.statuses import Status
from tests.concurrency import (
    blocked_worker,
    call_then_close_connection,
    concurrent_transaction,
    wait_until_blocked,
)
from tests.conftest import create_user, logged_in_client
from tests.factories import (
    apply_all_batches,
    check_job,
    get_counts,
    make_csv,
    make_job,
    make_row,
    run_import,
)
from tests.processes import MAX_WAIT_SECONDS
from tests.streams import make_job as make_moved_job
from tests.streams import make_session_cookie, running_daphne

pytestmark = pytest.mark.django_db(transaction=True)

COMMANDS = list(JOB_COMMANDS)
CONTENT = make_csv([make_row(n) for n in range(4)])
NOTHING = dict.fromkeys(("created", "updated", "unchanged", "skipped", "failed", "processed"), 0)
LOCK_JOB = "SELECT FROM imports_importjob WHERE id = %s FOR UPDATE"


def make_running_job(owner, content=CONTENT):
    job = check_job(make_job(content, owner=owner))
    assert job.status == Status.RUNNING
    return job


def post(client, job, name):
    return client.post(f"/api/imports/{job.pk}/{name}/")


# --- What is offered ---------------------------------------------------------

OFFERED = {
    Status.QUEUED: ["cancel"],
    Status.CHECKING: ["cancel"],
    Status.MAPPING: ["change", "cancel"],
    Status.READY: ["change", "start", "cancel"],
    Status.RUNNING: ["pause", "cancel"],
    Status.PAUSED: ["resume", "cancel"],
    Status.COMPLETE: [],
    Status.CANCELLED: [],
    Status.FAILED: [],
    Status.UNDOING: [],
    Status.UNDONE: [],
}


def test_each_status_offers_what_it_allows():
    assert {status: list_actions(ImportJob(status=status)) for status in Status} == OFFERED


def test_a_failed_import_offers_a_change_if_other_options_may_correct_it():
    fixable = ImportJob(status=Status.FAILED, error_code="wrong_encoding")
    assert list_actions(fixable) == [Command.CHANGE]


# The status allows the command, but there is nothing that it could do.
NOTHING_CODES = {
    (Command.UNDO, Status.CANCELLED): "nothing_to_undo",
    (Command.UNDO, Status.FAILED): "nothing_to_undo",
    (Command.RETRY, Status.COMPLETE): "nothing_to_retry",
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("status", list(Status))
def test_a_command_succeeds_exactly_in_the_statuses_that_offer_it(alice, name, status):
    job = check_job(make_job(CONTENT, owner=alice, check_first=True))
    ImportJob.objects.filter(pk=job.pk).update(**force(status))
    job.refresh_from_db()
    client = logged_in_client(alice)
    offered = client.get(f"/api/imports/{job.pk}/").json()["actions"]

    response = post(client, job, name)

    assert response.status_code == (202 if name in offered else 409)
    if response.status_code == 202:
        assert response["Location"] == f"/api/imports/{job.pk}/"
        assert job.events.get().command == name
    else:
        body = response.json()
        code = NOTHING_CODES.get((name, status), "not_allowed")
        assert body["code"] == code
        assert body["errors"] == []
        assert body["params"] == {"status": status, "actions": offered}
        told = DONE_ALREADY.get((name, status), JOB_COMMANDS[name].refusal)
        assert code != "not_allowed" or body["message"].startswith(str(told))
        job.refresh_from_db()
        assert (job.status, job.events.count()) == (status, 0)


def force(status, error_code="damaged_file"):
    """Return the fields of an import in this status, whatever the constraints of the table are."""
    final = {Status.COMPLETE, Status.CANCELLED, Status.FAILED, Status.UNDONE}
    return {
        "status": status,
        "finished_at": "2026-11-02T09:15:00Z" if status in final else None,
        "error_code": error_code if status == Status.FAILED else None,
        **({"processed": 4, "created": 4} if status == Status.COMPLETE else {}),
    }


def test_the_addresses_name_every_command(alice):
    job = make_job(CONTENT, owner=alice)

    sent = logged_in_client(alice).get(f"/api/imports/{job.pk}/").json()

    for name in COMMANDS:
        assert sent["urls"][name] == f"/api/imports/{job.pk}/{name}/"


def test_a_list_of_imports_says_what_each_offers_without_a_query_for_each(
    alice, django_assert_max_num_queries
):
    for status in (Status.RUNNING, Status.PAUSED, Status.QUEUED):
        make_moved_job(alice, status)
    client = logged_in_client(alice)

    with django_assert_max_num_queries(8):
        results = client.get("/api/imports/").json()["results"]

    assert {each["status"]: each["actions"] for each in results} == {
        status: OFFERED[status] for status in (Status.RUNNING, Status.PAUSED, Status.QUEUED)
    }


# --- Refusals ----------------------------------------------------------------


def test_every_status_has_a_reason():
    assert STATUS_REASONS.keys() == {*Status}


def test_a_failed_import_says_why_it_has_failed(alice):
    failed = check_job(make_job(make_csv([]), owner=alice))

    message = post(logged_in_client(alice), failed, "pause").json()["message"]

    assert message.startswith("The import was not paused. It has failed. No rows were found.")


def test_codes_of_refusals_reach_the_client_with_their_parameters(alice, monkeypatch):
    def refuse(job, *, by):
        raise TransitionNotAllowed("It was too late.", "other_code", until="2026-11-02")

    command = JOB_COMMANDS[Command.PAUSE]._replace(run=refuse)
    monkeypatch.setitem(job_commands.ALL_COMMANDS, Command.PAUSE, command)
    job = run_import(CONTENT, owner=alice)

    body = post(logged_in_client(alice), job, "pause").json()

    assert body["code"] == "other_code"
    assert body["message"] == "It was too late."
    assert body["params"] == {"until": "2026-11-02", "status": "COMPLETE", "actions": ["undo"]}


def test_a_status_that_changes_while_the_refusal_is_described_asks_for_another_try(alice):
    job = make_moved_job(alice, Status.CHECKING)

    def pause_too_early():
        with job_commands.explain_refusals(Command.PAUSE, job.pk):
            try:
                lifecycle.pause(job)
            finally:
                ImportJob.objects.transition(job.pk, Status.RUNNING)

    with pytest.raises(TransitionNotAllowed, match=r"changed at the same time\. Try again"):
        pause_too_early()


def test_refusals_are_described_as_codes_of_the_api():
    codes = {code.name: code.statuses for code in list_request_codes()}
    assert codes["not_allowed"] == codes["file_not_read"] == (409,)


def test_a_command_for_an_import_that_is_gone_is_404(alice):
    with pytest.raises(ImportJob.DoesNotExist):
        job_commands.run_command(Command.PAUSE, uuid4(), PYTHON)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("permission", "status"), [("control_all", 202), ("view_all", 403), (None, 404)]
)
def test_who_may_give_a_command(alice, name, permission, status):
    sources = {Command.UNDO: Status.COMPLETE, Command.RETRY: Status.FAILED}
    source = sources.get(name, min(JOB_COMMANDS[name].statuses))
    job = check_job(make_job(CONTENT, owner=alice, check_first=True))
    ImportJob.objects.filter(pk=job.pk).update(**force(source, error_code="crashed_reader"))
    user = create_user("uma", *([permission] if permission else ["add_importjob"]))

    assert post(logged_in_client(user), job, name).status_code == status


# --- Races -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pause", "cancel"])
def test_a_command_while_a_batch_is_written_leaves_exact_counts(alice, name, settings):
    settings.IMPORTS_BATCHES_PER_SMALL_FILE = 2
    job = make_running_job(alice, make_csv([make_row(n) for n in range(120)]))
    first, second = job.batches.all()
    apply_batch(job.pk, first.number)
    phone = job.rows.get(number=second.first_row).cleaned[4]
    written = get_counts(job)

    with blocked_worker(apply_batch, job.pk, second.number, phone=phone) as worker:
        answer = post(logged_in_client(alice), job, name)

    assert answer.status_code == 202
    assert worker.result() is None
    assert get_counts(job) == written
    assert Customer.objects.count() == written["created"] == first.rows
    assert job.batches.filter(applied_at=None).get() == second


def test_a_paused_import_that_is_resumed_writes_every_row_once(alice, settings):
    settings.IMPORTS_BATCHES_PER_SMALL_FILE = 4
    job = make_running_job(alice, make_csv([make_row(n) for n in range(200)]))
    client = logged_in_client(alice)
    apply_batch(job.pk, 1)
    assert post(client, job, "pause").json()["status"] == "PAUSED"
    assert apply_batch(job.pk, 2) is None

    assert post(client, job, "resume").json()["status"] == "RUNNING"
    done = apply_all_batches(job.pk)

    assert (done.status, done.created, done.processed) == (Status.COMPLETE, 200, 200)
    assert Customer.objects.count() == 200


@pytest.mark.parametrize("name", ["pause", "cancel"])
def test_a_command_that_waits_for_the_last_batch_is_refused(alice, name):
    """The batch holds the row of the import first, so the import completes."""
    job = make_running_job(alice)
    client = logged_in_client(alice)

    with ThreadPoolExecutor(2) as threads, concurrent_transaction() as cursor:
        cursor.execute(LOCK_JOB, [job.pk])
        batch = threads.submit(call_then_close_connection, apply_batch, job.pk, 1)
        wait_until_blocked(1)
        command = threads.submit(call_then_close_connection, post, client, job, name)
        wait_until_blocked(2)
        cursor.connection.rollback()
        response = command.result(MAX_WAIT_SECONDS)

    assert batch.result().status == Status.COMPLETE
    assert response.status_code == 409
    assert response.json()["params"]["status"] == "COMPLETE"
    assert get_counts(job) == NOTHING | {"created": 4, "processed": 4}
    assert not job.events.exists()


@pytest.mark.parametrize(
    ("name", "status"), [("pause", Status.PAUSED), ("cancel", Status.CANCELLED)]
)
def test_a_last_batch_that_waits_for_a_command_is_rolled_back(alice, name, status):
    """The command holds the row of the import first, so the batch writes nothing."""
    job = make_running_job(alice)
    client = logged_in_client(alice)

    with ThreadPoolExecutor(2) as threads, concurrent_transaction() as cursor:
        cursor.execute(LOCK_JOB, [job.pk])
        command = threads.submit(call_then_close_connection, post, client, job, name)
        wait_until_blocked(1)
        batch = threads.submit(call_then_close_connection, apply_batch, job.pk, 1)
        wait_until_blocked(2)
        cursor.connection.rollback()
        response = command.result(MAX_WAIT_SECONDS)

    assert batch.result() is None
    assert (response.status_code, response.json()["status"]) == (202, status)
    assert get_counts(job) == NOTHING
    assert not Customer.objects.exists()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (Status.RUNNING, ["pause", "pause", "pause", "pause"]),
        (Status.RUNNING, ["cancel", "cancel", "cancel", "cancel"]),
        (Status.PAUSED, ["resume", "resume", "resume", "resume"]),
        (Status.READY, ["start", "start", "start", "start"]),
    ],
)
def test_of_equal_commands_at_the_same_time_one_succeeds(alice, source, names):
    job = prepare(alice, source)

    responses = give_together(alice, job, names)

    assert sorted(response.status_code for response in responses) == [202, 409, 409, 409]
    assert list(job.events.values_list("command", "user__username", "via")) == [
        (names[0], "alice", "rest")
    ]
    for response in responses:
        if response.status_code == 409:
            assert response.json()["code"] == "not_allowed"
            assert response.json()["params"]["status"] != source


@pytest.mark.parametrize(
    ("source", "winner", "loser"),
    [
        (Status.RUNNING, "cancel", "pause"),
        (Status.PAUSED, "cancel", "resume"),
        (Status.READY, "cancel", "start"),
    ],
)
def test_of_a_cancellation_and_another_command_the_first_decides(alice, source, winner, loser):
    """A cancellation that comes second succeeds too, because it is allowed after the other one."""
    job = prepare(alice, source)

    first, second = give_together(alice, job, [winner, loser])

    job.refresh_from_db()
    assert job.status == Status.CANCELLED
    assert first.status_code == 202
    commands = list(job.events.values_list("command", flat=True))
    assert commands == [loser, winner] if second.status_code == 202 else [winner]
    if second.status_code == 409:
        assert second.json()["message"].endswith("upload its file again to import the rest.") or (
            second.json()["params"]["status"] == "CANCELLED"
        )


def prepare(owner, status):
    """Return an import that has something to write, in this status."""
    if status == Status.READY:
        return check_job(make_job(CONTENT, owner=owner, check_first=True))
    job = make_running_job(owner)
    return lifecycle.pause(job) if status == Status.PAUSED else forget_events(job)


def forget_events(job):
    job.events.all().delete()
    return job


def give_together(user, job, names):
    """Give the commands in several threads, which all wait for the row of the import."""
    forget_events(job)
    client, together = logged_in_client(user), Barrier(len(names))

    def give(name):
        together.wait(MAX_WAIT_SECONDS)
        return post(client, job, name)

    with ThreadPoolExecutor(len(names)) as threads, concurrent_transaction() as cursor:
        cursor.execute(LOCK_JOB, [job.pk])
        answers = [threads.submit(call_then_close_connection, give, name) for name in names]
        wait_until_blocked(len(names))
        cursor.connection.rollback()
        return [answer.result(MAX_WAIT_SECONDS) for answer in answers]


# --- Streams -----------------------------------------------------------------


def test_a_stream_sends_pause_and_resume_at_once(alice):
    job = make_running_job(alice)
    # The server asks the database so seldom that only a published message can be in time.
    client = logged_in_client(alice)
    with (
        running_daphne(IMPORTS_STREAM_POLL_SECONDS="600") as server,
        server.stream(job, make_session_cookie(alice)) as stream,
    ):
        assert stream.next().snapshot["status"] == "RUNNING"

        assert post(client, job, "pause").status_code == 202
        assert wait_for_status(stream, "PAUSED")["finished_at"] is None

        assert post(client, job, "resume").status_code == 202
        wait_for_status(stream, "RUNNING")


def wait_for_status(stream, status):
    snapshot = stream.next().snapshot
    while snapshot["status"] != status:
        snapshot = stream.next().snapshot
    return snapshot


# --- History -----------------------------------------------------------------


def list_history(job):
    return list(job.events.values_list("command", "user__username", "via"))


def test_history_names_the_way_of_each_command(alice, root):
    job = prepare(alice, Status.RUNNING)
    page, admin = logged_in_client(alice), logged_in_client(root)

    page.post(reverse("imports:pause", args=[job.pk]))
    admin.post(reverse("admin:imports_importjob_command_resume", args=[job.pk]))
    post(page, job, "pause")
    page.post(reverse("imports:resume", args=[job.pk]))
    admin.post(
        reverse("admin:imports_importjob_changelist"),
        {"action": "cancel", "_selected_action": [job.pk]},
    )

    assert list_history(job) == [
        ("pause", "alice", "page"),
        ("resume", "root", "admin"),
        ("pause", "alice", "rest"),
        ("resume", "alice", "page"),
        ("cancel", "root", "admin"),
    ]


@pytest.mark.parametrize(("header", "via"), [({}, "rest"), ({"X-Imports-Via": "page"}, "page")])
def test_an_upload_by_the_script_of_the_page_came_by_the_page(alice, header, via):
    file = SimpleUploadedFile("customers.csv", CONTENT)
    response = logged_in_client(alice).post(
        "/api/imports/", {"file": file, "importer": "customers"}, headers=header
    )
    assert response.status_code == 202, response.content

    job = ImportJob.objects.get(pk=response.json()["id"])
    assert list_history(job) == [("upload", "alice", via)]


DOWNLOADS = {
    "file/": "original",
    "failed-rows.xlsx": "failed-rows.xlsx",
    "failed-rows.csv": "failed-rows.csv",
}


@pytest.mark.parametrize(("base", "via"), [("/api/imports", "rest"), ("/imports", "page")])
@pytest.mark.parametrize(("path", "file"), DOWNLOADS.items())
def test_downloads_are_events_and_looking_is_none(alice, eve, base, via, path, file):
    job = run_import(make_csv([make_row(1), make_row(2, phone="12")]), owner=alice)
    client = logged_in_client(eve)
    for read in ("", "rows/", "problems/", "history/"):
        client.get(f"/api/imports/{job.pk}/{read}")
    client.head(f"{base}/{job.pk}/{path}").close()
    assert not job.events.exists()

    response = client.get(f"{base}/{job.pk}/{path}")

    # The body is not read yet.
    assert list_history(job) == [("download", "eve", via)]
    assert job.events.get().details == {"file": file}
    response.close()


def test_a_download_that_fails_is_no_event(alice):
    job = run_import(CONTENT, owner=alice)

    assert logged_in_client(alice).get(f"/api/imports/{job.pk}/failed-rows.csv").status_code == 404
    assert not job.events.exists()


def test_rest_lists_the_history_newest_first_in_pages(alice, eve):
    job = prepare(alice, Status.RUNNING)
    lifecycle.pause(job, by=Actor(alice, Via.PAGE))
    lifecycle.resume(job, by=Actor(None, Via.COMMAND_LINE))
    lifecycle.cancel(job, by=Actor(eve, Via.ADMIN))
    client = logged_in_client(eve)

    first = client.get(f"/api/imports/{job.pk}/history/?page_size=2").json()
    second = client.get(first["next"]).json()

    newest, middle = first["results"]
    (oldest,) = second["results"]
    assert (newest["command"], newest["label"]) == ("cancel", "Cancelled the import")
    assert (newest["user"], newest["via"], newest["details"]) == ("eve", "admin", {})
    assert (middle["command"], middle["user"], middle["via"]) == ("resume", None, "command_line")
    assert (oldest["command"], oldest["user"], oldest["via"]) == ("pause", "alice", "page")
    assert newest["at"] > middle["at"] > oldest["at"]
    assert second["next"] is None


@pytest.mark.parametrize("path", ["/api/imports/{}/history/", "/imports/{}/history/"])
def test_only_who_may_see_an_import_may_see_its_history(alice, bob, eve, path):
    job = prepare(alice, Status.RUNNING)

    statuses = [
        logged_in_client(user).get(path.format(job.pk)).status_code for user in (alice, eve, bob)
    ]

    assert statuses == [200, 200, 404]


def test_page_shows_the_history_and_names_a_deleted_user(alice, root):
    job = prepare(alice, Status.RUNNING)
    lifecycle.pause(job, by=Actor(create_user("gus"), Via.REST))
    lifecycle.resume(job, by=Actor(None, Via.SYSTEM))
    lifecycle.cancel(job, by=Actor(None, Via.COMMAND_LINE))
    type(alice).objects.get(username="gus").delete()

    html = logged_in_client(alice).get(reverse("imports:detail", args=[job.pk])).content.decode()
    timeline = (
        logged_in_client(root)
        .get(reverse("admin:imports_importjob_change", args=[job.pk]))
        .content.decode()
    )

    for name, (what, who) in {
        "page": ("Paused the import", "deleted user"),
        "system": ("Resumed the import", "the system"),
        "command line": ("Cancelled the import", "command line"),
    }.items():
        for text in (html, timeline):
            assert what in text, name
            assert who in text, name
    assert html.index("Cancelled the import") < html.index("Resumed the import")
    assert timeline.index("Paused the import") < timeline.index("Cancelled the import")


def test_admin_timeline_has_phases_and_events_in_the_order_of_time(alice, root):
    job = check_job(make_job(CONTENT, owner=alice, check_first=True))
    lifecycle.start(job, by=Actor(alice, Via.PAGE))
    lifecycle.pause(job, by=Actor(alice, Via.PAGE))
    lifecycle.resume(job, by=Actor(alice, Via.PAGE))
    apply_all_batches(job.pk)

    url = reverse("admin:imports_importjob_change", args=[job.pk])
    entries = logged_in_client(root).get(url).context["timeline"]

    labels = [entry.phase.label if entry.phase else entry.event.command for entry in entries]
    events = ["start", "pause", "resume"]
    assert [label for label in labels if label in events] == events
    assert labels.index("Rows checked") < labels.index("start")
    assert labels.index("resume") < labels.index("Complete")


def test_long_history_has_a_page_of_its_own(alice):
    job = prepare(alice, Status.RUNNING)
    for _ in range(6):
        lifecycle.pause(job, by=Actor(alice, Via.PAGE))
        lifecycle.resume(job, by=Actor(alice, Via.PAGE))
    client = logged_in_client(alice)

    page = client.get(reverse("imports:detail", args=[job.pk])).content.decode()
    history = client.get(reverse("imports:history", args=[job.pk])).content.decode()

    assert page.count("Paused the import") + page.count("Resumed the import") == 10
    assert reverse("imports:history", args=[job.pk]) in page
    assert history.count("Paused the import") + history.count("Resumed the import") == 12


def test_history_names_changed_options_and_files(alice):
    job = check_job(make_job(CONTENT, owner=alice, check_first=True))
    lifecycle.check_again(job, {"on_duplicate": "update"}, by=Actor(alice, Via.PAGE))
    check_job(job)
    client = logged_in_client(alice)
    client.get(reverse("imports:file", args=[job.pk])).close()

    html = client.get(reverse("imports:detail", args=[job.pk])).content.decode()

    assert "<b>Changed options</b>: duplicates" in html
    assert "<b>Downloaded data</b>: the uploaded file" in html
