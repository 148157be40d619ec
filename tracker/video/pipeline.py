"""Work beside the caller's: frames are read before they are wanted, and written while it goes on.

Either takes one thread and a bounded number of items. Order is kept, so results do not depend on
timing; an error in the thread is raised where the caller next meets it; and an error of the
caller's, Ctrl-C too, ends the thread with the item that it is at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """Loads the next items of an order of indices, at most `at_most` before they are taken.

    What is taken out of order is loaded on the spot. Close it when done (`contextlib.closing`).

    Args:
        load: makes the item of an index; is called by two threads.
    """

    def __init__(self, load: Callable[[int], T], order: range, at_most: int) -> None:
        self._load, self._order, self._at_most = load, order, at_most
        self._thread = ThreadPoolExecutor(1, "read-ahead")
        self._coming: dict[int, Future[T]] = {}

    def take(self, index: int) -> T:
        """`load(index)`, or what it raises."""
        coming = self._coming.pop(index, None)
        item = self._load(index) if coming is None else coming.result()
        if index in self._order:
            place = self._order.index(index) + 1
            self._expect(self._order[place : place + self._at_most])
        return item

    def _expect(self, wanted: range) -> None:
        for index in [i for i in self._coming if i not in wanted]:
            self._coming.pop(index).cancel()
        for index in wanted:
            if index not in self._coming:
                self._coming[index] = self._thread.submit(self._load, index)

    def close(self) -> None:
        """End the thread, once it has loaded what it is at."""
        self._thread.shutdown(cancel_futures=True)


class WriteBehind(Generic[T]):
    """A context manager that hands items to `write` in order, at most `at_most` behind the caller.

    After an error of `write` it is not called again. Left without an error, everything is written;
    left with one, what still waits is dropped.
    """

    def __init__(self, write: Callable[[T], None], at_most: int = 2) -> None:
        self._write, self._at_most = write, at_most
        self._thread = ThreadPoolExecutor(1, "write-behind")
        self._waiting: deque[Future[None]] = deque()
        self._failed = False

    def put(self, item: T) -> None:
        """Add an item; waits while `at_most` are not yet written. Raises what `write` raised."""
        while self._waiting and (len(self._waiting) >= self._at_most or self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._write_unless_failed, item))

    def _write_unless_failed(self, item: T) -> None:
        if self._failed:
            return
        try:
            self._write(item)
        except BaseException:
            self._failed = True
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            while self._waiting and kind is None:
                self._waiting.popleft().result()
        finally:
            self._thread.shutdown(cancel_futures=True)
