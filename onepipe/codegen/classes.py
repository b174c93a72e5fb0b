"""The classes of a schema's records and enums."""

from __future__ import annotations

import inspect
import keyword
from typing import Final

from onepipe.codegen.annotations import AnnotationWriter
from onepipe.codegen.defaults import DefaultWriter
from onepipe.codegen.layout import WIDTH, Expression, Group, call, flat, laid_out, literal
from onepipe.codegen.names import Names, members, short_aliases
from onepipe.declaring.rules import ATTRIBUTE, FieldRules
from onepipe.declaring.topic import Topic
from onepipe.errors import DeclarationError
from onepipe.merge import POSITIONAL, MergePolicy
from onepipe.schema.model import JSON, NO_DEFAULT, Array, Enum, Field, Map, Node, Record, Schema, Union

_COMBINING: Final = {"max": "maximum", "min": "minimum", "union": "union"}
_INDENT: Final = "    "


class ClassWriter:
    """Writes the classes of one schema, each after those of the types defined in it.

    Attributes:
        names: names in the generated module.
        classes: name of the class of each record and enum by its full name.
    """

    def __init__(self, schema: Schema, topic: Topic | None) -> None:
        self._schema = schema
        self._topic = topic
        self._blocks: list[str] = []
        self._members: dict[str, dict[str, str]] = {}
        self._written: dict[str, str] = {}
        self.names = Names(schema)
        self.classes = {
            name: self.names.free(name.rpartition(".")[2])
            for name, node in schema.names.items()
            if isinstance(node, Record | Enum)
        }
        self._annotations = AnnotationWriter(schema, self.names, self.classes)
        self._defaults = DefaultWriter(schema, self.names, self._written, self._members)

    def text(self) -> str:
        """The classes written so far."""
        return "\n\n\n".join(self._blocks) + "\n"

    def record(self, record: Record, space: str) -> None:
        """Write a record's class; `space` is the namespace it is used in."""
        inner = record.name.rpartition(".")[0]
        for field in record.fields:
            self._define(field.type, inner)
        lines = [self._field(record, field) for field in record.fields]
        told = self._topic_arguments(self._topic) if self._topic and record is self._schema.root else {}
        self._class("record", record, space, told, "", lines)

    def _define(self, node: Node, space: str) -> None:
        match node:
            case Record():
                self.record(node, space)
            case Enum():
                self._enum(node, space)
            case Array(items=inner) | Map(values=inner):
                self._define(inner, space)
            case Union(branches=branches):
                for branch in branches:
                    self._define(branch, space)
            case _:
                return

    def _enum(self, node: Enum, space: str) -> None:
        named = self._members[node.name] = members(node.symbols)
        lines = [laid_out(f"{_INDENT}{name} = ", literal(symbol)) for symbol, name in named.items()]
        told: dict[str, Expression] = {} if node.default is None else {"default": literal(node.default)}
        self._class("enumeration", node, space, told, self.names.use("StrEnum"), lines)

    def _class(
        self, decorator: str, node: Record | Enum, space: str, told: dict[str, Expression], base: str, lines: list[str]
    ) -> None:
        """Write a class under its decorator; what the class says by itself is no argument of that."""
        name = self.classes[node.name]
        namespace, _, last = node.name.rpartition(".")
        docstring = _docstring(node.doc)
        arguments = dict(told)
        if last != name:
            arguments["name"] = literal(last)
        if namespace or namespace != space:
            arguments["namespace"] = literal(namespace)
        if node.doc is not None and docstring is None:
            arguments["doc"] = literal(node.doc)
        if node.aliases:
            arguments["aliases"] = literal(short_aliases(node))
        if attributes := self._further(node):
            arguments["attributes"] = literal(attributes)
        head = laid_out("", call(f"@{self.names.onepipe}.{decorator}", **arguments)) if arguments else ""
        if not head and decorator == "record":
            head = f"@{self.names.onepipe}.record"
        body = [*([docstring, ""] if docstring and lines else [docstring] if docstring else []), *lines]
        text = "\n".join(body) or f"{_INDENT}pass"
        self._blocks.append((f"{head}\n" if head else "") + f"class {name}{f'({base})' if base else ''}:\n{text}")
        self._written[node.name] = name

    def _further(self, node: Record | Enum) -> dict[str, JSON]:
        declares = self._topic is not None and node is self._schema.root
        return {key: value for key, value in node.attributes.items() if not (declares and key == ATTRIBUTE)}

    def _topic_arguments(self, topic: Topic) -> dict[str, Expression]:
        told: dict[str, Expression | None] = {
            "topic": literal(topic.name),
            "identity": literal(topic.identity) if not self._marks_identity(topic) else None,
            "merge": self._merge(topic.merge) if topic.merge else None,
            "event_time": literal(topic.event_time) if topic.event_time else None,
            "checks": literal(topic.checks) if topic.checks else None,
            "owner": literal(topic.owner) if topic.owner else None,
            "partition_key": literal(topic.partition_key) if topic.partition_key else None,
            "audit": literal(topic.audit) if topic.audit != "counted" else None,
            "codec": literal(topic.codec) if topic.codec else None,
        }
        return {name: value for name, value in told.items() if value is not None}

    def _marks_identity(self, topic: Topic) -> bool:
        """Whether marks on the fields say the identity: its order is theirs."""
        return topic.identity == tuple(f.name for f in topic.record.fields if f.name in topic.identity)

    def _merge(self, policy: MergePolicy) -> Expression:
        if policy.name in POSITIONAL:
            return call(f"{self.names.onepipe}.{policy.name}", *map(literal, policy.by))
        if policy.name in _COMBINING:
            return call(f"{self.names.onepipe}.{_COMBINING[policy.name]}")
        return call(f"{self.names.onepipe}.MergePolicy", literal(policy.name))

    def _field(self, record: Record, field: Field) -> str:
        if keyword.iskeyword(field.name) or field.name.startswith("__") or field.name == "self":
            message = f"{field.name!r} cannot be an attribute of a class"
            raise DeclarationError(message, field=field.name, remedy="read and write such records as dicts")
        type_ = self._annotations.field(field.type, record.name, field.name, field.default)
        told = {} if field.default is NO_DEFAULT else self._defaults.arguments(field.type, field.default)
        rules = self._rules(record, field)
        before = f"{_INDENT}{field.name}: "
        if not told and not rules:
            return laid_out(before, type_, "", _INDENT)
        plain = told.get("default")
        if isinstance(plain, str) and len(told) == 1 and not rules:
            return _assigned(before, type_, plain)
        return _assigned(before, type_, call(f"{self.names.onepipe}.field", **told, **rules))

    def _rules(self, record: Record, field: Field) -> dict[str, Expression]:
        """The arguments of `field()` apart from the default."""
        told: dict[str, Expression] = {}
        attributes = dict(field.attributes)
        if record is self._schema.root:
            rules = FieldRules.of(field)
            attributes.pop(ATTRIBUTE, None)
            if self._topic and field.name in self._topic.identity and self._marks_identity(self._topic):
                told["identity"] = "True"
            told |= {name: literal(limit) for name, limit in rules.constraints.items()}
            if rules.sensitivity:
                told["sensitivity"] = literal(rules.sensitivity)
            if rules.merge:
                told["merge"] = self._merge(rules.merge)
        if field.order is not None:
            attributes["order"] = field.order
        if field.doc is not None:
            told["doc"] = literal(field.doc)
        if field.aliases:
            told["aliases"] = literal(field.aliases)
        if attributes:
            told["attributes"] = literal(attributes)
        return told


