"""The declarations a lake has seen, so that it can be read without a registry."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import Final

from onepipe.declaring.topic import Topic
from onepipe.errors import CommitConflict, CorruptFile, NotRegistered, OnepipeError
from onepipe.lake import layout
from onepipe.lake.storage import Storage

_LISTED: Final = 5
_OWN: Final = "_onepipe."
"""What the names of topics begin with that no user declares."""
_NUMBER: Final = re.compile(r"/(\d{6,})\.avsc\Z")


class Catalog:
    """The declarations of a lake's topics, in the order in which they were seen. Thread-safe, across processes too.

    Args:
        storage: the lake's storage.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def declare(self, topic: Topic) -> Topic:
        """Note a declaration, unless it is the latest one already; the topic.

        Raises:
            CorruptFile: the latest declaration cannot be read.
        """
        data = json.dumps(topic.document(), indent=1, ensure_ascii=False).encode()
        while True:
            numbers = self._numbers(topic.name)
            if numbers and self._read(topic.name, numbers[-1]) == topic:
                return topic
            number = numbers[-1] + 1 if numbers else 1
            try:
                self._storage.write_new(layout.declaration(topic.name, number), data)
            except CommitConflict:
                continue  # another process noted a declaration first; look again
            return topic

    def topic(self, name: str) -> Topic:
        """The latest declaration of a topic.

        Raises:
            NotRegistered: the lake has not seen the topic; says the nearest match.
            CorruptFile: the declaration cannot be read.
        """
        return self._read(name, self._known(name)[-1])

    def versions(self, name: str) -> list[Topic]:
        """All declarations of a topic, oldest first.

        Raises:
            NotRegistered: the lake has not seen the topic; says the nearest match.
            CorruptFile: a declaration cannot be read.
        """
        return [self._read(name, number) for number in self._known(name)]

    def topics(self) -> list[str]:
        """Names of the topics, sorted."""
        return sorted({file.path.split("/")[1] for file in self._storage.list(layout.topics_root())})

    def _known(self, name: str) -> list[int]:
        numbers = self._numbers(name)
        if not numbers:
            raise self._unknown(name)
        return numbers

    def _unknown(self, name: str) -> NotRegistered:
        known = [topic for topic in self.topics() if not topic.startswith(_OWN)]
        meant = get_close_matches(name, known, n=1)
        few = [*meant, *(topic for topic in known if topic not in meant)][:_LISTED]
        more = f" and {len(known) - len(few):,} more" if len(known) > len(few) else ""
        there = f"it has {', '.join(few)}{more}" if few else "it has none"
        remedy = f"did you mean {meant[0]!r}? {there}" if meant else there
        return NotRegistered("the lake has no such topic", topic=name, remedy=remedy)

    def _numbers(self, name: str) -> list[int]:
        found = (_NUMBER.search(file.path) for file in self._storage.list(layout.declarations(name)))
        return sorted(int(match[1]) for match in found if match)

    def _read(self, name: str, number: int) -> Topic:
        path = layout.declaration(name, number)
        try:
            return Topic.from_document(self._storage.read(path), name=name)
        except CorruptFile:
            raise
        except OnepipeError as error:
            remedy = "restore it from a copy of the lake"
            raise CorruptFile(f"{path} is no declaration: {error}", topic=name, remedy=remedy) from error
