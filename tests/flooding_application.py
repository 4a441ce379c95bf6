"""An ASGI application that sends more than the buffers of any kernel take.

`/report/` returns as JSON how many bytes it has sent at each path, and whether it has ended there.
"""

from __future__ import annotations

import asyncio
import json

CHUNK = b"x" * 65_536
TOTAL_BYTES = 2_000 * len(CHUNK)
HEADERS = {
    "/download/": [(b"Content-Length", str(TOTAL_BYTES).encode())],
    "/large/": [],  # One message.
    "/events/": [(b"Content-Type", b"text/event-stream")],
}

report: dict[str, dict[str, int | bool]] = {}


async def application(scope, receive, send):
    await receive()  # The request, or that a WebSocket connects.
    if scope["path"] == "/report/":
        await respond(send, json.dumps(report).encode())
        return
    report[scope["path"]] = {"sent_bytes": 0, "has_ended": False}
    # The next thing that the client does: it disconnects, or it sends a message.
    next_message = asyncio.create_task(receive())
    is_websocket = scope["type"] == "websocket"
    if is_websocket:
        await send({"type": "websocket.accept"})
        message = {"type": "websocket.send", "bytes": CHUNK}
    else:
        headers = HEADERS[scope["path"]]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        body = CHUNK * (TOTAL_BYTES // len(CHUNK)) if scope["path"] == "/large/" else CHUNK
        message = {"type": "http.response.body", "body": body, "more_body": True}
    await send_all(scope["path"], message, send, next_message)
    if is_websocket and "text" in await next_message:
        await send({"type": "websocket.send", "text": "received"})


async def send_all(path, message, send, next_message):
    while report[path]["sent_bytes"] < TOTAL_BYTES:
        await send(message)
        await asyncio.sleep(0)  # Let `next_message` end.
        if next_message.done():
            break
        report[path]["sent_bytes"] += len(CHUNK)
    report[path]["has_ended"] = True


async def respond(send, body):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
