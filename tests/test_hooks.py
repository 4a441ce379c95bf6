"""Hooks of importers, and signals: when they are called, how often, and in which order."""

import datetime

import pytest
from django.db.models import F
from django.db.models.functions import Now
from django.urls import reverse

from imports import hooks, lifecycle, signals
from imports.importer import get_importer
from imports.models import HookCall, ImportJob
from imports.pipeline import batch_applier
from imports.snapshots import build_snapshot
from imports.statuses import Hook, Status
from tests.concurrency import concurrent_transaction
from tests.conftest import create_user, logged_in_client
from tests.factories import HEADERS, apply_all_batches, check_job, make_csv, make_job, make_row

pytestmark = pytest.mark.django_db(transaction=True)

PHONE = "+233244000000"


@pytest.fixture
def calls(monkeypatch):
    """The calls of hooks and signals, in their order: name, and the import or the keys."""
    made = []

    def after_batch(ids, context):
        made.append(("after_batch", len(ids), context.import_id))

    def after_import(context):
        made.append(("after_import", context.snapshot["status"], context.import_id))

    def on_started(sender, job, **kwargs):
        made.append(("import_started", sender, job.pk))

    def on_finished(sender, job, **kwargs):
        made.append(("import_finished", job.status, job.pk))

    importer = get_importer("customers")
    monkeypatch.setattr(importer, "after_batch", after_batch, raising=False)
    monkeypatch.setattr(importer, "after_import", after_import, raising=False)
    signals.import_started.connect(on_started)
    signals.import_finished.connect(on_finished)
    yield made
    signals.import_started.disconnect(on_started)
    signals.import_finished.disconnect(on_finished)


def make_customers_job(count=1, **fields):
    return make_job(make_csv([make_row(n) for n in range(count)]), **fields)


def make_due_again():
    """Make all calls due, as if the time to their next attempt were over."""
    HookCall.objects.update(due_at=Now())


def get_names(calls):
    return [name for name, *_ in calls]


def test_an_import_calls_each_hook_once_and_in_order(calls, settings):
    settings.IMPORTS_BATCHES_PER_SMALL_FILE = 2
    job = check_job(make_customers_job(100))
    hooks.call_due_hooks()
    apply_all_batches(job.pk)

    hooks.call_due_hooks()
    hooks.call_due_hooks()

    assert calls == [
        ("import_started", ImportJob, job.pk),
        ("after_batch", 50, job.pk),
        ("after_batch", 50, job.pk),
        ("after_import", "COMPLETE", job.pk),
        ("import_finished", "COMPLETE", job.pk),
    ]
    assert not HookCall.objects.exists()


def test_after_import_gets_the_owner_and_the_snapshot(alice, monkeypatch):
    contexts = []
    importer = get_importer("customers")
    monkeypatch.setattr(importer, "after_import", contexts.append, raising=False)
    job = apply_all_batches(check_job(make_customers_job(3, owner=alice)).pk)

    hooks.call_due_hooks()

    (context,) = contexts
    assert (context.import_id, context.user) == (job.pk, alice)
    expected = build_snapshot(job)
    assert context.snapshot | {"live": None} == expected | {"live": None}


def test_a_cancelled_import_is_finished(calls):
    job = check_job(make_customers_job())
    lifecycle.cancel(job.pk)

    hooks.call_due_hooks()

    assert calls[1:] == [
        ("after_import", "CANCELLED", job.pk),
        ("import_finished", "CANCELLED", job.pk),
    ]


def test_an_import_with_nothing_to_write_is_finished(calls):
    apply_all_batches(check_job(make_customers_job()).pk)
    hooks.call_due_hooks()
    calls.clear()
    job = check_job(make_customers_job(check_first=True))
    assert lifecycle.start(job.pk).status == Status.COMPLETE

    hooks.call_due_hooks()

    assert get_names(calls) == ["import_started", "after_import", "import_finished"]


def test_an_import_that_fails_is_finished_at_each_end(calls):
    job = check_job(make_job(make_csv([])))
    assert (job.status, job.error_code) == (Status.FAILED, "no_rows")
    hooks.call_due_hooks()
    lifecycle.check_again(job.pk, {"on_duplicate": "fail"})
    check_job(job)

    hooks.call_due_hooks()

    assert get_names(calls) == 2 * ["import_started", "after_import", "import_finished"]


def test_an_end_that_is_left_before_its_call_is_left_out(calls):
    job = check_job(make_job(make_csv([])))
    lifecycle.check_again(job.pk, {"on_duplicate": "fail"})

    hooks.call_due_hooks()

    assert get_names(calls) == ["import_started"]
    assert not HookCall.objects.exists()