def _assigned(before: str, type_: Expression, value: Expression) -> str:
    """An annotated assignment: what does not fit is broken in the value first, then in the annotation too."""
    start, inner = f"{before}{flat(type_)} = ", 2 * _INDENT
    first = value.opening if isinstance(value, Group) else flat(value)
    if len(f"{start}{first}") <= WIDTH:
        return laid_out(start, value, "", _INDENT)
    if len(f"{start}(") <= WIDTH and len(f"{inner}{first}") <= WIDTH:
        return f"{start}(\n{laid_out(inner, value, '', inner)}\n{_INDENT})"
    closing = f"{_INDENT}]"  # what the broken annotation ends with
    return laid_out(before, type_, laid_out(f"{closing} = ", value, "", _INDENT).removeprefix(closing), _INDENT)


def _docstring(doc: str | None) -> str | None:
    """A doc as docstring, or None where it would not come back the same, or a formatter would change it."""
    if not doc or '"' in doc or "\\" in doc or doc != doc.strip() or not doc.replace("\n", "").isprintable():
        return None
    lines = doc.split("\n")
    if any(line != line.rstrip() for line in lines):
        return None
    if len(lines) == 1:
        return f'{_INDENT}"""{doc}"""'
    inner = "\n".join(f"{_INDENT}{line}" if line else "" for line in lines[1:])
    text = f'"""{lines[0]}\n{inner}\n{_INDENT}"""'
    return f"{_INDENT}{text}" if inspect.cleandoc(text[3:-3]) == doc else None
