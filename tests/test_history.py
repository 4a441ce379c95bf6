"""The history of an import: each command with its user and its way, or no entry at all."""

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError

from imports import lifecycle
from imports.history import Actor, Via
from imports.models import ImportEvent
from imports.statuses import Status
from tests.factories import apply_all_batches, check_job, make_csv, make_job, make_row
from tests.processes import upload_in_process

pytestmark = pytest.mark.django_db(transaction=True)


def list_events(job):
    return list(job.events.values_list("command", "user__username", "via"))


def test_each_command_has_an_entry_with_its_user_and_its_way(alice, bob):
    content = make_csv([make_row(n) for n in range(120)])
    job = upload_in_process(alice, content, check_first=True, by=Actor(alice, Via.PAGE))
    check_job(job)
    lifecycle.check_again(job, {"on_duplicate": "update"}, by=Actor(bob, Via.REST))
    check_job(job)
    lifecycle.start(job, by=Actor(alice, Via.ADMIN))
    lifecycle.pause(job, by=Actor(bob, Via.PAGE))
    lifecycle.resume(job, by=Actor(bob, Via.COMMAND_LINE))
    lifecycle.cancel(job)

    assert list_events(job) == [
        ("upload", "alice", "page"),
        ("change", "bob", "rest"),
        ("start", "alice", "admin"),
        ("pause", "bob", "page"),
        ("resume", "bob", "command_line"),
        ("cancel", None, "python"),
    ]
    assert job.events.get(command="change").details == {"options": ["on_duplicate"]}


def test_an_upload_by_code_names_the_owner(alice):
    job = upload_in_process(alice, make_csv([make_row(1)]))

    assert list_events(job) == [("upload", "alice", "python")]


@pytest.mark.parametrize("command", [lifecycle.start, lifecycle.pause, lifecycle.resume])
def test_a_command_that_is_refused_has_no_entry(alice, command):
    job = make_job(make_csv([make_row(1)]), owner=alice)

    with pytest.raises(lifecycle.TransitionNotAllowed):
        command(job)

    assert not ImportEvent.objects.exists()


@pytest.mark.parametrize("command", ["start", "pause", "resume", "cancel", "undo"])
def test_a_command_whose_entry_cannot_be_stored_changes_nothing(alice, command):
    job = check_job(make_job(make_csv([make_row(1)]), owner=alice, check_first=True))
    before = {"pause": ["start"], "resume": ["start", "pause"], "undo": ["start"]}
    for earlier in before.get(command, []):
        getattr(lifecycle, earlier)(job)
    if command == "undo":
        apply_all_batches(job.pk)
    job.refresh_from_db()
    unknown = get_user_model()(pk=alice.pk + 1)

    with pytest.raises(IntegrityError):
        getattr(lifecycle, command)(job, by=Actor(unknown, Via.PYTHON))

    status, version = job.status, job.version
    job.refresh_from_db()
    assert (job.status, job.version) == (status, version)


def test_the_history_outlives_its_users_and_names_nobody_then(alice):
    job = upload_in_process(alice, make_csv([make_row(1)]))

    alice.delete()

    job.refresh_from_db()
    assert job.owner is None
    assert list_events(job) == [("upload", None, "python")]


def test_a_paused_import_writes_nothing_and_a_resumed_one_goes_on(alice):
    job = check_job(make_job(make_csv([make_row(n) for n in range(120)]), owner=alice))
    assert job.status == Status.RUNNING

    paused = lifecycle.pause(job)
    assert (paused.status, paused.processed) == (Status.PAUSED, 0)

    resumed = lifecycle.resume(job)
    assert resumed.status == Status.RUNNING
