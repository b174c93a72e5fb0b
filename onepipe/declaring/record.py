"""Records: typed classes that declare topics.

A record is an attrs class with slots, frozen and keyword-only unless told otherwise. Its values are checked when it is
published, not when it is made. A record without topic is a type to be used inside others.
"""

from __future__ import annotations

import copy
import datetime as dt
import enum
import inspect
import json
import keyword
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload
from uuid import UUID

import attrs
from attrs.exceptions import UnannotatedAttributeError
from typing_extensions import dataclass_transform

from onepipe.declaring import arguments
from onepipe.declaring.record_source import (
    SPEC,
    Declaration,
    FieldSpec,
    RecordInfo,
    RecordOptions,
    Undefined,
    declaration_of,
)
from onepipe.declaring.rules import ATTRIBUTE, CONSTRAINTS, FieldRules
from onepipe.declaring.topic import Audit, Topic
from onepipe.errors import DeclarationError
from onepipe.merge import MergePolicy, require_policy
from onepipe.schema.declared import DECLARED, EnumSource
from onepipe.schema.model import JSON, NO_DEFAULT
from onepipe.schema.values import Duration, symbol_of

if TYPE_CHECKING:  # what the overloads take; at run time the signatures below say it
    from typing_extensions import TypedDict, Unpack

    from onepipe.checks import Expression

    class _FieldOptions(TypedDict, total=False):
        identity: bool
        version: bool
        ge: Any
        gt: Any
        le: Any
        lt: Any
        min_length: int | None
        max_length: int | None
        pattern: str | None
        doc: str | None
        aliases: Sequence[str]
        sensitivity: Sequence[str]
        merge: MergePolicy | None
        attributes: Mapping[str, JSON] | None
        json_default: JSON

    class _RecordOptions(TypedDict, total=False):
        topic: str | None
        identity: str | Sequence[str]
        merge: MergePolicy | None
        event_time: str | None
        checks: Mapping[str, str | Expression] | None
        owner: str | None
        partition_key: str | Sequence[str]
        audit: Audit
        codec: str | None
        name: str | None
        namespace: str | None
        doc: str | None
        aliases: Sequence[str]
        attributes: Mapping[str, JSON] | None
        frozen: bool
        kw_only: bool


__all__ = ["RecordInfo", "enumeration", "evolve", "field", "is_record", "record", "record_info", "topic_of"]

_T = TypeVar("_T")
_Class = TypeVar("_Class", bound=type)
_Enum = TypeVar("_Enum", bound=type[enum.Enum])

_IMMUTABLE: Final = (str, bytes, int, float, type(None), Decimal, dt.date, dt.time, UUID, Duration, enum.Enum)
_EMPTY: Final[Mapping[Any, JSON]] = {list: [], tuple: [], dict: {}}
_FIELD_KEYS: Final = frozenset({"name", "type", "default", "doc", "aliases", ATTRIBUTE})
_RECORD_KEYS: Final = frozenset({"name", "namespace", "fields", "symbols", "doc", "aliases"})


@overload
def field(*, default: _T, **options: Unpack[_FieldOptions]) -> _T: ...
@overload
def field(*, factory: Callable[[], _T], **options: Unpack[_FieldOptions]) -> _T: ...
@overload
def field(**options: Unpack[_FieldOptions]) -> Any: ...
def field(
    *,
    default: Any = NO_DEFAULT,
    factory: Callable[[], Any] | None = None,
    identity: bool = False,
    version: bool = False,
    ge: Any = None,
    gt: Any = None,
    le: Any = None,
    lt: Any = None,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
    doc: str | None = None,
    aliases: Sequence[str] = (),
    sensitivity: Sequence[str] = (),
    merge: MergePolicy | None = None,
    attributes: Mapping[str, JSON] | None = None,
    json_default: JSON = NO_DEFAULT,
) -> Any:
    """Declare a field of a record; a field that needs none of this is its annotation alone.

    Args:
        default: the value where none is given, here and in the schema; a mutable one is copied for each record.
        factory: makes the value where none is given; the schema has that default for `list`, `dict` and `tuple` only.
        identity: the field says which thing the record is about.
        version: the field says which of several records of one identity is the latest.
        ge: the least value.
        gt: what every value is greater than.
        le: the greatest value.
        lt: what every value is less than.
        min_length: least number of characters of text, or of bytes.
        max_length: greatest number of characters of text, or of bytes.
        pattern: regular expression that the whole text matches.
        doc: what the field means.
        aliases: former names.
        sensitivity: tags such as "pii".
        merge: how this field's values are joined, where it is not as the record's.
        attributes: further attributes of the field in the schema.
        json_default: the default as it stands in the schema, where it is not to be the Python one.

    Raises:
        DeclarationError: both a default and a factory, a merge that is no policy, or an attribute that has an argument
            of its own.
    """
    if default is not NO_DEFAULT and factory is not None:
        raise DeclarationError("a field has a default or a factory, not both")
    if factory is not None and not callable(factory):
        raise DeclarationError(f"a field's factory is a function, not {type(factory).__name__}")
    require_policy("a field's merge", merge)
    limits = dict(zip(CONSTRAINTS, (ge, gt, le, lt, min_length, max_length, pattern), strict=True))
    constraints = {name: _limit(limit) for name, limit in limits.items() if limit is not None}
    spec = FieldSpec(
        identity,
        version,
        FieldRules(constraints, arguments.texts("sensitivity", sensitivity), merge),
        doc,
        arguments.texts("aliases", aliases),
        _further(attributes, _FIELD_KEYS if constraints or sensitivity or merge else _FIELD_KEYS - {ATTRIBUTE}),
        json_default=json_default,
    )
    if factory is not None:
        return attrs.field(factory=factory, metadata={SPEC: spec})
    return attrs.field(default=attrs.NOTHING if default is NO_DEFAULT else default, metadata={SPEC: spec})


