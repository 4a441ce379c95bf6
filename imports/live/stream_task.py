"""What the consumers of both protocols share: the task that sends the snapshots of a stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asgiref.typing import ASGIReceiveCallable, ASGISendCallable


class StreamTaskMixin:
    """Cancels `stream_task` when the connection ends. Put it before the class of Channels."""

    # Without it, every connection would open a channel of its own.
    channel_layer_alias = "none"

    stream_task: asyncio.Task[None] | None = None

    async def __call__(
        self, scope: dict[str, Any], receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        try:
            await super().__call__(scope, receive, send)  # type: ignore[misc]  # Of Channels.
        finally:  # The client has disconnected, or the server stops.
            if self.stream_task is not None:
                self.stream_task.cancel()
                await asyncio.wait([self.stream_task])
