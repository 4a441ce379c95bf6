"""All ways to watch at once: the same snapshots, and none of anybody else's."""

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from django.db import connections
from rest_framework_simplejwt.tokens import AccessToken
from websockets.sync.client import connect

from imports.models import ImportJob
from imports.statuses import FINAL_STATUSES
from tests.factories import make_csv, make_row
from tests.processes import upload_in_process, worker
from tests.streams import MAX_WAIT_SECONDS, Stream, running_daphne

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = 3_000


def by_events(port, path, headers, job_id):
    """Snapshots of a stream, or of the feed until this import has ended."""
    seen = []
    with Stream(port, path, **headers) as stream:
        while event := stream.next():
            seen.append(event.snapshot)
            if event.snapshot["id"] == job_id and event.snapshot["status"] in FINAL_STATUSES:
                break
    return seen


def by_socket(port, headers, job_id):
    address = f"ws://127.0.0.1:{port}/ws/imports/{job_id}/"
    with connect(address, additional_headers=headers, open_timeout=MAX_WAIT_SECONDS) as socket:
        return [json.loads(message) for message in socket]


def by_polling(port, headers, job_id):
    seen = []
    address = f"http://127.0.0.1:{port}"
    with httpx.Client(
        base_url=address, headers=headers, timeout=MAX_WAIT_SECONDS, trust_env=False
    ) as client:
        while not seen or seen[-1]["status"] not in FINAL_STATUSES:
            seen.append(client.get(f"/api/imports/{job_id}/").raise_for_status().json())
    return seen


def test_streams_sockets_the_feed_and_rest_tell_the_same(alice, bob):
    headers = {"Authorization": f"Bearer {AccessToken.for_user(alice)}"}
    rows = [make_row(n) for n in range(PEOPLE)]
    with running_daphne() as server, ThreadPoolExecutor(4) as threads:
        upload_in_process(bob, make_csv([make_row(n) for n in range(PEOPLE, 2 * PEOPLE)]))
        job = upload_in_process(alice, make_csv(rows))
        port, job_id = server.port, str(job.pk)
        events = f"/api/imports/{job_id}/events/"
        watching = [
            threads.submit(by_events, port, events, headers, job_id),
            threads.submit(by_events, port, "/api/imports/events/", headers, job_id),
            threads.submit(by_socket, port, headers, job_id),
            threads.submit(by_polling, port, headers, job_id),
        ]
        with worker():
            seen = [each.result(60) for each in watching]
    connections.close_all()

    known = defaultdict(set)
    for snapshots in seen:
        versions = [one["version"] for one in snapshots]
        assert versions == sorted(versions)
        assert {one["id"] for one in snapshots} == {job_id}
        assert snapshots[-1]["status"] == "COMPLETE"
        assert snapshots[-1]["created"] == PEOPLE
        for one in snapshots:
            known[one["version"]].add(lasting(one, seen[0][0]))
    assert all(len(same) == 1 for same in known.values())
    assert ImportJob.objects.count() == 2


def lasting(snapshot, fields):
    """What a version stands for: all but what is true only now."""
    return json.dumps({name: snapshot[name] for name in fields if name != "live"})
