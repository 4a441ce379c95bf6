"""What a viewer is sent, and when: news at once, then not too often, the last one always."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

from django.conf import settings

from imports.live.hub import Subscriber
from imports.snapshots import Snapshot
from imports.statuses import FINAL_STATUSES

EAGER_SECONDS = 15  # Ten events a second at first, two later.
EAGER_PAUSE, LATER_PAUSE = 0.1, 0.5


async def iterate_updates(viewer: Subscriber) -> AsyncIterator[list[Snapshot]]:
    """What is new, until the viewer has to leave or has watched for long enough.

    An empty list is a quarter of a minute without news: time to show that we are alive.
    """
    began, pause_until = monotonic(), 0.0
    while (age := monotonic() - began) < settings.IMPORT_STREAM_SECONDS:
        left = settings.IMPORT_STREAM_SECONDS - age
        try:
            async with asyncio.timeout(min(settings.IMPORT_PING_SECONDS, left)):
                news = await viewer.next(pause=pause_until - monotonic())
        except TimeoutError:
            yield []
            continue
        if news is None:
            return
        yield news
        pause_until = monotonic() + (EAGER_PAUSE if age < EAGER_SECONDS else LATER_PAUSE)


def is_final(snapshot: Snapshot) -> bool:
    return snapshot["status"] in FINAL_STATUSES
