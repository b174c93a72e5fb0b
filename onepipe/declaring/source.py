"""What the messages of a topic hold that others write: a part of its declaration, so of its schema document.

"onepipe": {"topic": "shop.orders", …,
"source": {"value": "registry", "registry": "https://registry:8081", "subjects": ["shop.orders-value"],
"lift": {"order_id": ["order.id"]}, "tombstones": "oldest"}}
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

import attrs

from onepipe.errors import DeclarationError, nearest

Value = Literal["registry", "json"]
Key = Literal["text", "json", "registry"]
Envelope = Literal["debezium"]
Tombstones = Literal["quarantine", "delete", "oldest"]

KEY: Final = "$key"
"""The path of a message's key."""
TIMESTAMP: Final = "$timestamp"
"""The path of a message's timestamp."""

_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "value": get_args(Value),
    "key": get_args(Key),
    "envelope": get_args(Envelope),
    "tombstones": get_args(Tombstones),
}
_TEXTS: Final = ("value", "key", "envelope", "registry", "tombstones")
_KEYS: Final = (*_CHOICES, "registry", "subjects", "types", "lift")


@attrs.frozen(hash=False)
class Source:
    """What foreign messages hold.

    Attributes:
        value: how values are written: "registry" is Avro whose schema a registry has, "json" is JSON text.
        key: how keys are written; None where nothing reads them.
        envelope: "debezium" where values are Debezium's change events; None where they are records.
        registry: URL of the registry that knows the schema ids, without secrets; None is the pipeline's own.
        subjects: names of the subjects under which that registry has the values' schemas.
        types: of a topic that holds several types of records, their full names by the field each one stands in.
        lift: by field, the paths at which its value stands: the first that holds one counts.
        tombstones: what a message without value is: "quarantine" keeps it aside, "delete" deletes what its key names,
            "oldest" does so as of before every record.
    """

    value: Value
    key: Key | None = None
    envelope: Envelope | None = None
    registry: str | None = None
    subjects: tuple[str, ...] = ()
    types: Mapping[str, str] = MappingProxyType({})
    lift: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    tombstones: Tombstones = "quarantine"

    def __attrs_post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            given = getattr(self, name)
            if given not in choices and not (given is None and name in ("key", "envelope")):
                raise DeclarationError(
                    f"{name} is one of {', '.join(map(repr, choices))}{nearest(str(given), choices)}"
                )
        for field, paths in self.lift.items():
            if not paths:
                raise DeclarationError("lift names no path", field=field)
            for path in paths:
                self._require_path(field, path)
        if self.tombstones != "quarantine" and self.key is None:
            raise DeclarationError(f"tombstones={self.tombstones!r} needs to know how keys are written", remedy="key=…")

    def _require_path(self, field: str, path: str) -> None:
        head, *rest = path.split(".")
        if not all((head, *rest)):
            raise DeclarationError(f"{path!r} is not a path of names with dots between", field=field)
        if head.startswith("$"):
            if head not in (KEY, TIMESTAMP) or (head == TIMESTAMP and rest):
                known = nearest(head, (KEY, TIMESTAMP))
                raise DeclarationError(f"{path!r} is no part of a message{known}", field=field)
            if head == KEY and self.key is None:
                raise DeclarationError(f"{path!r} needs to know how keys are written", field=field, remedy="key=…")

    def stands_outside(self, field: str) -> bool:
        """Whether a field's value stands outside the row of a change event: a delete says it too."""
        paths = self.lift.get(field, ())
        return bool(paths) and all(path.split(".")[0] not in ("before", "after") for path in paths)

    def stands_outside_value(self, field: str) -> bool:
        """Whether a field's value is said by a message's key or timestamp alone: a tombstone says it too."""
        paths = self.lift.get(field, ())
        return bool(paths) and all(path.startswith("$") for path in paths)

    def document(self) -> dict[str, Any]:
        """The source as JSON value."""
        optional = {
            "key": self.key,
            "envelope": self.envelope,
            "registry": self.registry,
            "subjects": list(self.subjects),
            "types": dict(self.types),
            "lift": {field: list(paths) for field, paths in self.lift.items()},
            "tombstones": None if self.tombstones == "quarantine" else self.tombstones,
        }
        return {"value": self.value, **{name: value for name, value in optional.items() if value}}

    @classmethod
    def from_document(cls, document: Any) -> Source:
        """The source that a JSON value says.

        Raises:
            DeclarationError: it has another form.
        """
        if not isinstance(document, Mapping) or "value" not in document:
            raise DeclarationError("'source' is an object that says how values are written")
        for key in document:
            if key not in _KEYS:
                raise DeclarationError(f"unknown part {key!r} of 'source'{nearest(key, _KEYS)}")
        for name in _TEXTS:
            if name in document and not isinstance(document[name], str):
                raise DeclarationError(f"{name!r} of 'source' is text")
        subjects, types, lift = (document.get(n, empty) for n, empty in (("subjects", []), ("types", {}), ("lift", {})))
        if not _is_texts(subjects):
            raise DeclarationError("'subjects' of 'source' is a list of names")
        if not isinstance(types, Mapping) or not all(isinstance(name, str) for name in types.values()):
            raise DeclarationError("'types' of 'source' is an object of names")
        if not isinstance(lift, Mapping) or not all(_is_texts(paths) for paths in lift.values()):
            raise DeclarationError("'lift' of 'source' is an object of lists of paths")
        made: dict[str, Any] = {name: document[name] for name in _TEXTS if name in document}
        made["lift"] = MappingProxyType({field: tuple(paths) for field, paths in lift.items()})
        return cls(**made, subjects=tuple(subjects), types=MappingProxyType(dict(types)))


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
