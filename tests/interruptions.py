"""Signals, which Python handles at certain points of a program: at each of them, as it raises KeyboardInterrupt."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Sequence
from functools import cache
from types import CodeType, FrameType
from typing import Any


@cache
def _points(code: CodeType) -> frozenset[int]:
    """The instructions before which the interpreter looks for signals: of entries, after calls, and of loops."""
    points, after_call = set(), False
    for instruction in dis.get_instructions(code):
        if after_call or instruction.opname.startswith(("RESUME", "JUMP_BACKWARD")):
            points.add(instruction.offset)
        after_call = instruction.opname.startswith("CALL")
    return frozenset(points)


def interrupt() -> None:
    """Do what Python does at Ctrl-C."""
    raise KeyboardInterrupt


class Interrupts:
    """Calls a signal handler at chosen points of modules, counted from the first one on.

    Args:
        modules: parts of the file names of the modules.
        at: numbers of the points, ascending; none only counts.
        handler: the handler.

    Attributes:
        count: points passed so far.
    """

    def __init__(
        self, modules: Sequence[str], at: Sequence[int] = (), handler: Callable[[], object] = interrupt
    ) -> None:
        self.count = 0
        self._handler = handler
        self._modules = tuple(modules)
        self._left = list(at)

    def run(self, function: Callable[[], Any]) -> None:
        """Call a function, which may be interrupted."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            function()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, argument: object) -> Any:
        if not any(part in frame.f_code.co_filename for part in self._modules):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._trace

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode" and frame.f_lasti in _points(frame.f_code):
            self.count += 1
            if self._left and self.count >= self._left[0]:
                del self._left[0]
                sys.settrace(None)
                self._handler()
                sys.settrace(self._enter)
        return self._trace