def test_a_batch_that_rolls_back_calls_no_hook(calls, monkeypatch):
    job = check_job(make_customers_job())
    HookCall.objects.all().delete()

    def fail(batch, counts):
        raise AssertionError

    monkeypatch.setattr(batch_applier, "add_batch_counts", fail)
    with pytest.raises(AssertionError):
        batch_applier.apply_batch(job.pk, 1)

    assert not HookCall.objects.exists()


# --- Failures ----------------------------------------------------------------


def test_a_hook_that_raises_is_called_again_until_it_succeeds(calls, monkeypatch, caplog):
    def fail(context):
        calls.append(("failed",))
        raise ValueError(PHONE)

    importer = get_importer("customers")
    succeed = importer.after_import
    monkeypatch.setattr(importer, "after_import", fail)
    apply_all_batches(check_job(make_customers_job()).pk)
    hooks.call_due_hooks()
    make_due_again()
    hooks.call_due_hooks()
    monkeypatch.setattr(importer, "after_import", succeed)
    make_due_again()
    hooks.call_due_hooks()

    expected = ["import_started", "after_batch", "failed", "import_finished", "failed"]
    assert get_names(calls) == [*expected, "after_import"]
    assert not HookCall.objects.exists()
    assert "after_import of import" in caplog.text
    assert "ValueError" in caplog.text
    assert PHONE not in caplog.text


@pytest.fixture
def failed_call(calls, monkeypatch):
    """A call of `after_import` that has failed once."""

    def fail(context):
        raise ValueError(PHONE)

    monkeypatch.setattr(get_importer("customers"), "after_import", fail)
    apply_all_batches(check_job(make_customers_job()).pk)
    hooks.call_due_hooks()
    return HookCall.objects.get()


def fail_again(call, *, age, attempts):
    """Make another attempt at a call of this age, after so many attempts."""
    HookCall.objects.update(created_at=Now() - age, attempts=attempts - 1, due_at=Now())
    hooks.call_due_hooks()
    call.refresh_from_db()
    return call


def test_a_failed_call_has_its_attempts_and_the_class_of_its_error(failed_call):
    assert (failed_call.attempts, failed_call.error) == (1, "ValueError")
    assert failed_call.gave_up_at is None

    again = fail_again(failed_call, age=datetime.timedelta(minutes=1), attempts=2)

    assert (again.attempts, again.gave_up_at) == (2, None)


def test_a_call_that_fails_for_a_day_is_given_up(failed_call, calls, caplog):
    day = datetime.timedelta(days=1)
    assert fail_again(failed_call, age=day / 2, attempts=20).gave_up_at is None
    # No worker was running for a day: the first attempts are not the last ones.
    assert fail_again(failed_call, age=day, attempts=2).gave_up_at is None

    assert fail_again(failed_call, age=day, attempts=20).gave_up_at is not None

    assert "is given up" in caplog.text
    HookCall.objects.update(due_at=Now())
    assert not hooks.has_due_calls()
    hooks.call_due_hooks()
    failed_call.refresh_from_db()
    assert failed_call.attempts == 20


def test_a_call_that_was_given_up_can_be_made_again(failed_call, calls, monkeypatch):
    fail_again(failed_call, age=datetime.timedelta(days=1), attempts=20)
    made = []
    monkeypatch.setattr(get_importer("customers"), "after_import", made.append)

    assert hooks.call_again(failed_call.job) == 1
    assert hooks.has_due_calls()
    hooks.call_due_hooks()

    assert len(made) == 1
    assert not HookCall.objects.exists()


def test_a_call_that_waits_for_another_is_not_due(calls, monkeypatch):
    def fail(ids, context):
        raise ValueError

    monkeypatch.setattr(get_importer("customers"), "after_batch", fail)
    apply_all_batches(check_job(make_customers_job()).pk)
    hooks.call_due_hooks()

    waiting = HookCall.objects.filter(due_at__lte=Now())
    assert list(waiting.values_list("hook", flat=True)) == ["after_import"]
    assert not hooks.has_due_calls()


def test_page_and_admin_show_a_failed_call(failed_call, root):
    client = logged_in_client(root)
    page = client.get(reverse("imports:detail", args=[failed_call.job_id]))
    assert "after_import has failed 1 time (ValueError)" in page.text
    assert "The next attempt:" in page.text

    fail_again(failed_call, age=datetime.timedelta(days=1), attempts=20)

    page = client.get(reverse("imports:detail", args=[failed_call.job_id]))
    assert "after_import has failed 20 times (ValueError)" in page.text
    assert "It is not called again by itself." in page.text
    change_url = reverse("admin:imports_importjob_change", args=[failed_call.job_id])
    assert "given up" in client.get(change_url).text
    assert PHONE not in page.text

    call_url = reverse("admin:imports_importjob_call_hooks", args=[failed_call.job_id])
    answer = client.post(call_url, follow=True)

    assert "The hooks are called again: customers.csv." in answer.text
    failed_call.refresh_from_db()
    assert (failed_call.attempts, failed_call.gave_up_at) == (0, None)


