"""Hypothesis strategies shared by all tests: Avro schemas, values of a schema, and schemas evolved from one another."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from decimal import Decimal
from typing import Any, Final

import attrs
from hypothesis import strategies as st

from onepipe.schema.model import (
    NO_DEFAULT,
    Array,
    Enum,
    Field,
    Fixed,
    Map,
    Named,
    Node,
    Primitive,
    Record,
    Reference,
    Schema,
    Union,
    branch_name,
)
from onepipe.schema.values import Duration, kind_of, to_base

FIELD_NAMES: Final = (
    *("id", "name", "amount", "x", "y", "updated", "tags", "_", "__", "_x1", "Zeta", "value", "data", "record", "pos"),
    *(
        "class",
        "None",
        "True",
        "def",
        "lambda",
        "self",
        "len",
        "type",
        "int",
        "__debug__",
        "__class__",
        "import",
        "bytes",
    ),
)
"""Field names, with Python's keywords and builtins among them: all are legal in Avro."""

_SYMBOLS: Final = ("A", "B", "C", "None", "class", "queued", "x_1")
_SPACES: Final = (None, None, "a", "a.b", "ns.x")
_PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_LOGICAL: Final = (
    ("date", "int"),
    ("time-millis", "int"),
    ("time-micros", "long"),
    ("timestamp-millis", "long"),
    ("timestamp-micros", "long"),
    ("local-timestamp-millis", "long"),
    ("local-timestamp-micros", "long"),
    ("uuid", "string"),
)
_PYTHON_KINDS: Final = {
    "int": "int",
    "long": "int",
    "float": "float",
    "double": "float",
    "string": "str",
    "enum": "str",
    "bytes": "bytes",
    "fixed": "bytes",
    "time-millis": "time",
    "time-micros": "time",
    **{f"timestamp-{unit}": "timestamp" for unit in ("millis", "micros")},
    **{f"local-timestamp-{unit}": "local" for unit in ("millis", "micros")},
}

_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
_docs = st.none() | st.sampled_from(("What it is.", 'with "quotes" and \\', "'''\n\"\"\"", "ünïcode", "{x} %s"))


@attrs.frozen
class _Options:
    logical: bool
    recursive: bool
    unions: bool
    ambiguous: bool
    defaults: bool


