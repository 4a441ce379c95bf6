"""Workers are killed before, during and after a hook: each hook is called at least once."""

import pytest
from django.contrib.auth.models import Permission

from customers.models import Customer
from imports.models import HookCall
from tests.factories import make_csv
from tests.fault_points import after_hook, block_at, during_hook
from tests.invariants import wait_until_end
from tests.parcels.models import HookRecord, Parcel
from tests.processes import flush_redis, site, upload_in_process, wait_for, wait_until_final, worker

pytestmark = pytest.mark.django_db(transaction=True)

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.settings"}  # They install the app with the hooks.
HOOKS = ["import_started", "after_batch", "after_import", "import_finished"]


@pytest.fixture(autouse=True)
def _flush_redis():
    flush_redis()


@pytest.fixture
def content(alice):
    # Each row names the customer, so the owner must be allowed to see it.
    alice.user_permissions.add(Permission.objects.get(codename="view_customer"))
    Customer.objects.create(
        shipping_mark="ANN", first_name="A", last_name="A", phone="+233244000001"
    )
    rows = [["ANN", str(n), "1"] for n in range(120)]
    return make_csv(rows, ["Mark", "Number", "Weight"])


def list_records():
    return list(HookRecord.objects.order_by("pk").values_list("hook", flat=True))


def wait_until_hooks_are_called():
    wait_for(lambda: not HookCall.objects.exists())


def assert_in_order(records):
    """Assert that every batch was followed up before the import was."""
    assert set(records) == set(HOOKS)
    last_batch = max(place for place, hook in enumerate(records) if hook == "after_batch")
    assert last_batch < records.index("after_import")


def test_a_worker_calls_each_hook_once(alice, web_server, content):
    with site(alice, web_server) as web, worker(**SETTINGS):
        job = upload_in_process(alice, content, importer="parcels")
        wait_until_final(job)
        wait_until_hooks_are_called()
        wait_until_end(web.watch(job))

    records = list_records()
    assert_in_order(records)
    assert records.count("after_batch") == job.batches.count() > 1
    assert [records.count(hook) for hook in HOOKS if hook != "after_batch"] == [1, 1, 1]


@pytest.mark.parametrize("hook", ["after_batch", "after_import", "import_finished"])
def test_a_hook_is_called_again_if_its_worker_is_killed_during_the_call(
    alice, web_server, content, hook
):
    with block_at(during_hook(hook)) as gate, site(alice, web_server) as web:
        with worker(**SETTINGS) as first:
            job = upload_in_process(alice, content, importer="parcels")
            watcher = web.watch(job)
            gate.wait_until_reached()
            first.kill()
            gate.terminate_sessions()
        assert hook not in list_records()
        gate.open()
        with worker(**SETTINGS):
            wait_until_final(job)
            wait_until_hooks_are_called()
            wait_until_end(watcher, crashes=(0, 1, 2))

    assert_in_order(list_records())
    assert Parcel.objects.count() == 120


@pytest.mark.parametrize("hook", ["import_started", "after_batch"])
def test_a_hook_is_called_again_if_its_worker_is_killed_before_the_call_is_done(
    alice, web_server, content, hook
):
    with block_at(after_hook(hook)) as gate, site(alice, web_server) as web:
        with worker(**SETTINGS) as first:
            job = upload_in_process(alice, content, importer="parcels")
            watcher = web.watch(job)
            gate.wait_until_reached()
            first.kill()
            gate.terminate_sessions()
        records_before = list_records().count(hook)
        assert records_before >= 1
        gate.open()
        with worker(**SETTINGS):
            wait_until_final(job)
            wait_until_hooks_are_called()
            wait_until_end(watcher, crashes=(0, 1, 2))

    assert_in_order(list_records())
    assert list_records().count(hook) > records_before
