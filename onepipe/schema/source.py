"""Python source that is written by programs: lines at an indent, fresh names, and values bound to names.

Nothing of a schema enters the source except through `repr`, or as a value bound to a name that is made here; so no
schema, however hostile, can say what is executed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from keyword import iskeyword
from typing import Any, Final

_INDENT: Final = "    "


class Source:
    """A module's source in the making, and the values its names stand for."""

    def __init__(self, **bound: Any) -> None:
        self._lines: list[str] = []
        self._depth = 0
        self._count = 0
        self._finished: list[list[str]] = []
        self._bound: dict[str, Any] = dict(bound)
        self._names: dict[int, str] = {}

    @property
    def depth(self) -> int:
        """How many blocks enclose the next line."""
        return self._depth

    def line(self, text: str) -> None:
        """Write one line."""
        self._lines.append(_INDENT * self._depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Write the lines inside the `with` as a block under `head`."""
        self.line(head)
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def function(self, head: str) -> Iterator[None]:
        """Write the lines inside the `with` as a function of the module, wherever the writer stands now."""
        lines, depth = self._lines, self._depth
        self._lines, self._depth = [], 0
        with self.block(head):
            yield
        self._finished.append(self._lines)
        self._lines, self._depth = lines, depth

    def fresh(self, hint: str) -> str:
        """A name that nothing else has."""
        self._count += 1
        return f"{hint}{self._count}"

    def bind(self, hint: str, value: Any) -> str:
        """A name that stands for a value; the same one for the same object."""
        if id(value) not in self._names:
            self._names[id(value)] = name = self.fresh(hint)
            self._bound[name] = value
        return self._names[id(value)]

    def define(self, values: Mapping[str, Any]) -> None:
        """Let names that others have made stand for values."""
        self._bound.update(values)

    def text(self) -> str:
        """The source of all functions written so far."""
        return "\n".join(line for lines in self._finished for line in lines) + "\n"

    def load(self, entry: str, *, of: str) -> Any:
        """Compile the module and return its function `entry`; `of` is shown in tracebacks."""
        code = compile(self.text(), f"<onepipe {of}>", "exec")
        exec(code, self._bound)  # noqa: S102  # the source is written by this package; see the module's docstring
        return self._bound[entry]


def attribute(value: str, name: str) -> str:
    """The expression that reads an attribute, whatever its name."""
    return f"getattr({value}, {name!r})" if iskeyword(name) or name.startswith("__") else f"{value}.{name}"
