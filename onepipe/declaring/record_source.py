"""What a record class declares, with its annotations resolved: schema, topic, and the classes of its types."""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import FrameType, SimpleNamespace
from typing import Any, Final

import attrs

from onepipe.declaring.rules import ATTRIBUTE, FieldRules
from onepipe.declaring.topic import Audit, Topic
from onepipe.errors import DeclarationError, nearest
from onepipe.merge import MergePolicy
from onepipe.schema.declared import DECLARED, FieldSource, RecordSource
from onepipe.schema.derive import derive
from onepipe.schema.model import JSON, NO_DEFAULT, Schema

SPEC: Final = "onepipe"
"""Key of a `FieldSpec` in the metadata of an attrs attribute."""


@attrs.frozen
class FieldSpec:
    """What `field()` was told beyond what attrs keeps."""

    identity: bool = False
    version: bool = False
    rules: FieldRules = attrs.field(factory=FieldRules)
    doc: str | None = None
    aliases: tuple[str, ...] = ()
    attributes: Mapping[str, JSON] = attrs.field(factory=dict)
    default: Any = NO_DEFAULT
    json_default: JSON = NO_DEFAULT


@attrs.frozen
class RecordOptions:
    """What `@record` was told, of the topic and of the Avro record."""

    name: str
    topic: str | None = None
    identity: tuple[str, ...] = ()
    merge: MergePolicy | None = None
    event_time: str | None = None
    checks: Mapping[str, str] = attrs.field(factory=dict)
    owner: str | None = None
    partition_key: tuple[str, ...] = ()
    audit: Audit = "counted"
    codec: str | None = None
    namespace: str | None = None
    doc: str | None = None
    aliases: tuple[str, ...] = ()
    attributes: Mapping[str, JSON] = attrs.field(factory=dict)


@attrs.frozen
class RecordInfo:
    """What a record class declares.

    Attributes:
        schema: the Avro schema; a topic's carries the whole declaration.
        topic: the topic, or None for a type to be used inside records.
        classes: the Python class of each record and enum in the schema by full name.
    """

    schema: Schema
    topic: Topic | None
    classes: Mapping[str, type]


class Undefined(DeclarationError):
    """An annotation names what is not defined, or not yet."""


