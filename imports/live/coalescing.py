"""Coalescing: how often a stream sends snapshots.

A change of status is sent at once. Other snapshots are sent at most ten times a second at first,
and twice a second later; only the newest snapshot of each import is sent. The last snapshot is
always sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from time import monotonic

from imports.conf import app_settings
from imports.live.hub import Subscriber
from imports.snapshots import Snapshot
from imports.statuses import FINAL_STATUSES

FAST_PHASE_SECONDS = 15  # How long a new stream uses the shorter pause.
FAST_PAUSE_SECONDS = 0.1
SLOW_PAUSE_SECONDS = 0.5


async def iterate_updates(subscriber: Subscriber) -> AsyncGenerator[list[Snapshot], None]:
    """Yield the new snapshots of a subscriber, at most one of each import at a time.

    Yields an empty list after STREAM_PING_SECONDS without a snapshot, so that the stream can send a
    heartbeat. Ends when the subscriber is closed, or after MAX_STREAM_SECONDS.
    """
    started, pause_until = monotonic(), 0.0
    while (age := monotonic() - started) < app_settings.MAX_STREAM_SECONDS:
        seconds_left = app_settings.MAX_STREAM_SECONDS - age
        try:
            async with asyncio.timeout(min(app_settings.STREAM_PING_SECONDS, seconds_left)):
                snapshots = await subscriber.next_snapshots(pause=pause_until - monotonic())
        except TimeoutError:
            yield []
            continue
        if snapshots is None:
            return
        yield snapshots
        is_fast = age < FAST_PHASE_SECONDS
        pause_until = monotonic() + (FAST_PAUSE_SECONDS if is_fast else SLOW_PAUSE_SECONDS)


def is_final(snapshot: Snapshot) -> bool:
    return snapshot["status"] in FINAL_STATUSES
