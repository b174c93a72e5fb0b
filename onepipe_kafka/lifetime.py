"""Whether something is open: not closed by itself or with its transport, and not left behind by a fork."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Final

from onepipe_kafka.errors import closed

_FORKED: Final = "a fork leaves the parent's connections behind; connect again in the child"


class Lifetime:
    """The lifetime of a transport, writer or reader.

    Attributes:
        ended: why it is over, or None; to be looked at where calling `check` would take too long.
    """

    def __init__(self, what: str, *clients: object) -> None:
        """Begin.

        Args:
            what: what it is the lifetime of, for messages.
            *clients: what must never be used, not even to be destroyed, in a forked child.
        """
        self.ended: str | None = None
        self._what = what
        self._clients = clients
        _OPEN.add(self)

    def check(self) -> None:
        """Raise ClosedError where it is over."""
        if self.ended is not None:
            raise closed(self._what, self.ended)

    def end(self) -> bool:
        """End it; False where it was over before."""
        if self.ended is not None:
            return False
        self.ended = "it is closed"
        self._clients = ()
        return True

    def leave_to_parent(self) -> None:
        """End it in a forked child; the parent's clients keep a reference there that never goes.

        A client's destructor waits for its threads, which a fork does not copy.
        """
        self.ended = self.ended or _FORKED
        for client in self._clients:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))


_OPEN: Final[weakref.WeakSet[Lifetime]] = weakref.WeakSet()


def _leave_all() -> None:
    for lifetime in list(_OPEN):
        lifetime.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all)
