"""What foreign messages hold, as trees: dicts by field name, logical values at the leaves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from onepipe.attached.json_text import parse_json
from onepipe.declaring.source import KEY, TIMESTAMP
from onepipe.errors import DecodeError, NotRegistered, SchemaError
from onepipe.schema.decode import Decode, compile_decoder
from onepipe.schema.framing import KEY_HEADER, read_frame

if TYPE_CHECKING:
    from onepipe.declaring.source import Source
    from onepipe.schema.model import Schema
    from onepipe.transport import Headers

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLIS: Final = (-62_135_596_800_000, 253_402_300_799_999)


class Given(NamedTuple):
    """A message, as far as reading it goes.

    Attributes:
        value: its value; empty for a tombstone.
        start: where in the value the body begins.
        key: its key.
        headers: its headers.
        timestamp: milliseconds since 1970.
    """

    value: bytes
    start: int
    key: bytes | None
    headers: Headers
    timestamp: int


class KeyReader:
    """Reads the keys of one topic's messages. Used by one thread at a time.

    Args:
        source: what the messages hold.
        find: from a schema id, or a `Frame.named`, to the schema; raises NotRegistered.

    Attributes:
        used: documents of the schemas that keys were written with, by id or name.
    """

    def __init__(self, source: Source, find: Callable[[int | str], Schema]) -> None:
        self.used: dict[int | str, Any] = {}
        self._source = source
        self._find = find
        self._decoders: dict[int | str, Decode] = {}
        self._missing: dict[int | str, NotRegistered] = {}

    def read(self, given: Given) -> Any:
        """What a key says: text, a tree, or None where there is no key.

        Raises:
            DecodeError: the bytes are not what the declaration says.
            NotRegistered: the registry does not know the key's schema.
        """
        if given.key is None:
            return None
        if self._source.key == "json":
            return unwrapped(parse_json(unframed(given.key)), self._source)
        if self._source.key == "registry":
            return self._avro(given.key, given.headers)
        try:
            return given.key.decode()
        except UnicodeDecodeError:
            raise DecodeError("the key is not UTF-8") from None

    def ask_again(self) -> None:
        """Ask the registry again about schemas that it did not know: of each one it is asked once until then."""
        self._missing.clear()

    def _avro(self, key: bytes, headers: Headers) -> Any:
        frame = read_frame(key, headers, header=KEY_HEADER)
        name = frame.named
        if name not in self._decoders:
            self._decoders[name] = self._decoder(name)
        return self._decoders[name](key, frame.start)

    def _decoder(self, name: int | str) -> Decode:
        if name in self._missing:
            raise self._missing[name]
        try:
            schema = self._find(name)
        except NotRegistered as missing:
            self._missing[name] = missing
            raise
        except SchemaError as error:  # of another kind than Avro, or out of form: none that can be used
            self._missing[name] = NotRegistered("the registry has no Avro schema of the key's id")
            raise self._missing[name] from error
        self.used[name] = schema.document()
        return compile_decoder(schema)


def unframed(text: bytes) -> bytes:
    """JSON text without the schema id that Confluent's JSON serializer puts before it: no JSON begins with `00`."""
    return text[5:] if text[:1] == b"\0" else text


def unwrapped(tree: Any, source: Source) -> Any:
    """The payload of what Kafka Connect writes with a schema beside it, where change events are wanted."""
    if source.envelope and isinstance(tree, dict) and tree.keys() == {"schema", "payload"}:
        return tree["payload"]
    return tree


def timestamp_of(given: Given) -> dt.datetime:
    """A message's timestamp.

    Raises:
        DecodeError: outside the years 1 to 9999.
    """
    if not _MILLIS[0] <= given.timestamp <= _MILLIS[1]:
        raise DecodeError("the message's timestamp is outside the years 1 to 9999")
    return _EPOCH + dt.timedelta(milliseconds=given.timestamp)


class Place:
    """One path of a message: where a value stands."""

    def __init__(self, path: str) -> None:
        """Take a path apart: names with dots between, the first of them perhaps `$key` or `$timestamp`."""
        self.head, *self._rest = path.split(".")
        self._names = [self.head, *self._rest]

    @property
    def is_key(self) -> bool:
        """Whether the whole key is meant."""
        return self.head == KEY and not self._rest

    def of(self, tree: Any, given: Given, key: Callable[[], Any]) -> Any:
        """The value there; None where nothing stands.

        Args:
            tree: what the message's value holds.
            given: the message.
            key: gives what its key holds.
        """
        if self.head == TIMESTAMP:
            return timestamp_of(given)
        return inside(key(), self._rest) if self.head == KEY else inside(tree, self._names)


def inside(tree: Any, names: list[str]) -> Any:
    """What stands in a tree under names, one inside the other; None where nothing does."""
    for name in names:
        if not isinstance(tree, Mapping):
            return None
        tree = tree.get(name)
    return tree