@overload
def record(cls: _Class, /) -> _Class: ...
@overload
def record(**options: Unpack[_RecordOptions]) -> Callable[[_Class], _Class]: ...
@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def record(
    cls: type | None = None,
    /,
    *,
    topic: str | None = None,
    identity: str | Sequence[str] = (),
    merge: MergePolicy | None = None,
    event_time: str | None = None,
    checks: Mapping[str, str | Expression] | None = None,
    owner: str | None = None,
    partition_key: str | Sequence[str] = (),
    audit: Audit = "counted",
    codec: str | None = None,
    name: str | None = None,
    namespace: str | None = None,
    doc: str | None = None,
    aliases: Sequence[str] = (),
    attributes: Mapping[str, JSON] | None = None,
    frozen: bool = True,
    kw_only: bool = True,
) -> Any:
    """Make a class a record, and the declaration of a topic where one is named.

    Args:
        cls: the class, where the decorator stands without parentheses.
        topic: name of the topic; without it the record is a type to be used inside others.
        identity: fields that say which thing a record is about, in order; or mark them by `field(identity=True)`.
        merge: which of several records of one identity is true; without it nothing is merged.
        event_time: the field that says when it happened.
        checks: SQL boolean expressions by name; a record for which one is false is invalid.
        owner: who answers for the topic.
        partition_key: fields whose values choose the partition; the identity's where empty.
        audit: "counted", or "named" to keep each record's identity as evidence.
        codec: name of the codec in which messages' bodies are written; None for Avro.
        name: Avro name of the record, the class's by default.
        namespace: Avro namespace; None is that of the record it is used in, "" is none.
        doc: what the record means, the class's docstring by default.
        aliases: former names.
        attributes: further attributes of the record in the schema.
        frozen: whether its fields cannot be set again.
        kw_only: whether the constructor takes its arguments by name only.

    Raises:
        DeclarationError: a mistake in the declaration; says class, field and remedy. Where an annotation names a class
            that is defined later, the declaration is checked when it is first used.
    """
    frame = inspect.currentframe()
    caller = frame.f_back if frame else None

    def declare(plain: type) -> type:
        if not isinstance(plain, type):
            raise DeclarationError(f"@record decorates a class, not {type(plain).__name__}")
        options = RecordOptions(
            name=arguments.text("name", name) or plain.__name__,
            topic=arguments.text("topic", topic),
            identity=arguments.names("identity", identity),
            merge=merge,
            event_time=arguments.text("event_time", event_time),
            checks=arguments.checks(checks),
            owner=arguments.text("owner", owner),
            partition_key=arguments.names("partition_key", partition_key),
            audit=audit,
            codec=arguments.text("codec", codec),
            namespace=arguments.text("namespace", namespace),
            doc=_doc(plain) if doc is None else arguments.text("doc", doc),
            aliases=arguments.texts("aliases", aliases),
            attributes=_further(attributes, _RECORD_KEYS if topic is None else _RECORD_KEYS | {ATTRIBUTE}),
        )
        made = _attrs_class(plain, frozen=frozen, kw_only=kw_only)
        declaration = Declaration(made, options, caller)
        setattr(made, DECLARED, declaration)
        with suppress(Undefined):  # what is not defined yet may be a class that follows
            declaration.info()
        return made

    def decorate(plain: type) -> type:
        try:
            return declare(plain)
        except DeclarationError as error:  # a mistake at the class: what leads there is the caller's frame, not ours
            raise error.with_traceback(None) from error.__cause__

    return decorate if cls is None else decorate(cls)