class _Builder:
    """Draws one schema document: keeps the names defined so far, and those of the records still open."""

    def __init__(self, draw: st.DrawFn, options: _Options) -> None:
        self.draw = draw
        self.options = options
        self.closed: list[str] = []
        self.open: list[str] = []
        self.count = 0

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def type(self, depth: int, space: str, *, guarded: bool = False, nullable: bool = True) -> Any:
        """A type's document.

        `guarded` says that a record may hold itself here, since its values can end here; `nullable` that the type may
        be null or a union.
        """
        kinds = ["primitive", "primitive", "enum", "fixed"] if nullable else ["not_null", "not_null", "enum", "fixed"]
        if self.options.logical:
            kinds += ["logical", "logical", "decimal", "fixed_logical"]
        if self.reachable(self.closed, space):
            kinds.append("earlier")
        if guarded and self.options.recursive and self.reachable(self.open, space):
            kinds.append("enclosing")
        if depth > 0:
            kinds += ["array", "map", "record"]
            kinds += ["optional", "optional", *(["union"] if self.options.unions else [])] if nullable else []
        return getattr(self, self.pick(*kinds))(depth, space)

    def primitive(self, _depth: int, _space: str) -> Any:
        return self.pick(*_PRIMITIVES)

    def not_null(self, _depth: int, _space: str) -> Any:
        return self.pick(*_PRIMITIVES[1:])

    def logical(self, _depth: int, _space: str) -> Any:
        name, base = self.pick(*_LOGICAL)
        return {"type": base, "logicalType": name}

    def decimal(self, _depth: int, space: str) -> Any:
        if self.draw(st.booleans()):
            precision = self.draw(st.integers(1, 40))
            head: dict[str, Any] = {"type": "bytes"}
        else:
            size = self.draw(st.integers(1, 16))
            precision = self.draw(st.integers(1, len(str((1 << (8 * size - 1)) - 1)) - 1))
            head = {**self.define("fixed", space), "size": size}
        scale = self.draw(st.integers(0, precision))
        return {**head, "logicalType": "decimal", "precision": precision, "scale": scale}

    def fixed_logical(self, _depth: int, space: str) -> Any:
        name, size = self.pick(("uuid", 16), ("duration", 12))
        return {**self.define("fixed", space), "size": size, "logicalType": name}

    def define(self, kind: str, space: str) -> dict[str, Any]:
        self.count += 1
        name, namespace = f"{kind.title()}{self.count}", self.pick(*_SPACES)
        document: dict[str, Any] = {"type": kind, "name": name}
        if namespace is not None:
            document["namespace"] = namespace
        inner = space if namespace is None else namespace
        (self.open if kind == "record" else self.closed).append(f"{inner}.{name}" if inner else name)
        if self.draw(st.booleans()):
            document["aliases"] = [f"Old{name}"]
        if kind != "fixed" and (doc := self.draw(_docs)) is not None:
            document["doc"] = doc
        return document

    def enum(self, _depth: int, space: str) -> Any:
        symbols = self.draw(st.lists(st.sampled_from(_SYMBOLS), min_size=1, unique=True))
        default = {"default": self.pick(*symbols)} if self.draw(st.booleans()) else {}
        return {**self.define("enum", space), "symbols": symbols, **default}

    def fixed(self, _depth: int, space: str) -> Any:
        return {**self.define("fixed", space), "size": self.draw(st.integers(0, 20))}

    def array(self, depth: int, space: str) -> Any:
        return {"type": "array", "items": self.type(depth - 1, space, guarded=True)}

    def map(self, depth: int, space: str) -> Any:
        return {"type": "map", "values": self.type(depth - 1, space, guarded=True)}

    def optional(self, depth: int, space: str) -> Any:
        inner = self.type(depth - 1, space, guarded=True, nullable=False)
        return self.draw(st.sampled_from((["null", inner], [inner, "null"])))

    @staticmethod
    def reachable(names: list[str], space: str) -> list[str]:
        """The names that can be written inside `space`: not every reader of schemas finds names without namespace."""
        return [name for name in names if "." in name or not space]

    def refer(self, names: list[str], space: str) -> str:
        namespace, _, last = self.pick(*self.reachable(names, space)).rpartition(".")
        return last if namespace == space else f"{namespace}.{last}"

    def earlier(self, _depth: int, space: str) -> str:
        return self.refer(self.closed, space)

    def enclosing(self, _depth: int, space: str) -> str:
        return self.refer(self.open, space)

    def record(self, depth: int, space: str) -> Any:
        head = self.define("record", space)
        inner = self.open[-1].rpartition(".")[0]
        names = self.draw(st.lists(st.sampled_from(FIELD_NAMES), max_size=6, unique=True))
        fields = [self.field(name, depth, inner) for name in names]
        self.closed.append(self.open.pop())
        return {**head, "fields": fields}

    def field(self, name: str, depth: int, space: str) -> Any:
        document = {"name": name, "type": self.type(depth - 1, space)}
        if (doc := self.draw(_docs)) is not None:
            document["doc"] = doc
        if self.draw(st.integers(0, 4)) == 0:
            document["aliases"] = [f"old_{name}"]
        return document

    def union(self, depth: int, space: str) -> Any:
        """Two to four branches; of different kinds of Python value unless ambiguous unions are wanted."""
        kinds: set[str] = set()
        keys: set[str] = set()
        branches: list[Any] = []
        for key, document in self.draw(st.permutations(_candidates(self.options.logical))):
            logical = document.get("logicalType") if isinstance(document, dict) else None
            kind = {"map": "dict", "record": "dict"}.get(key) or _PYTHON_KINDS.get(logical or key, logical or key)
            if key not in keys and (kind not in kinds or self.options.ambiguous):
                kinds.add(kind)
                keys.add(key)
                branches.append(document or getattr(self, key)(min(depth, 1), space))
            if len(branches) == 4 or (len(branches) > 1 and self.draw(st.booleans())):
                break
        return branches


def _candidates(logical: bool) -> list[tuple[str, Any]]:
    """Candidates for a union's branches: key that is unique in a union, and its document unless it is to be drawn."""
    candidates: list[tuple[str, Any]] = [(name, name) for name in _PRIMITIVES]
    candidates += [(name, None) for name in ("array", "map", "record", "enum", "fixed")]
    if logical:
        candidates += [(base, {"type": base, "logicalType": name}) for name, base in _LOGICAL]
        candidates.append(("bytes", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}))
    return candidates


