"""Run requests in threads that are kept, so that their database connections can be kept, too.

Django's ASGI handler runs the synchronous code of a request in a thread of its own, which ends with
the request. A connection of the thread ends, too, and to open one takes longer than most requests.
Here a request takes a thread that an earlier request has left. The setting CONN_MAX_AGE of Django
then holds as it does under WSGI: with 0, which is its default, each request opens a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext
from django.db import close_old_connections, connections

from imports.conf import app_settings

ASGIApplication = Callable[[Any, Any, Any], Awaitable[Any]]


class RequestThreads:
    """Threads that wait for requests: at most as many as requests that run at the same time."""

    def __init__(self) -> None:
        self._idle: list[ThreadPoolExecutor] = []

    def take(self) -> ThreadPoolExecutor:
        """Return an executor of one thread, which nobody else uses."""
        try:
            return self._idle.pop()
        except IndexError:
            return ThreadPoolExecutor(1, thread_name_prefix="request")

    async def give_back(self, executor: ThreadPoolExecutor) -> None:
        """Wait until the thread has nothing more to do, and keep it.

        The code of a request whose client is gone may still run, and may call the event loop. So
        the wait goes on if it is cancelled, as that of Django's handler does. Otherwise the event
        loop could stop, and the thread would wait for it forever.
        """
        last = executor.submit(close_old_connections)
        try:
            await _wait_even_if_cancelled(last)
        finally:
            has_space = len(self._idle) < app_settings.SERVER_MAX_CONCURRENT_REQUESTS
            if has_space and last.exception() is None:
                self._idle.append(executor)
            else:
                executor.submit(connections.close_all)
                executor.shutdown(wait=False)


async def _wait_even_if_cancelled(future: Future[None]) -> None:
    """Wait until the future is done.

    Raises:
        CancelledError: The wait was cancelled. The future is done.
    """
    is_cancelled = False
    while not future.done():
        try:
            await asyncio.wait([asyncio.wrap_future(future)])
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        raise asyncio.CancelledError


def reuse_threads(application: ASGIApplication) -> ASGIApplication:
    """Return an ASGI application that runs each HTTP request in a thread that is kept."""
    threads = RequestThreads()

    async def application_with_threads(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        executor = threads.take()
        try:
            async with ThreadSensitiveContext(executor=executor):
                await application(scope, receive, send)
        finally:
            await threads.give_back(executor)

    return application_with_threads
