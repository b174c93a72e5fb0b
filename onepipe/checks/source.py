"""The text of a check, and how a fault in it is shown."""

from __future__ import annotations

import attrs

from onepipe.errors import CheckError


@attrs.frozen
class Source:
    """The text of a check.

    Attributes:
        text: the expression.
        name: the check's name, where it has one.
        topic: name of the topic it belongs to, where known.
    """

    text: str
    name: str | None = None
    topic: str | None = None

    def fault(self, at: int, message: str, *, remedy: str | None = None) -> CheckError:
        """The error for a fault: message, and below it the line with a caret under the place.

        Args:
            at: index of the faulty character in the text.
            message: what is wrong.
            remedy: what to write instead, where known.
        """
        start = self.text.rfind("\n", 0, at) + 1
        line = self.text[start:].split("\n", 1)[0]
        shown = "".join(c if c.isprintable() else " " for c in line)
        what = f"check {self.name!r}: {message}" if self.name else f"check: {message}"
        hint = f" ({remedy})" if remedy else ""
        return CheckError(f"{what}{hint}\n  {shown}\n  {' ' * (at - start)}^", topic=self.topic)