@st.composite
def schemas(
    draw: st.DrawFn,
    *,
    record_root: bool = True,
    depth: int = 3,
    logical: bool = True,
    recursive: bool = True,
    unions: bool = True,
    ambiguous: bool = False,
    defaults: bool = True,
) -> Schema:
    """Any Avro schema.

    Args:
        record_root: whether the root is a record.
        depth: how deep records, arrays, maps and unions nest.
        logical: whether there are logical types.
        recursive: whether records may hold themselves.
        unions: whether there are unions beyond optionals.
        ambiguous: whether one Python value may fit several branches of a union.
        defaults: whether fields may have defaults.
    """
    builder = _Builder(draw, _Options(logical, recursive, unions, ambiguous, defaults))
    document = builder.record(depth, "") if record_root else builder.type(depth, "")
    schema = Schema.parse(document)
    return _relaid(schema, _with_defaults(draw, schema)) if defaults else schema


def values(schema: Schema, node: Node | None = None, *, finite: bool = False) -> st.SearchStrategy[Any]:
    """Logical values of a schema, records as dicts.

    Where several branches of a union take the value it stands as the pair `(branch name, value)`; `plain` gives what
    decoding returns. `finite` leaves NaN and the infinities out.
    """
    return _value(schema, schema.root if node is None else node, 5, finite)


@st.composite
def _value(draw: st.DrawFn, schema: Schema, node: Node, depth: int, finite: bool) -> Any:
    node = schema.resolve(node)
    below = depth - 1
    match node:
        case Record(fields=fields):
            return {field.name: draw(_value(schema, field.type, below, finite)) for field in fields}
        case Array(items=items):
            return draw(st.lists(_value(schema, items, below, finite), max_size=3 if depth > 0 else 0))
        case Map(values=inner):
            return draw(st.dictionaries(_text, _value(schema, inner, below, finite), max_size=3 if depth > 0 else 0))
        case Union(branches=branches):
            nulls = [b for b in branches if isinstance(b, Primitive) and b.name == "null"]
            branch = nulls[0] if nulls and depth <= 0 else draw(st.sampled_from(branches))
            value = draw(_value(schema, branch, below, finite))
            return (branch_name(branch), value) if is_ambiguous(schema, node) else value
        case _:
            return draw(_leaf(node, finite))


def is_ambiguous(schema: Schema, union: Union) -> bool:
    """Whether some Python value fits several branches of the union."""
    kinds = Counter(python_kind(schema.resolve(branch)) for branch in union.branches)
    return max(kinds.values()) > 1


def python_kind(node: Node) -> str:
    """The kind of Python value that stands for a type; types of one kind cannot be told apart by their values."""
    match node:
        case Record() | Map():
            return "dict"
        case Array():
            return "list"
        case Primitive() | Fixed() | Enum():
            return _PYTHON_KINDS.get(kind_of(node), kind_of(node))
        case _:
            raise TypeError(node)


def _leaf(node: Node, finite: bool) -> st.SearchStrategy[Any]:
    match node:
        case Enum(symbols=symbols):
            return st.sampled_from(symbols)
        case Primitive(logical=None, name=name):
            return _primitive(name, finite)
        case Fixed(logical=None, size=size):
            return st.binary(min_size=size, max_size=size)
        case Primitive(logical=logical) | Fixed(logical=logical) if logical is not None:
            return _logical(logical.name, logical.precision, logical.scale)
        case _:
            raise TypeError(node)


def _primitive(name: str, finite: bool) -> st.SearchStrategy[Any]:
    special = {"allow_nan": not finite, "allow_infinity": not finite}
    return {
        "null": st.none(),
        "boolean": st.booleans(),
        "int": st.integers(-(1 << 31), (1 << 31) - 1),
        "long": st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-200, 200),
        "float": st.floats(width=32, **special),
        "double": st.floats(**special),
        "bytes": st.binary(max_size=20),
        "string": _text,
    }[name]


def _logical(name: str, precision: int, scale: int) -> st.SearchStrategy[Any]:
    moments = st.datetimes()
    largest = 10**precision - 1
    counts = st.integers(0, (1 << 32) - 1)
    return {
        "date": st.dates(),
        "time-millis": st.times().map(_whole_millis),
        "time-micros": st.times(),
        "timestamp-millis": moments.map(_whole_millis).map(_utc),
        "timestamp-micros": moments.map(_utc),
        "local-timestamp-millis": moments.map(_whole_millis),
        "local-timestamp-micros": moments,
        "uuid": st.uuids(),
        "decimal": st.integers(-largest, largest).map(lambda n: Decimal(f"{n}E-{scale}")),
        "duration": st.builds(Duration, counts, counts, counts),
    }[name]


