"""All ways to follow an import at the same time: the same snapshots, and none of other imports."""

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

ROWS = 3_000


def read_events(port, path, headers, job_id):
    """Return the snapshots of a stream, or of the feed until the import has ended."""
    snapshots = []
    with Stream(port, path, **headers) as stream:
        while event := stream.next():
            snapshots.append(event.snapshot)
            if event.snapshot["id"] == job_id and event.snapshot["status"] in FINAL_STATUSES:
                break
    return snapshots


def read_websocket(port, headers, job_id):
    address = f"ws://127.0.0.1:{port}/ws/imports/{job_id}/"
    with connect(address, additional_headers=headers, open_timeout=MAX_WAIT_SECONDS) as socket:
        return [json.loads(message) for message in socket]


def poll_rest(port, headers, job_id):
    snapshots = []
    address = f"http://127.0.0.1:{port}"
    with httpx.Client(
        base_url=address, headers=headers, timeout=MAX_WAIT_SECONDS, trust_env=False
    ) as client:
        while not snapshots or snapshots[-1]["status"] not in FINAL_STATUSES:
            snapshots.append(client.get(f"/api/imports/{job_id}/").raise_for_status().json())
    return snapshots


def test_streams_websockets_the_feed_and_rest_show_the_same_snapshots(alice, bob):
    headers = {"Authorization": f"Bearer {AccessToken.for_user(alice)}"}
    rows = [make_row(n) for n in range(ROWS)]
    with running_daphne() as server, ThreadPoolExecutor(4) as threads:
        upload_in_process(bob, make_csv([make_row(n) for n in range(ROWS, 2 * ROWS)]))
        job = upload_in_process(alice, make_csv(rows))
        port, job_id = server.port, str(job.pk)
        events = f"/api/imports/{job_id}/events/"
        readers = [
            threads.submit(read_events, port, events, headers, job_id),
            threads.submit(read_events, port, "/api/imports/events/", headers, job_id),
            threads.submit(read_websocket, port, headers, job_id),
            threads.submit(poll_rest, port, headers, job_id),
        ]
        with worker():
            results = [reader.result(60) for reader in readers]
    connections.close_all()

    contents_by_version = defaultdict(set)
    for snapshots in results:
        versions = [snapshot["version"] for snapshot in snapshots]
        assert versions == sorted(versions)
        assert {snapshot["id"] for snapshot in snapshots} == {job_id}
        assert snapshots[-1]["status"] == "COMPLETE"
        assert snapshots[-1]["created"] == ROWS
        for snapshot in snapshots:
            content = get_versioned_content(snapshot, results[0][0])
            contents_by_version[snapshot["version"]].add(content)
    assert all(len(contents) == 1 for contents in contents_by_version.values())
    assert ImportJob.objects.count() == 2


def get_versioned_content(snapshot, fields):
    """Return all of a snapshot except the live state, which changes without a new version."""
    return json.dumps({name: snapshot[name] for name in fields if name != "live"})
