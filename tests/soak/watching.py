"""A client that watches one import by server-sent events, and reconnects as a browser does."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from uuid import UUID

from tests.streams import PING, Stream

RECONNECT_SECONDS = 0.2
# Errors of a connection that is cut, or of a server that is not available for a moment.
CONNECTION_ERRORS = (OSError, http.client.HTTPException, ValueError)


class Watcher:
    """Reads the stream of one import in a thread until it is stopped.

    `get_drops` returns a number that rises when the client shall drop its connection.
    """

    def __init__(self, port: int, job_id: UUID, cookie: str, get_drops: Callable[[], int]) -> None:
        self.path = f"/api/imports/{job_id}/events/"
        self.port, self.cookie, self.get_drops = port, cookie, get_drops
        self.snapshots: list[dict] = []
        self.last_problem = ""  # Why the client has no stream.
        self.stop_requested = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @property
    def version(self) -> int:
        """The newest version that the client has seen; 0 if it has seen none."""
        return self.snapshots[-1]["version"] if self.snapshots else 0

    def stop(self) -> None:
        self.stop_requested.set()
        self.thread.join()

    def _run(self) -> None:
        while not self.stop_requested.wait(RECONNECT_SECONDS):
            try:
                self._read_stream()
            except CONNECTION_ERRORS as error:
                self.last_problem = repr(error)

    def _read_stream(self) -> None:
        drops = self.get_drops()
        last_event_id = self.version or None
        with closing(
            Stream(self.port, self.path, self.cookie, last_event_id=last_event_id)
        ) as stream:
            if stream.status != http.client.OK:
                self.last_problem = f"status {stream.status}"
                return
            while (event := stream.next(pings=True)) is not None:
                if event is not PING:
                    self.snapshots.append(event.snapshot)
                if self.stop_requested.is_set() or self.get_drops() != drops:
                    return


def find_steps_back(snapshots: list[dict]) -> Iterator[str]:
    """Yield a sentence for each snapshot that is older than the one before it."""
    for before, after in pairwise(snapshots):
        if after["version"] < before["version"]:
            yield f"Version {after['version']} came after version {before['version']}."
        is_same_run = after["run"] == before["run"]
        if is_same_run and after["progress_percent"] < before["progress_percent"]:
            yield (
                f"In run {after['run']}, {after['progress_percent']} % came after "
                f"{before['progress_percent']} %."
            )
