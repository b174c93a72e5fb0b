"""What a command that takes topics one by one says of them: a line for each, or one JSON object for all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs

from onepipe.cli.output import complain, reason, say_json, say_text
from onepipe.errors import OnepipeError

R = TypeVar("R", bound=attrs.AttrsInstance)

FAILED: Final = 2


class Account(Generic[R]):
    """Carries out a step on topics, and tells what came of it. Thread-safe.

    A topic on which it fails is said so on standard error at once, and keeps no other from its turn.

    Attributes:
        failed: whether the step failed on a topic.
    """

    def __init__(self, command: str, topics: Sequence[str], line: Callable[[R], str | None], *, as_json: bool) -> None:
        """Begin an account.

        Args:
            command: name of the command.
            topics: names of the topics, in order.
            line: a report as a line of text, or None where there is nothing to say.
            as_json: whether to print one JSON object instead of lines.
        """
        self._command = command
        self._order = {name: place for place, name in enumerate(topics)}
        self._line = line
        self._as_json = as_json
        self._told: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self.failed = False

    def carry_out(self, topic: str, step: Callable[[], R]) -> bool:
        """Carry out the step on a topic; whether it succeeded."""
        try:
            report = step()
        except (OnepipeError, OSError) as error:
            why = reason(error)
            named = why if getattr(error, "topic", None) else f"topic {topic}: {why}"
            with self._lock:
                self.failed = True
                self._told[topic] = {"topic": topic, "error": why}
                complain(named)
            return False
        with self._lock:
            self._told[topic] = attrs.asdict(report)
            line = None if self._as_json else self._line(report)
            if line is not None:
                say_text(line)
        return True

    def say(self, text: str) -> None:
        """Print a line, where lines are printed."""
        if not self._as_json:
            with self._lock:
                say_text(text)

    def end(self, *, stopped: bool) -> None:
        """Print the JSON object, where one is printed, and begin anew.

        Args:
            stopped: whether the command was told to end before its work was done.
        """
        with self._lock:
            topics = [self._told[name] for name in sorted(self._told, key=self._order.__getitem__)]
            self._told = {}
            if self._as_json:
                say_json({"command": self._command, "stopped": stopped, "topics": topics})
