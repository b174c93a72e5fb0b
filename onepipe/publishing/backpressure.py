"""Backpressure: a message waits for room in a writer that takes none now, for so long and no longer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from onepipe.errors import BufferFull

if TYPE_CHECKING:
    from onepipe.transport import OnOutcome, Outgoing, Writer

_POLL_SECONDS: Final = 0.05


def append(writer: Writer, message: Outgoing, on_outcome: OnOutcome, max_block: float) -> None:
    """Append a message, serving outcomes while there is no room for it.

    Args:
        writer: where to.
        message: the message.
        on_outcome: called once with what became of it, perhaps before this returns.
        max_block: seconds to wait for room at most.

    Raises:
        BufferFull: there was no room for `max_block` seconds; nothing was taken.
        TransportError: as `Writer.append`.
    """
    try:
        writer.append(message, on_outcome)
        return
    except BufferFull:
        deadline = time.monotonic() + max_block
    while True:
        writer.poll(_POLL_SECONDS)
        try:
            writer.append(message, on_outcome)
            return
        except BufferFull:
            if time.monotonic() >= deadline:
                raise
