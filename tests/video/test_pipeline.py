"""Reading ahead and writing behind: bounded, in order, and nothing is left when something fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

import pytest

from tracker.video.pipeline import ReadAhead, WriteBehind

WAIT_S = 10
"""For what must happen; a test that has to wait for it so long fails."""


def threads() -> set[str]:
    names = {thread.name.split("_")[0] for thread in threading.enumerate()}
    return names & {"read-ahead", "write-behind"}


class Source:
    """Notes what was loaded, and by which thread; some indices cannot be."""

    def __init__(self, broken: tuple[int, ...] = ()) -> None:
        self.loaded: list[int] = []
        self.by: dict[int, str] = {}
        self._broken = broken
        self._changed = threading.Condition()

    def __call__(self, index: int) -> str:
        with self._changed:
            self.loaded.append(index)
            self.by[index] = threading.current_thread().name.split("_")[0]
            self._changed.notify_all()
        if index in self._broken:
            raise OSError(f"no item {index}")
        return f"item {index}"

    def waits_for(self, index: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: index in self.loaded, WAIT_S)


def test_items_come_in_order_and_each_is_loaded_once() -> None:
    source = Source()
    with closing(ReadAhead(source, range(3, 40, 2), at_most=3)) as ahead:
        assert [ahead.take(i) for i in range(3, 40, 2)] == [f"item {i}" for i in range(3, 40, 2)]
    assert source.loaded == list(range(3, 40, 2))
    assert source.by[3] == "MainThread" and set(source.by.values()) == {"MainThread", "read-ahead"}
    assert threads() == set()


def test_no_more_is_loaded_than_may_wait() -> None:
    source = Source()
    with closing(ReadAhead(source, range(100), at_most=2)) as ahead:
        for index in range(5):
            ahead.take(index)
            assert source.waits_for(index + 2)
            assert max(source.loaded) == index + 2
    assert sorted(source.loaded) == list(range(7))


def test_what_is_taken_out_of_order_is_loaded_at_once() -> None:
    source = Source()
    with closing(ReadAhead(source, range(10), at_most=2)) as ahead:
        ahead.take(0)
        assert ahead.take(90) == "item 90" and source.by[90] == "MainThread"
        assert ahead.take(7) == "item 7"
        assert [ahead.take(i) for i in (8, 9, 1)] == ["item 8", "item 9", "item 1"]
    assert source.loaded.count(9) == 1


def test_an_error_while_reading_comes_where_it_belongs() -> None:
    source = Source(broken=(2,))
    with closing(ReadAhead(source, range(10), at_most=3)) as ahead:
        assert [ahead.take(0), ahead.take(1)] == ["item 0", "item 1"]
        assert source.waits_for(2)
        with pytest.raises(OSError, match="no item 2"):
            ahead.take(2)
        assert ahead.take(3) == "item 3"
    assert threads() == set()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_caller_that_fails_ends_the_reading(error: type[BaseException]) -> None:
    source = Source()

    def fail() -> None:
        with closing(ReadAhead(source, range(10), at_most=2)) as ahead:
            ahead.take(0)
            raise error

    with pytest.raises(error):
        fail()
    assert threads() == set() and max(source.loaded) <= 2


def test_everything_is_written_in_order() -> None:
    written: list[int] = []
    with WriteBehind(written.append, at_most=3) as behind:
        for item in range(50):
            behind.put(item)
            assert len(written) >= item - 3
    assert written == list(range(50)) and threads() == set()


def write_all(write: Callable[[int], None], count: int) -> None:
    with WriteBehind(write, at_most=2) as behind:
        for item in range(count):
            behind.put(item)


def held(written: list[int], go_on: threading.Event) -> Callable[[int], None]:
    def write(item: int) -> None:
        assert go_on.wait(WAIT_S)
        written.append(item)

    return write


def test_the_caller_waits_when_writing_is_slow() -> None:
    written: list[int] = []
    go_on, full = threading.Event(), threading.Event()
    threading.Thread(target=lambda: full.wait(WAIT_S) and go_on.set()).start()
    with WriteBehind(held(written, go_on), at_most=2) as behind:
        behind.put(0)
        behind.put(1)
        assert written == []
        full.set()
        behind.put(2)  # there is room only once the first one is written
        assert written[0] == 0
    assert written == [0, 1, 2]


def test_an_error_while_writing_reaches_the_caller_and_nothing_follows_it() -> None:
    written: list[int] = []

    def write(item: int) -> None:
        if item == 3:
            raise OSError("the disk is full")
        written.append(item)

    with pytest.raises(OSError, match="disk is full"):
        write_all(write, 50)
    assert written == [0, 1, 2] and threads() == set()


def test_an_error_in_the_last_item_is_not_lost() -> None:
    def write(item: int) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        write_all(write, 1)
    assert threads() == set()


def test_a_caller_that_is_interrupted_drops_what_waits() -> None:
    written: list[int] = []
    go_on = threading.Event()

    def interrupted() -> None:
        with WriteBehind(held(written, go_on), at_most=3) as behind:
            for item in range(3):
                behind.put(item)
            go_on.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert written in ([], [0], [0, 1], [0, 1, 2]) and threads() == set()