def enumeration(
    *,
    name: str | None = None,
    namespace: str | None = None,
    doc: str | None = None,
    default: str | enum.Enum | None = None,
    aliases: Sequence[str] = (),
    attributes: Mapping[str, JSON] | None = None,
) -> Callable[[_Enum], _Enum]:
    """Say of an Enum what its Avro type has beyond the symbols; an Enum that needs none of this is used as it is.

    Args:
        name: Avro name, the class's by default.
        namespace: Avro namespace; None is that of the record it is used in, "" is none.
        doc: what it means, the class's docstring by default.
        default: the symbol, or member, that stands for symbols a reader does not know.
        aliases: former names.
        attributes: further attributes of the type in the schema.
    """

    def decorate(cls: _Enum) -> _Enum:
        if not isinstance(cls, type):
            raise DeclarationError(f"@enumeration decorates an Enum, not {type(cls).__name__}")
        symbol = symbol_of(default) if default is not None else None
        further = _further(attributes, _RECORD_KEYS)
        source = EnumSource(name or cls.__name__, namespace, doc, symbol, arguments.texts("aliases", aliases), further)
        setattr(cls, DECLARED, source)
        return cls

    return decorate


def record_info(cls: type) -> RecordInfo:
    """What a record class declares.

    Raises:
        DeclarationError: not a record, or declared wrongly.
    """
    return declaration_of(cls).info()


def is_record(value: object) -> bool:
    """Whether a value is an instance of a record class."""
    return isinstance(type(value).__dict__.get(DECLARED), Declaration)


def topic_of(source: Any) -> Topic:
    """The topic that a record class, one of its instances, or a Topic itself declares.

    Raises:
        DeclarationError: it declares none.
    """
    if isinstance(source, Topic):
        return source
    cls = source if isinstance(source, type) else type(source)
    topic = record_info(cls).topic
    if topic is None:
        raise DeclarationError(f"{cls.__qualname__} declares no topic", remedy="name it: @record(topic=…)")
    return topic


def evolve(record: _T, /, **changes: Any) -> _T:
    """A copy of a record with some fields changed.

    Args:
        record: an instance of a record class.
        **changes: the new values by field.

    Raises:
        DeclarationError: not a record.
        TypeError: a name that is not a field.
    """
    declaration_of(type(record))
    return attrs.evolve(record, **changes)  # type: ignore[misc]  # record classes are attrs classes underneath


def _attrs_class(plain: type, *, frozen: bool, kw_only: bool) -> type:
    """The attrs class of a plain one."""
    if getattr(plain, "__parameters__", ()):
        raise DeclarationError(f"{plain.__qualname__}: records are not generic", remedy="write the types that it holds")
    try:
        return attrs.define(
            plain, frozen=frozen, kw_only=kw_only, slots=True, auto_attribs=True, field_transformer=_fields
        )
    except UnannotatedAttributeError as error:
        raise DeclarationError(f"{plain.__qualname__}: a field without annotation", remedy=str(error)) from error
    except ValueError as error:  # attrs: a field without default follows one with
        raise DeclarationError(f"{plain.__qualname__}: {error}", remedy="declare it kw_only") from error


def _fields(cls: type, attributes: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    """Each attribute with its name as argument, a default of its own, and what the schema says of that."""
    for attribute in attributes:
        name = attribute.name
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("__") or name == "self":
            message = f"{cls.__qualname__}: {name!r} cannot be an attribute of a class"
            raise DeclarationError(message, field=name, remedy="read and write such records as dicts, by the schema")
        if not attribute.init:
            message = f"{cls.__qualname__}: records are made from all of their fields"
            raise DeclarationError(message, field=name, remedy="leave out init=False")
    return [a if a.inherited else _own(a) for a in attributes]  # type: ignore[attr-defined]  # the stub lacks it


def _own(attribute: attrs.Attribute[Any]) -> attrs.Attribute[Any]:
    spec = attribute.metadata.get(SPEC) or FieldSpec()
    default = attribute.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class, which its stub declares as a function
        maker = None if default.takes_self else default.factory  # type: ignore[union-attr]  # as above
        spec = attrs.evolve(spec, default=_EMPTY.get(maker, NO_DEFAULT))
    elif default is not attrs.NOTHING:
        spec = attrs.evolve(spec, default=default)
        if not isinstance(default, _IMMUTABLE):
            attribute = attribute.evolve(default=attrs.Factory(lambda: copy.deepcopy(default)))
    return attribute.evolve(alias=attribute.name, metadata={**attribute.metadata, SPEC: spec})


def _doc(cls: type) -> str | None:
    doc = cls.__dict__.get("__doc__")
    return inspect.cleandoc(doc) if doc else None


def _limit(limit: Any) -> JSON:
    """A constraint's limit as JSON."""
    if isinstance(limit, Decimal):
        return str(limit)
    return limit.isoformat() if isinstance(limit, dt.date | dt.time) else limit


def _further(attributes: object, taken: frozenset[str]) -> Mapping[str, JSON]:
    if attributes is not None and not isinstance(attributes, Mapping):
        raise DeclarationError(f"attributes are JSON values by name, not {type(attributes).__name__}")
    further = dict(attributes or {})
    for key in taken.intersection(further):
        raise DeclarationError(f"{key!r} is not a further attribute", remedy="use the argument that is made for it")
    try:
        json.dumps(further, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise DeclarationError(f"attributes are JSON values: {error}") from error
    return further
