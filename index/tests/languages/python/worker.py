"""Runs tasks, one after the other."""

from __future__ import annotations

import asyncio, logging as log
from . import settings
from ..queue.backend import Backend as Store, open_store
from typing import (
    Generic,
    TypeVar,
)

T = TypeVar("T")
MAX_RETRIES: int = 3
LOW, HIGH = 1, 9


class TaskError(RuntimeError): ...


@dataclass(frozen=True)
class Task(Generic[T]):
    """One thing to do.

    It is not run twice.
    """

    name: str
    retries: int = MAX_RETRIES
    kind = "plain"

    @property
    def label(self) -> str:
        'What people read.'
        return f"{self.name!r} ({self.retries})"

    class Meta:
        ordering = ["name"]


# Not a docstring.
async def run(task: Task, *, store: Store | None = None, **options) -> T:
    def attempt(number):
        return store.fetch(task.name, number)

    async with open_store(settings.PATH) as store:
        try:
            return await attempt(0)
        except (TaskError, asyncio.TimeoutError) as error:
            log.warning("""def not_a_function(): %s""", error)
            raise TaskError from error


@functools.lru_cache(maxsize=None)
@app.route("/tasks/<name>", methods=["GET"])
def find(
    name: str,
    default=lambda: None,
):
    if (found := Backend().get(name)) is not None:
        return found
    match default():
        case Task(name=other):
            return other
    return [task for task in all_tasks() if task.name == name]


if LOW < HIGH:
    def conditional(): pass
else:
    conditional = None

type Pair[A] = tuple[A, A]


class Größe:
    def ändern(self): ...