@attrs.define(eq=False)
class Declaration:
    """The declaration of one class, kept on the class itself.

    Annotations may name classes that are defined later, so they are resolved when first possible; the frame in which
    the class was made is kept until then, to find what is local to a function.
    """

    cls: type
    options: RecordOptions
    frame: FrameType | None
    _hints: Mapping[str, Any] | None = None
    _info: RecordInfo | None = None

    def source(self, *, nested: bool) -> RecordSource:
        """What the class says; see `onepipe.schema.declared.RecordDeclaration`."""
        hints = self.hints()
        fields = tuple(self._field(name, spec, hints[name], nested) for name, spec in specs(self.cls))
        o = self.options
        return RecordSource(o.name, fields, o.namespace, o.doc, o.aliases, o.attributes)

    def _field(self, name: str, spec: FieldSpec, annotation: Any, nested: bool) -> FieldSource:
        rules = spec.rules
        if nested:
            self._require_nestable(name, spec)
            rules = FieldRules(sensitivity=rules.sensitivity)
        document = rules.document()
        attributes = {**spec.attributes, ATTRIBUTE: document} if document else spec.attributes
        return FieldSource(name, annotation, spec.default, spec.json_default, spec.doc, spec.aliases, attributes)

    def _require_nestable(self, name: str, spec: FieldSpec) -> None:
        marks = {"identity": spec.identity, "version": spec.version, "merge": spec.rules.merge}
        told = [mark for mark, value in marks.items() if value and self.options.topic is None]
        remedy = "leave it out, or make its class a topic's"
        if spec.rules.constraints:
            told = [*spec.rules.constraints]
            remedy = f"a check of the topic can say it by the path, '….{name} <> 0'; of an array's items none can"
        if told:
            message = f"{self.cls.__qualname__}: {', '.join(told)} is for a topic's own fields, not for inner ones"
            raise DeclarationError(message, field=name, remedy=remedy)

    def hints(self) -> Mapping[str, Any]:
        """The annotation of each field by name.

        Raises:
            Undefined: one names what is not defined (yet).
        """
        if self._hints is None:
            inherited: dict[str, Any] = {}
            for base in reversed(self.cls.__mro__[1:]):
                if DECLARED in base.__dict__:
                    inherited.update(base.__dict__[DECLARED].hints())
            own = {a.name: a.type for a in attrs.fields(self.cls) if not a.inherited}
            missing = [a.name for a in attrs.fields(self.cls) if a.inherited and a.name not in inherited]
            if missing:
                message = f"{self.cls.__qualname__}: the field comes from a class that is not a record"
                raise DeclarationError(message, field=missing[0], remedy="decorate that class with @record too")
            self._hints = {**inherited, **self._evaluate(own)}
        return self._hints

    def _evaluate(self, annotations: Mapping[str, Any]) -> Mapping[str, Any]:
        frame = self.frame
        module = sys.modules.get(self.cls.__module__)
        known: dict[str, Any] = frame.f_globals if frame else vars(module) if module else {}
        local = frame.f_locals if frame and frame.f_locals is not frame.f_globals else {}
        here = {**local, self.cls.__name__: self.cls}
        carrier: Any = SimpleNamespace(__annotations__=annotations)
        try:
            return typing.get_type_hints(carrier, known, here, include_extras=True)
        except NameError as error:
            name = error.name or str(error)
            hint = nearest(name, get_close_matches(name, [*here, *known], n=1))
            message = f"{self.cls.__qualname__}: an annotation names {name!r}, which is not defined{hint}"
            raise Undefined(message) from error
        except Exception as error:  # an annotation as text is an expression of the caller's, which may raise anything
            raise DeclarationError(f"{self.cls.__qualname__}: an annotation is not a type: {error}") from error

    def info(self) -> RecordInfo:
        """What the class declares.

        Raises:
            DeclarationError: something in it is wrong; an `Undefined` may come right when later classes are there.
        """
        if self._info is None:
            derived = derive(self.cls)
            topic = self._topic(derived.schema)
            self._info = RecordInfo(topic.schema if topic else derived.schema, topic, derived.classes)
            self.frame = None
        return self._info

    def _topic(self, schema: Schema) -> Topic | None:
        options = self.options
        if options.topic is None:
            return None
        return Topic.declare(
            options.topic,
            schema,
            identity=self._identity(options.topic),
            merge=self._merge(options.topic),
            event_time=options.event_time,
            checks=options.checks,
            owner=options.owner,
            partition_key=options.partition_key,
            audit=options.audit,
            codec=options.codec,
        )

    def _identity(self, topic: str) -> tuple[str, ...]:
        marked = tuple(name for name, spec in specs(self.cls) if spec.identity)
        named = self.options.identity
        if marked and named and set(marked) != set(named):
            message = f"{', '.join(marked)} marked as identity, and {', '.join(named)} named"
            raise DeclarationError(message, topic=topic, remedy="do one of both")
        return named or marked

    def _merge(self, topic: str) -> MergePolicy | None:
        marked = tuple(name for name, spec in specs(self.cls) if spec.version)
        merge = self.options.merge
        if not marked:
            return merge
        if merge is None or not merge.by:
            return MergePolicy(merge.name if merge else "latest", marked)
        if set(marked) != set(merge.by):
            message = f"{', '.join(marked)} marked as version, and {', '.join(merge.by)} named by the merge policy"
            raise DeclarationError(message, topic=topic, remedy="do one of both")
        return merge


def specs(cls: type) -> Iterator[tuple[str, FieldSpec]]:
    """Name and spec of each field of a record class, in order."""
    for attribute in attrs.fields(cls):
        yield attribute.name, attribute.metadata.get(SPEC) or FieldSpec()


def declaration_of(cls: type) -> Declaration:
    """The declaration on a record class.

    Raises:
        DeclarationError: the class has none of its own.
    """
    declaration = cls.__dict__.get(DECLARED)
    if not isinstance(declaration, Declaration):
        raise DeclarationError(f"{cls.__qualname__} is not a record", remedy="decorate it with @record")
    return declaration
