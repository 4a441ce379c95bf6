"""Publishing of snapshots to Redis, for the web processes that stream them to browsers."""

from __future__ import annotations

import json
import logging
import time
from functools import cache, partial

from django.db import Error
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from imports.broker import is_sending_disabled
from imports.conf import app_settings
from imports.models import ImportJob
from imports.postgres import on_commit
from imports.snapshots import build_snapshot

log = logging.getLogger(__name__)

PAUSE_SECONDS = 5  # After a failure, nothing is published for this long.
PUBLISH_TIMEOUT_SECONDS = 0.25

_paused_until = 0.0


def get_channel(job: ImportJob) -> str:
    """Return the Redis channel of an import: `imports:{owner}:{job}`.

    The primary key of the owner may be any text. It is empty for an import without an owner.
    """
    owner = "" if job.owner_id is None else job.owner_id
    return f"imports:{owner}:{job.id}"


def publish(job: ImportJob) -> None:
    """Publish the newest snapshot of an import. Never raises, and takes under a second.

    Best effort: the hub also polls the database every two seconds, so a lost message delays a
    client but never misleads it. The snapshot of a preview is not published, because feeds leave
    previews out.
    """
    global _paused_until
    if time.monotonic() < _paused_until or is_sending_disabled() or job.is_preview:
        return
    try:
        _redis().publish(get_channel(job), json.dumps(build_snapshot(job)))
    except (RedisError, OSError, Error) as error:
        _paused_until = time.monotonic() + PAUSE_SECONDS
        log.warning("progress not published for %s s: %s", PAUSE_SECONDS, type(error).__name__)


def publish_after_commit(job: ImportJob) -> None:
    """Publish the snapshot of an import when the caller's transaction, if there is one, commits."""
    on_commit(partial(publish, job))


@cache
def _redis() -> Redis:
    return Redis.from_url(
        app_settings.REDIS_URL,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=PUBLISH_TIMEOUT_SECONDS,
        socket_connect_timeout=PUBLISH_TIMEOUT_SECONDS,
    )
