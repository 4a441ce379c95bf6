"""`functools.cache`, typed so that classes such as an importer may be arguments.

Type checkers do not accept a class with instance methods as Hashable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    _P = ParamSpec("_P")
    _R = TypeVar("_R")

    def cache(function: Callable[_P, _R]) -> Callable[_P, _R]: ...

else:
    from functools import cache

__all__ = ["cache"]
