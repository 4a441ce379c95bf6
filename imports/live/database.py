"""What streams ask of the database: those who wait at the same time share one connection.

The web process keeps no connection, and making one takes longer than most questions. After
a restart hundreds of browsers come back in the same second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from channels.db import database_sync_to_async

AT_ONCE = 20

QueryValue = TypeVar("Answer")
QueryResult = tuple[Any, Exception | None]


class QueryBatcher:
    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self.work: asyncio.Task[None] | None = None

    async def ask(self, question: Callable[[], QueryValue]) -> QueryValue:
        """What `question` returns or raises, in the thread that speaks to the database."""
        answer = asyncio.get_running_loop().create_future()
        self.waiting.append((question, answer))
        if self.work is None or self.work.done():
            self.work = asyncio.create_task(self.answer())
        return await answer

    async def answer(self) -> None:
        while self.waiting:
            now, self.waiting = self.waiting[:AT_ONCE], self.waiting[AT_ONCE:]
            try:
                outcomes = await database_sync_to_async(ask_all)([question for question, _ in now])
            except Exception as error:  # Whoever waits must not wait for ever.
                outcomes = [(None, error)] * len(now)
            for (_, answer), (result, error) in zip(now, outcomes, strict=True):
                if answer.done():
                    continue  # The tab was closed meanwhile.
                if error is not None:
                    answer.set_exception(error)
                else:
                    answer.set_result(result)


def ask_all(questions: list[Callable[[], Any]]) -> list[QueryResult]:
    return [ask_one(question) for question in questions]


def ask_one(question: Callable[[], Any]) -> QueryResult:
    try:
        return question(), None
    except Exception as error:
        return None, error