def _whole_millis(value: Any) -> Any:
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


def _utc(value: dt.datetime) -> dt.datetime:
    return value.replace(tzinfo=dt.UTC)


def plain(schema: Schema, value: Any, node: Node | None = None) -> Any:
    """A drawn value as decoding returns it: without the pairs that name a branch."""
    node = schema.resolve(schema.root if node is None else node)
    match node:
        case Record(fields=fields):
            return {field.name: plain(schema, value[field.name], field.type) for field in fields}
        case Array(items=items):
            return [plain(schema, item, items) for item in value]
        case Map(values=inner):
            return {key: plain(schema, item, inner) for key, item in value.items()}
        case Union():
            branch, inner_value = _branch(schema, node, value)
            return plain(schema, inner_value, branch)
        case _:
            return value


def base(schema: Schema, value: Any, node: Node | None = None) -> Any:
    """A drawn value in Avro's base form; of unions as pairs `(branch name, value)`, null alone as None."""
    node = schema.resolve(schema.root if node is None else node)
    match node:
        case Record(fields=fields):
            return {field.name: base(schema, value[field.name], field.type) for field in fields}
        case Array(items=items):
            return [base(schema, item, items) for item in value]
        case Map(values=inner):
            return {key: base(schema, item, inner) for key, item in value.items()}
        case Union():
            branch, inner_value = _branch(schema, node, value)
            converted = base(schema, inner_value, branch)
            return None if converted is None else (branch_name(branch), converted)
        case _:
            return to_base(node, value)  # type: ignore[arg-type]  # only leaves are left


def _branch(schema: Schema, union: Union, value: Any) -> tuple[Node, Any]:
    if is_ambiguous(schema, union):
        return next((b, value[1]) for b in union.branches if branch_name(b) == value[0])
    return next((b, value) for b in union.branches if _fits(schema.resolve(b), value))


def _fits(node: Node, value: Any) -> bool:
    kinds: dict[type, str] = {
        type(None): "null",
        bool: "boolean",
        int: "int",
        float: "float",
        str: "str",
        bytes: "bytes",
        dt.date: "date",
        dt.time: "time",
        Decimal: "decimal",
        Duration: "duration",
        list: "list",
        dict: "dict",
    }
    if isinstance(value, dt.datetime):
        return python_kind(node) == ("local" if value.tzinfo is None else "timestamp")
    return python_kind(node) == kinds.get(type(value), "uuid")


def to_json(schema: Schema, value: Any, node: Node) -> Any:
    """A drawn value as the JSON of a default: bytes as ISO-8859-1 text, unions without their branch."""
    node = schema.resolve(node)
    match node:
        case Record(fields=fields):
            return {field.name: to_json(schema, value[field.name], field.type) for field in fields}
        case Array(items=items):
            return [to_json(schema, item, items) for item in value]
        case Map(values=inner):
            return {key: to_json(schema, item, inner) for key, item in value.items()}
        case Union():
            branch, inner_value = _branch(schema, node, value)
            return to_json(schema, inner_value, branch)
        case _:
            converted = to_base(node, value)  # type: ignore[arg-type]  # only leaves are left
            return converted.decode("iso-8859-1") if isinstance(converted, bytes) else converted


def _with_defaults(draw: st.DrawFn, schema: Schema) -> dict[str, Named]:
    """The schema's named types with defaults on some fields; a union's is of its first branch, as old readers want."""
    definitions = dict(schema.names)
    for name, node in schema.names.items():
        if isinstance(node, Record):
            fields = [_with_default(draw, schema, field) for field in node.fields]
            definitions[name] = attrs.evolve(node, fields=tuple(fields))
    return definitions


def _with_default(draw: st.DrawFn, schema: Schema, field: Field) -> Field:
    node = schema.resolve(field.type)
    first = schema.resolve(node.branches[0]) if isinstance(node, Union) else node
    if draw(st.integers(0, 2)) or not _simple_default(schema, first):
        return field
    return attrs.evolve(field, default=to_json(schema, draw(values(schema, first, finite=True)), first))


def _simple_default(schema: Schema, node: Node) -> bool:
    """Whether the default's JSON says by itself what it stands for: no ambiguous unions inside."""
    seen: set[str] = set()
    pending = [node]
    while pending:
        node = schema.resolve(pending.pop())
        match node:
            case Record(name=name, fields=fields) if name not in seen:
                seen.add(name)
                pending += [field.type for field in fields]
            case Array(items=inner) | Map(values=inner):
                pending.append(inner)
            case Union() if node.nullable is None:
                return False
            case Union(branches=branches):
                pending += branches
            case _:
                pass
    return True


