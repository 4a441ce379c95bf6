"""Batching of the database queries that streams make in the same moment.

Queries that wait at the same time share one thread and its connection. After a restart of the
server, hundreds of browsers reconnect within a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from channels.db import database_sync_to_async
from django.db import connections

MAX_QUERIES_PER_BATCH = 20

QueryValue = TypeVar("QueryValue")
Query = Callable[[], object]
QueryResult = tuple[object, Exception | None]  # The return value, or the exception.


class QueryBatcher:
    """Runs functions that query the database, several of them in one thread after each other."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Query, asyncio.Future[Any]]] = []
        self.task: asyncio.Task[None] | None = None

    async def run(self, query: Callable[[], QueryValue]) -> QueryValue:
        """Call `query` in a thread that may use the database, and return its result.

        Raises:
            Exception: Whatever `query` raises, or why the database cannot be reached.
        """
        future: asyncio.Future[QueryValue] = asyncio.get_running_loop().create_future()
        self.waiting.append((query, future))
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._run_waiting())
        return await future

    async def _run_waiting(self) -> None:
        while self.waiting:
            batch = self.waiting[:MAX_QUERIES_PER_BATCH]
            self.waiting = self.waiting[MAX_QUERIES_PER_BATCH:]
            results: list[QueryResult]
            try:
                results = await database_sync_to_async(run_all)([query for query, _ in batch])
            except Exception as failure:  # Every future must get a result, or its stream hangs.
                results = [(None, failure)] * len(batch)
            for (_, future), (value, error) in zip(batch, results, strict=True):
                if future.done():
                    continue  # The client disconnected while its query waited.
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(value)


def run_all(queries: list[Query]) -> list[QueryResult]:
    """Run the queries one after another. No connection stays open for the streams between them.

    A connection stays open within a transaction of the caller, as in tests of a project.
    """
    try:
        return [run_one(query) for query in queries]
    finally:
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()


def run_one(query: Query) -> QueryResult:
    try:
        return query(), None
    except Exception as error:
        return None, error
