"""The bounded hand-over between two threads of the pipeline."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Handover(Generic[Item]):
    """A queue between one giving and one taking thread that no failure can block.

    Either the giver waits for room, or, where the latest wins, the oldest item makes room and counts as dropped. Every
    item given is taken or dropped: ``given == taken + dropped`` once the taker has seen the end.

    Args:
        capacity: items held at most.
        latest_wins: drop the oldest instead of waiting.
    """

    def __init__(self, capacity: int, *, latest_wins: bool = False) -> None:
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._latest_wins = latest_wins
        self._ended = False
        # A Condition's lock is reentrant, so a signal handler may call end() on the very thread that holds it.
        self._changed = threading.Condition()
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
            if len(self._items) >= self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self) -> Item | None:
        """Take the oldest item; waits for one, and gives None once there will be no more."""
        with self._changed:
            while not self._items and not self._ended:
                self._changed.wait()
            item = self._items.popleft() if self._items else None
            self._changed.notify_all()
            return item

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