def _relaid(schema: Schema, definitions: dict[str, Named]) -> Schema:
    """A schema with other definitions under the same names, each standing where its name is first used."""
    placed: set[str] = set()

    def lay(node: Node) -> Node:
        match node:
            case Record() | Enum() | Fixed() | Reference():
                if node.name in placed:
                    return Reference(definitions[node.name].name)
                placed.add(node.name)
                named = definitions[node.name]
                if not isinstance(named, Record):
                    return named
                return attrs.evolve(named, fields=tuple(attrs.evolve(f, type=lay(f.type)) for f in named.fields))
            case Array(items=items):
                return attrs.evolve(node, items=lay(items))
            case Map(values=inner):
                return attrs.evolve(node, values=lay(inner))
            case Union(branches=branches):
                return Union(tuple(map(lay, branches)))
            case _:
                return node

    return Schema.parse(Schema(lay(schema.root), schema.names).document())


_PROMOTIONS: Final = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}


@st.composite
def evolved(draw: st.DrawFn, schema: Schema, *, promote_bytes: bool = False) -> tuple[Schema, Schema]:
    """A writer's schema and a reader's that can read all it writes.

    The reader reorders, drops, adds and renames (with alias) fields, renames types (with alias), promotes numbers,
    reorders and widens unions, makes types optional, and adds symbols. `promote_bytes` also reads bytes as text, which
    fails for bytes that are not UTF-8.
    """
    definitions = {name: _evolved_named(draw, node, promote_bytes) for name, node in schema.names.items()}
    for name, node in definitions.items():
        if isinstance(node, Record):
            definitions[name] = attrs.evolve(node, fields=_evolved_fields(draw, node, promote_bytes))
    root = _evolved_type(draw, schema.root, promote_bytes)
    return schema, _relaid(Schema(root, schema.names), definitions)


def _evolved_named(draw: st.DrawFn, node: Named, _promote_bytes: bool) -> Named:
    if draw(st.integers(0, 3)) == 0 and "." in node.name:
        space, _, last = node.name.rpartition(".")
        node = attrs.evolve(node, name=f"{space}.New{last}", aliases=(*node.aliases, node.name))
    if isinstance(node, Enum) and draw(st.booleans()):
        node = attrs.evolve(node, symbols=tuple(draw(st.permutations([*node.symbols, "added"]))))
    return node


def _evolved_fields(draw: st.DrawFn, record: Record, promote_bytes: bool) -> tuple[Field, ...]:
    kept = []
    for field in record.fields:
        change = draw(st.integers(0, 6))
        if change == 0:
            continue
        if change == 1:
            field = attrs.evolve(field, name=f"new_{field.name}", aliases=(*field.aliases, field.name))
        node = _evolved_type(draw, field.type, promote_bytes)
        simple = isinstance(node, Primitive | Enum | Fixed) and node == field.type
        kept.append(attrs.evolve(field, type=node, default=field.default if simple else NO_DEFAULT))
    if draw(st.booleans()):
        kept.append(draw(st.sampled_from(_ADDED)))
    return tuple(draw(st.permutations(kept)))


_ADDED: Final = (
    Field("added", Primitive("long"), 7),
    Field("added", Primitive("bytes"), "\u00ff\u0000"),
    Field("added", Union((Primitive("null"), Primitive("string"))), None),
    Field("added", Array(Primitive("double")), [1, 2.5]),
    Field("added", Map(Union((Primitive("long"), Primitive("null")))), {"k": 1}),
)


def _evolved_type(draw: st.DrawFn, node: Node, promote_bytes: bool) -> Node:
    match node:
        case Array(items=items):
            node = attrs.evolve(node, items=_evolved_type(draw, items, promote_bytes))
        case Map(values=inner):
            node = attrs.evolve(node, values=_evolved_type(draw, inner, promote_bytes))
        case Primitive(logical=None, name=name) if name in _PROMOTIONS and draw(st.integers(0, 3)) == 0:
            if promote_bytes or name not in ("bytes", "string"):
                node = Primitive(draw(st.sampled_from(_PROMOTIONS[name])))
        case Union(branches=branches):
            return Union(tuple(draw(st.permutations(branches))))
        case _:
            pass
    optional = isinstance(node, Primitive) and node.name != "null" and draw(st.integers(0, 5)) == 0
    return Union((node, Primitive("null"))) if optional else node
