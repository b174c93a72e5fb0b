"""Encoders: from a record to the bytes of a message, compiled once per schema.

The generated function validates, runs the record's checks, encodes and frames in one pass. Only a record that it
refuses is walked again, to list every fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from onepipe.errors import Fault, InvalidRecord, SchemaError
from onepipe.schema.default_values import default_value
from onepipe.schema.encode_faults import FaultFinder
from onepipe.schema.encode_source import EncoderSource, joined
from onepipe.schema.model import NO_DEFAULT, Record, Schema

_NO_CLASSES: Final[Mapping[str, type]] = MappingProxyType({})


class RecordCheck(Protocol):
    """A validity rule, as `onepipe.checks.Check` is one."""

    @property
    def name(self) -> str | None:
        """What the rule is called."""

    @property
    def text(self) -> str:
        """The rule as it was declared."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the top-level fields it reads."""

    @property
    def helpers(self) -> Mapping[str, Any]:
        """What its Python source refers to, by names that no two checks give to different things."""

    def python_violation(self, names: Mapping[str, str]) -> str:
        """A Python expression that is true where the rule is broken; `names` are the variables of the fields."""

    def evaluate(self, values: Mapping[str, Any]) -> bool | None:
        """Whether the rule holds for these values of its fields; None where it is null, which passes."""


def compile_encoder(
    schema: Schema,
    *,
    classes: Mapping[str, type] = _NO_CLASSES,
    prefix: bytes = b"",
    checks: Sequence[RecordCheck] = (),
    topic: str | None = None,
) -> Callable[[Any], bytes]:
    """Compile the encoder of a schema.

    Args:
        schema: the writer's schema.
        classes: Python classes by the Avro full names (of records and enums) they stand for. A record without one is a
            mapping: missing keys take the field's default, unknown ones are a fault.
        prefix: what every message begins with: its frame.
        checks: rules that every record must keep; they need a schema that is a record.
        topic: name of the topic, for errors.

    Returns:
        A function of a value to its bytes, prefix included. It raises InvalidRecord, with every fault of the value.

    Raises:
        SchemaError: there are checks, and the schema is not a record; or a default is not a value of its type.
    """
    root = schema.root
    if checks and not isinstance(root, Record):
        raise SchemaError("checks are about records; the schema is not one", topic=topic)
    writer = EncoderSource(schema, classes)
    source = writer.source
    refuse = source.bind("refuse", _Refusal(schema, classes, checks, topic))
    kept = {field: source.fresh("kept") for check in checks for field in check.fields}
    with source.function("def encode(value):"):
        with source.block("try:"):
            source.line("item = value")
            writer.begin()
            if isinstance(root, Record):
                parts = writer.fields(root, "item", "1", kept)
            else:
                parts = writer.value(root, "item", "0")
            for check in checks:
                source.define(check.helpers)
                with source.block(f"if {check.python_violation(kept)}:"):
                    source.line("unfit()")
            source.line(f"return {joined([repr(prefix), *parts] if prefix else parts)}")
        with source.block("except Exception as error:"):
            source.line(f"raise {refuse}(value, error) from None")
    encode: Callable[[Any], bytes] = source.load("encode", of=f"encoder of {getattr(root, 'name', 'value')}")
    return encode


class _Refusal:
    """Says why a value was not encoded."""

    def __init__(
        self, schema: Schema, classes: Mapping[str, type], checks: Sequence[RecordCheck], topic: str | None
    ) -> None:
        self._schema = schema
        self._classes = classes
        self._checks = checks
        self._topic = topic
        self._finder = FaultFinder(schema, classes)

    def __call__(self, value: Any, error: Exception) -> Exception:
        """The error with every fault of the value; what stopped the encoder, where there is none."""
        faults = list(self._finder.faults(self._schema.root, value))
        faults += self._broken(value, faults)
        if not faults and isinstance(error, InvalidRecord):
            faults += error.faults
        return InvalidRecord(faults, topic=self._topic) if faults else error

    def _broken(self, value: Any, faults: Sequence[Fault]) -> Iterator[Fault]:
        """The checks that are broken, of those whose fields have no fault of their own."""
        if any(fault.field is None for fault in faults):
            return
        faulty = {str(fault.field).split(".")[0].split("[")[0].split("{")[0] for fault in faults}
        for check in self._checks:
            if faulty.isdisjoint(check.fields):
                values = {name: self._read(value, name) for name in check.fields}
                if check.evaluate(values) is False:
                    only = check.fields[0] if len(check.fields) == 1 else None
                    yield Fault(
                        only, check.name or check.text, f"the rule {check.name or ''!r} is broken: {check.text}"
                    )

    def _read(self, value: Any, name: str) -> Any:
        root = self._schema.root
        assert isinstance(root, Record)  # noqa: S101  # compile_encoder takes checks for records only; for mypy
        if root.name in self._classes:
            return getattr(value, name)
        field = root.field(name)
        if name in value or field.default is NO_DEFAULT:
            return value[name]
        return default_value(self._schema, field.type, field.default, classes=self._classes)