def test_the_admin_calls_no_hooks_for_a_user_who_only_views(failed_call):
    viewer = create_user("viewer", "view_importjob", "view_all", is_staff=True)
    call_url = reverse("admin:imports_importjob_call_hooks", args=[failed_call.job_id])

    assert logged_in_client(viewer).post(call_url).status_code == 403

    failed_call.refresh_from_db()
    assert failed_call.attempts == 1


def test_a_test_of_an_importer_sees_the_exception_of_a_hook(calls, monkeypatch):
    def fail(ids, context):
        raise LookupError

    monkeypatch.setattr(get_importer("customers"), "after_batch", fail)
    apply_all_batches(check_job(make_customers_job()).pk)

    with pytest.raises(LookupError):
        hooks.call_due_hooks(should_raise=True)

    assert HookCall.objects.filter(hook=Hook.AFTER_BATCH).exists()


def test_after_import_waits_until_after_batch_has_succeeded_for_every_batch(calls, monkeypatch):
    def fail(ids, context):
        raise ValueError

    importer = get_importer("customers")
    succeed = importer.after_batch
    monkeypatch.setattr(importer, "after_batch", fail)
    apply_all_batches(check_job(make_customers_job()).pk)
    hooks.call_due_hooks()
    assert get_names(calls) == ["import_started", "import_finished"]

    monkeypatch.setattr(importer, "after_batch", succeed)
    make_due_again()
    hooks.call_due_hooks()

    assert get_names(calls)[2:] == ["after_batch", "after_import"]


def test_a_call_under_way_is_not_made_by_another_worker(calls, settings):
    apply_all_batches(check_job(make_customers_job()).pk)
    hooks.call_due_hooks()
    calls.clear()
    job = ImportJob.objects.get()
    HookCall.objects.create(job=job, hook=Hook.AFTER_IMPORT)

    claimed = hooks._claim_call(None)  # A worker that makes the call, or crashes during it.
    hooks.call_due_hooks()
    assert (claimed.hook, calls) == ("after_import", [])

    settings.IMPORTS_HOOK_TIMEOUT_SECONDS = 0
    HookCall.objects.update(due_at=Now())
    hooks.call_due_hooks()
    assert get_names(calls) == ["after_import"]


def test_a_call_that_another_worker_is_claiming_is_skipped(calls):
    apply_all_batches(check_job(make_customers_job()).pk)
    with concurrent_transaction() as cursor:
        cursor.execute("SELECT FROM imports_hookcall FOR UPDATE")

        hooks.call_due_hooks()

        assert calls == []


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (datetime.timedelta(0), 60),
        (datetime.timedelta(minutes=5), 300),
        (datetime.timedelta(days=2), 3_600),
    ],
)
def test_the_time_to_the_next_attempt_doubles_up_to_an_hour(calls, age, expected):
    apply_all_batches(check_job(make_customers_job()).pk)
    HookCall.objects.update(created_at=Now() - age)

    hooks._claim_call(None)

    call = HookCall.objects.annotate(wait=F("due_at") - Now()).order_by("pk").first()
    assert call.wait.total_seconds() == pytest.approx(expected, abs=5)


def test_a_receiver_that_raises_stops_nothing(calls, caplog):
    def fail(sender, **kwargs):
        raise ValueError(PHONE)

    def see(sender, **kwargs):
        calls.append(("seen",))

    signals.import_finished.connect(fail)
    signals.import_finished.connect(see)
    try:
        apply_all_batches(check_job(make_customers_job()).pk)
        hooks.call_due_hooks()
    finally:
        signals.import_finished.disconnect(fail)
        signals.import_finished.disconnect(see)

    assert get_names(calls)[-2:] == ["import_finished", "seen"]
    assert not HookCall.objects.exists()
    assert "fail raised ValueError" in caplog.text
    assert PHONE not in caplog.text


def test_hooks_of_an_importer_that_is_no_longer_installed_are_dropped(calls):
    apply_all_batches(check_job(make_customers_job()).pk)
    ImportJob.objects.update(importer="gone")

    hooks.call_due_hooks()

    assert get_names(calls) == ["import_started", "import_finished"]
    assert not HookCall.objects.exists()


def test_hooks_of_other_imports_are_left_to_their_workers(calls):
    first = apply_all_batches(check_job(make_customers_job()).pk)
    content = make_csv([make_row(5)], HEADERS)
    second = apply_all_batches(check_job(make_job(content)).pk)

    hooks.call_due_hooks(second.pk)

    assert {pk for *_, pk in calls} == {second.pk}
    assert HookCall.objects.filter(job=first).exists()
