"""The status of an import: the allowed transitions, their atomicity, and the constraints."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import IntegrityError

from imports import lifecycle
from imports.models import ImportJob, TransitionNotAllowed
from imports.statuses import ALLOWED_TRANSITIONS, FINAL_STATUSES, Status, get_source_statuses
from tests.concurrency import call_then_close_connection
from tests.factories import make_csv, make_job, make_row

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def job():
    return make_job(make_csv([make_row(1)]))


def force_status(job, status, **fields):
    """Set a status without a transition. The constraints of the database still apply."""
    required = {"error_code": "no_rows"} if status == Status.FAILED else {}
    if status in FINAL_STATUSES:
        required["finished_at"] = job.created_at
    if status == Status.COMPLETE:
        required["total"] = 0
    ImportJob.objects.filter(pk=job.pk).update(status=status, **required, **fields)


@pytest.mark.parametrize("source", Status)
@pytest.mark.parametrize("target", [status for status in Status if get_source_statuses(status)])
def test_exactly_the_allowed_transitions_are_possible(job, source, target):
    force_status(job, source)
    if target == Status.COMPLETE:
        ImportJob.objects.filter(pk=job.pk).update(total=0)

    def transition():
        return ImportJob.objects.transition(job.pk, target, error_code="no_rows")

    if target in ALLOWED_TRANSITIONS[source]:
        assert transition().status == target
    else:
        with pytest.raises(TransitionNotAllowed, match=f"{source} cannot become {target}"):
            transition()
        assert ImportJob.objects.get(pk=job.pk).status == source


def test_a_transition_increases_the_version_and_keeps_the_times(job):
    checking = ImportJob.objects.transition(job.pk, Status.CHECKING)
    cancelled = ImportJob.objects.transition(job.pk, Status.CANCELLED)

    assert [checking.version, cancelled.version] == [2, 3]
    assert checking.started_at == cancelled.started_at
    assert checking.finished_at is None
    assert cancelled.finished_at is not None


def test_one_of_several_simultaneous_cancellations_succeeds(job):
    barrier = Barrier(8)

    def cancel():
        barrier.wait()
        lifecycle.cancel(job.pk)

    with ThreadPoolExecutor(8) as threads:
        results = [threads.submit(call_then_close_connection, cancel) for _ in range(8)]

    assert sum(result.exception() is None for result in results) == 1
    assert all(isinstance(e, TransitionNotAllowed) for r in results if (e := r.exception()))


@pytest.mark.parametrize("status", [s for s in Status if s != Status.READY])
def test_only_an_import_that_is_ready_can_be_started(job, status):
    force_status(job, status)

    with pytest.raises(TransitionNotAllowed):
        lifecycle.start(job.pk)

    assert ImportJob.objects.get(pk=job.pk).status == status


@pytest.mark.parametrize(
    "impossible",
    [
        {"created": 1},
        {"processed": 1},
        {"total": 5},
        {"status": "DONE"},
        {"status": Status.COMPLETE, "total": None, "finished_at": "2026-01-01T00:00Z"},
        {"status": Status.CANCELLED},
        {"status": Status.FAILED, "finished_at": "2026-01-01T00:00Z"},
        {"finished_at": "2026-01-01T00:00Z"},
        {"progress_percent": 100},
        {"failed": -1, "created": 1},
        {"checked": 1, "total": 1, "processed": 2, "created": 2},
    ],
    ids=str,
)
def test_a_constraint_rejects_an_impossible_import(job, impossible):
    with pytest.raises(IntegrityError):
        ImportJob.objects.filter(pk=job.pk).update(**impossible)
