"""Bounded queues between the threads of the pipeline: from one giver to one taker, and the fan-in of many to one."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")

MakeRoom = Callable[[deque[Item], Item], bool]
"""Takes out of what waits, oldest first, what a new item makes old, and says whether the new one is to wait itself."""


class BoundedQueue(Generic[Item]):
    """A queue between one giving and one taking thread that no failure can block.

    Either the giver waits for room, or, where the latest wins, an older item makes room and counts as dropped. Every
    item given is taken or dropped: ``given == taken + dropped`` once the taker has seen the end.

    Args:
        capacity: items held at most.
        latest_wins: drop the oldest instead of waiting.
        make_room: where the latest wins, what it wins by; None for dropping the oldest of a full queue.
        changed: shared by queues that one taker waits for together.
    """

    def __init__(
        self,
        capacity: int,
        *,
        latest_wins: bool = False,
        make_room: MakeRoom[Item] | None = None,
        changed: threading.Condition | None = None,
    ) -> None:
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._latest_wins = latest_wins
        self._make_room = make_room or self._drop_oldest
        self._ended = False
        self._is_wanted = False
        # A Condition's lock is reentrant, so a signal handler may call end() on the very thread that holds it.
        self._changed = changed or threading.Condition()
        self.given = 0
        self.dropped = 0

    def put(self, item: Item) -> bool:
        """Give an item; False when nobody takes any more, and the item is dropped."""
        with self._changed:
            self.given += 1
            while not self._ended and not self._latest_wins and len(self._items) >= self._capacity:
                self._changed.wait()
            if self._ended:
                self.dropped += 1
                return False
            count = len(self._items) + 1
            if not self._latest_wins or self._make_room(self._items, item):
                self._items.append(item)
            self.dropped += count - len(self._items)
            self._changed.notify_all()
            return True

    def _drop_oldest(self, waiting: deque[Item], _: Item) -> bool:
        if len(waiting) >= self._capacity:
            waiting.popleft()
        return True

    def get(self, timeout_s: float | None = None) -> Item | None:
        """Take the oldest item; waits for one, and gives None once there will be no more.

        Raises:
            queue.Empty: none came in time.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._items and not self._ended:
                left_s = None if deadline_s is None else deadline_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    raise queue.Empty
                self._is_wanted = True
                self._changed.notify_all()
                self._changed.wait(left_s)
            self._is_wanted = False
            return self.pop()

    def pop(self) -> Item | None:
        """Take the oldest item if there is one, without waiting."""
        with self._changed:
            item = self._items.popleft() if self._items else None
            self._changed.notify_all()
            return item

    def wait_for_taker(self) -> None:
        """Wait until the taker waits for an item, or nobody takes any more."""
        with self._changed:
            while not self._ended and (self._items or not self._is_wanted):
                self._changed.wait()

    def wait_for_room(self) -> None:
        """Wait until an item can be given without waiting, or nobody takes any more."""
        with self._changed:
            while not self._ended and len(self._items) >= self._capacity:
                self._changed.wait()

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left, and nothing to come."""
        return self._ended and not self._items

    def end(self) -> None:
        """Say that there will be no more; what is there can still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Say that nobody will take any more: what is there is dropped."""
        with self._changed:
            self._ended = True
            self.dropped += len(self._items)
            self._items.clear()
            self._changed.notify_all()


class FanIn(Generic[Item]):
    """Several queues and one taker, who serves them in turn.

    Args:
        lanes: made with ``changed``.
        changed: the condition that they share.
    """

    def __init__(self, lanes: Sequence[BoundedQueue[Item]], changed: threading.Condition) -> None:
        self._lanes = lanes
        self._changed = changed
        self._next = 0

    def take(self) -> list[tuple[int, Item]]:
        """What is waiting, at most one item of each lane, with the lane's number; waits until there is something.

        Who comes first goes round, so that no lane is always the last. Empty once there will be no more.
        """
        with self._changed:
            while True:
                count = len(self._lanes)
                order = [(self._next + offset) % count for offset in range(count)]
                taken = [(lane, item) for lane in order if (item := self._lanes[lane].pop()) is not None]
                if taken:
                    self._next = (taken[0][0] + 1) % count
                    return taken
                if all(lane.is_over for lane in self._lanes):
                    return []
                self._changed.wait()
