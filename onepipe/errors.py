"""Every error onepipe raises, as one tree.

    OnepipeError
    ├── DeclarationError (TypeError)         a class or topic is declared wrongly
    │   ├── SchemaError (ValueError)         a schema document is not valid Avro, or beyond the limits
    │   └── CheckError (ValueError)          a check is outside the grammar
    ├── InvalidRecord (ValueError)           a record breaks its declaration; lists every fault
    ├── CodecError
    │   ├── DecodeError (ValueError)         bytes that are not what their schema says
    │   └── ResolutionError (TypeError)      a reader's schema cannot read a writer's
    ├── RegistryError
    │   ├── NotRegistered (LookupError)      no such topic, subject, version or schema id
    │   ├── Incompatible (ValueError)        a change of declaration that readers or writers cannot follow
    │   └── RegistryUnavailable (ConnectionError)
    ├── TransportError
    │   ├── TopicNotFound (LookupError)
    │   ├── RecordTooLarge (ValueError)
    │   ├── NotAuthorized (PermissionError)
    │   ├── DeliveryError                    a record was not acknowledged
    │   ├── BufferFull (TimeoutError)        backpressure lasted longer than allowed
    │   ├── CommitRefused                    a group took the partition away before its offset was committed
    │   └── PositionLost (LookupError)       retention or a replaced log left a position without its records
    ├── LakeError
    │   ├── CommitConflict                   another process committed first
    │   └── CorruptFile (ValueError)         a file's bytes are not those that were committed
    ├── PluginError
    │   └── MissingDependency (ImportError)  an optional package is not installed; says which extra brings it
    ├── ConfigurationError (ValueError)
    └── ClosedError (RuntimeError)           used after close()

An error says what is known of topic, field, partition and offset, and what to do (`remedy`). Neither a message nor an
attribute holds a record's values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import attrs


class OnepipeError(Exception):
    """The base of every error raised by onepipe.

    Args:
        message: what went wrong, in one sentence.
        topic: name of the topic it happened on, where known.
        field: name or dotted path of the field, where known.
        partition: partition number, where known.
        offset: offset in the partition, where known.
        remedy: what to do about it, where known.
    """

    def __init__(
        self,
        message: str,
        *,
        topic: str | None = None,
        field: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.topic = topic
        self.field = field
        self.partition = partition
        self.offset = offset
        self.remedy = remedy

    def __str__(self) -> str:
        where = [
            f"{name} {value}"
            for name, value in (
                ("topic", self.topic),
                ("field", self.field),
                ("partition", self.partition),
                ("offset", self.offset),
            )
            if value is not None
        ]
        text = f"{', '.join(where)}: {self.message}" if where else self.message
        return f"{text} ({self.remedy})" if self.remedy else text


class DeclarationError(OnepipeError, TypeError):
    """A class or topic is declared wrongly; raised where it is declared."""


class SchemaError(DeclarationError, ValueError):
    """A schema document is not valid Avro, or is beyond the limits of onepipe.schema.limits."""


class CheckError(DeclarationError, ValueError):
    """A check is outside the grammar; the message points at the place with a caret."""


@attrs.frozen
class Fault:
    """One way in which a record breaks its declaration.

    Attributes:
        field: dotted path of the field ("price", "lines[2].sku"), or None for a rule about the whole record.
        rule: the rule broken: "type", "required", "ge", a check's name, …
        message: what is wrong, without the value.
    """

    field: str | None
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidRecord(OnepipeError, ValueError):
    """A record breaks its declaration; `faults` lists every way in which it does."""

    def __init__(self, faults: Sequence[Fault], *, topic: str | None = None) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, self.faults)), topic=topic)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.faults,), self.__dict__


class CodecError(OnepipeError):
    """Encoding or decoding failed."""


class DecodeError(CodecError, ValueError):
    """Bytes that are not what their schema says they are."""


class ResolutionError(CodecError, TypeError):
    """A reader's schema cannot read what the writer's schema writes."""


class RegistryError(OnepipeError):
    """The registry refused or failed."""


class NotRegistered(RegistryError, LookupError):
    """The registry has no such topic, subject, version or schema id."""


class Incompatible(RegistryError, ValueError):
    """A changed declaration cannot follow the registered ones; `problems` names each field and its mend."""

    def __init__(self, problems: Sequence[str], *, topic: str | None = None, remedy: str | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems), topic=topic, remedy=remedy)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.problems,), self.__dict__


class RegistryUnavailable(RegistryError, ConnectionError):
    """The registry cannot be reached; nothing is known of what it would have said."""


class TransportError(OnepipeError):
    """The transport refused or failed."""


class TopicNotFound(TransportError, LookupError):
    """The transport has no such topic or partition."""


class RecordTooLarge(TransportError, ValueError):
    """A message is larger than the transport takes."""


class NotAuthorized(TransportError, PermissionError):
    """The transport denies this client a right."""


class DeliveryError(TransportError):
    """A record was not acknowledged.

    Attributes:
        indeterminate: True where the transport may have stored it all the same (a time-out after sending).
    """

    def __init__(
        self,
        message: str,
        *,
        topic: str | None = None,
        partition: int | None = None,
        remedy: str | None = None,
        indeterminate: bool = False,
    ) -> None:
        super().__init__(message, topic=topic, partition=partition, remedy=remedy)
        self.indeterminate = indeterminate


class BufferFull(TransportError, TimeoutError):
    """Backpressure: the buffer stayed full for longer than allowed; the record was not taken."""


class CommitRefused(TransportError):
    """The group gave the partition to another reader before its offset was committed."""


class PositionLost(TransportError, LookupError):
    """The records at a position are gone: retention passed it, or the log was replaced by another."""


class LakeError(OnepipeError):
    """The lake refused or failed."""


class CommitConflict(LakeError):
    """Another process committed first; read the state again and start over."""


class CorruptFile(LakeError, ValueError):
    """A file of the lake does not hold the bytes that were committed under its name."""


class PluginError(OnepipeError):
    """A plugin is unknown, breaks its hook's contract, or failed to load."""


class MissingDependency(PluginError, ImportError):
    """An optional package is needed and not installed; the remedy names the extra that brings it."""


class ConfigurationError(OnepipeError, ValueError):
    """A setting is missing, unknown or contradicts another."""


class ClosedError(OnepipeError, RuntimeError):
    """Something was used after it was closed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant: `"; did you mean 'status'?"`, or the known ones, or nothing."""
    candidates = list(known)
    matches = get_close_matches(name, candidates, n=1, cutoff=0.6)
    if matches:
        return f"; did you mean {matches[0]!r}?"
    return f"; there are {', '.join(map(repr, candidates))}" if candidates else ""
