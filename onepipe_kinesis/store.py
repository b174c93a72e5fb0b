"""The port of the store that clients share: documents by name, replaced only by those who saw the present one.

What positions, leases and checkpoints are is said elsewhere, over this port; DynamoDB and SQL databases are behind it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, TypeVar

from onepipe.errors import TransportError

_ATTEMPTS: Final = 200
_PAUSE_SECONDS: Final = 0.05

T = TypeVar("T")


class Document(NamedTuple):
    """A document, and the version by which to replace it."""

    text: str
    version: int


class Store(Protocol):
    """Documents by space and name. Thread-safe. Reads are consistent: they give what was put last, by anybody.

    Every method raises TransportError where the store cannot be reached, and NotAuthorized where it refuses.
    """

    @property
    def registry(self) -> str | None:
        """URL of the registry that goes with this store, or None."""

    def get(self, space: str, name: str) -> Document | None:
        """A document, or None."""

    def put(self, space: str, name: str, text: str, version: int | None) -> bool:
        """Replace the document of that version, or make one where there is none (None); whether that was so."""

    def clear(self, space: str) -> None:
        """Delete all documents of a space."""

    def close(self) -> None:
        """Let go of every resource. May be called again."""


def update(store: Store, space: str, name: str, change: Callable[[str | None], tuple[str | None, T]]) -> T:
    """Replace a document by what `change` makes of it, again where another client was faster.

    Args:
        store: the store.
        space: the document's space.
        name: the document's name.
        change: from the document's text, None where there is none, to the new one, None to leave it, and a result. It
            may be called several times.

    Raises:
        TransportError: others were faster, time and again; and as the store.
    """
    for _ in range(_ATTEMPTS):
        found = store.get(space, name)
        text, result = change(None if found is None else found.text)
        if text is None or (found is not None and found.text == text):
            return result
        if store.put(space, name, text, None if found is None else found.version):
            return result
        time.sleep(random.uniform(0.0, _PAUSE_SECONDS))  # noqa: S311 - spreads the attempts, guards nothing
    raise TransportError(f"others wrote {name!r} to the store of positions {_ATTEMPTS} times first", remedy="try again")
