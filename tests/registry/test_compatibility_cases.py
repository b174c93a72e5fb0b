"""The cases of the specification's schema resolution, and those a Confluent registry is known to decide, one by one."""

from __future__ import annotations

import itertools

import pytest

from onepipe.schema.compatibility import Kind, Level, can_read, check
from onepipe.schema.matching import choose_branch, pair_fields
from onepipe.schema.model import Record, Schema, Union

PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
PROMOTED = {
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
    ("string", "bytes"),
    ("bytes", "string"),
}


def row(*fields, name="R", **rest):
    return {"type": "record", "name": name, "fields": list(fields), **rest}


def record(*fields, **rest):
    return Schema.parse(row(*fields, **rest))


def field(name, type_, **rest):
    return {"name": name, "type": type_, **rest}


def enum(*symbols, name="E", **rest):
    return {"type": "enum", "name": name, "symbols": list(symbols), **rest}


def fixed(size, name="F", **rest):
    return {"type": "fixed", "name": name, "size": size, **rest}


def logical(base, name, **rest):
    return {"type": base, "logicalType": name, **rest}


def kinds(reader, writer):
    return [(p.kind, p.field) for p in can_read(Schema.parse(reader), Schema.parse(writer))]


@pytest.mark.parametrize(("writer", "reader"), [*itertools.product(PRIMITIVES, repeat=2)])
def test_primitives_are_read_as_themselves_or_promoted_by_the_specifications_table(writer, reader):
    assert (not kinds(reader, writer)) == (writer == reader or (writer, reader) in PROMOTED)


@pytest.mark.parametrize("wrap", [lambda t: {"type": "array", "items": t}, lambda t: {"type": "map", "values": t}])
@pytest.mark.parametrize(("writer", "reader"), [*itertools.product(("int", "long", "string"), repeat=2)])
def test_arrays_and_maps_are_read_where_what_they_hold_is(wrap, writer, reader):
    assert bool(kinds(wrap(reader), wrap(writer))) == bool(kinds(reader, writer))


def test_an_array_is_no_map():
    assert kinds({"type": "array", "items": "int"}, {"type": "map", "values": "int"}) == [(Kind.TYPE_MISMATCH, "")]


@pytest.mark.parametrize(
    ("reader", "writer", "expected"),
    [
        ("a.R", "a.R", []),
        ("a.R", "b.R", []),
        ("a.R", "R", []),
        ("a.R", "a.S", [Kind.NAME_MISMATCH]),
    ],
)
@pytest.mark.parametrize(
    "shape",
    [
        lambda name, **rest: row(name=name, **rest),
        lambda name, **rest: enum("A", name=name, **rest),
        lambda name, **rest: fixed(2, name=name, **rest),
    ],
)
def test_named_types_match_by_their_unqualified_name(shape, reader, writer, expected):
    assert [kind for kind, _ in kinds(shape(reader), shape(writer))] == expected


def test_named_types_match_by_an_alias_of_the_reader_only():
    old, new = enum("A", name="a.Old"), enum("A", name="a.New", aliases=["Old"])
    assert kinds(new, old) == []
    assert kinds(old, new) == [(Kind.NAME_MISMATCH, "")]


def test_a_fixed_keeps_its_size():
    assert kinds(fixed(3), fixed(2)) == [(Kind.FIXED_SIZE_MISMATCH, "")]


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        (enum("A", "B"), []),
        (enum("B", "A", "C"), []),
        (enum("A"), [(Kind.MISSING_ENUM_SYMBOLS, "")]),
        (enum("A", default="A"), []),
    ],
)
def test_an_enum_is_read_where_each_symbol_is_known_or_there_is_a_default(reader, expected):
    assert kinds(reader, enum("A", "B")) == expected


@pytest.mark.parametrize(
    ("reader", "writer", "expected"),
    [
        (["null", "int"], ["null", "int"], []),
        (["int", "null"], ["null", "int"], []),
        (["null", "long"], ["null", "int"], []),
        (["null", "int", "string"], ["null", "int"], []),
        (["null", "int"], ["null", "int", "string"], [Kind.MISSING_UNION_BRANCH]),
        (["null", "int"], "int", []),
        (["null", "double"], "int", []),
        (["null", "int"], "long", [Kind.MISSING_UNION_BRANCH]),
        ("int", ["int"], []),
        ("long", ["int", "long"], []),
        ("int", ["null", "int"], [Kind.MISSING_UNION_BRANCH]),
        ("int", ["int", "string"], [Kind.TYPE_MISMATCH]),
        ("string", ["bytes", "string"], []),
        (["null", {"type": "array", "items": "long"}], {"type": "array", "items": "int"}, []),
        ([{"type": "array", "items": "int"}], {"type": "array", "items": "string"}, [Kind.TYPE_MISMATCH]),
        (["null", fixed(2)], fixed(3), [Kind.MISSING_UNION_BRANCH]),
    ],
)
def test_unions_are_read_branch_by_branch(reader, writer, expected):
    assert [kind for kind, _ in kinds(reader, writer)] == expected


@pytest.mark.parametrize(
    ("branches", "writer", "chosen"),
    [
        (["double", "int"], "int", 1),
        (["double", "long"], "int", 1),
        (["bytes", "null"], "string", 0),
        (["null", "boolean"], "int", None),
        ([logical("long", "timestamp-millis"), "int"], "long", 0),
        ([{**enum("A"), "name": "b.E"}, {**enum("A"), "name": "a.E"}], enum("A", name="a.E"), 1),
        ([enum("A", name="b.E"), enum("A", name="c.F", aliases=["a.E"])], enum("A", name="a.E"), 1),
    ],
)
def test_a_readers_union_reads_with_its_nearest_branch(branches, writer, chosen):
    reader = Schema.parse(branches)
    assert isinstance(reader.root, Union)
    assert choose_branch(reader, reader.root, Schema.parse(writer).root) == chosen


@pytest.mark.parametrize(
    ("reader", "writer", "expected"),
    [
        (logical("long", "timestamp-micros"), logical("long", "timestamp-millis"), [Kind.LOGICAL_TYPE_MISMATCH]),
        (logical("long", "timestamp-micros"), logical("int", "date"), [Kind.LOGICAL_TYPE_MISMATCH]),
        (logical("long", "timestamp-micros"), logical("long", "timestamp-micros"), []),
        (logical("long", "timestamp-micros"), "long", []),
        ("long", logical("long", "timestamp-micros"), []),
        ("long", logical("int", "date"), []),
        (logical("long", "of-another-release"), logical("long", "timestamp-micros"), []),
        ("bytes", logical("bytes", "decimal", precision=4, scale=2), []),
        ("string", logical("bytes", "decimal", precision=4, scale=2), [Kind.LOGICAL_TYPE_MISMATCH]),
        (logical("bytes", "decimal", precision=4, scale=2), "string", [Kind.LOGICAL_TYPE_MISMATCH]),
    ],
)
def test_a_logical_type_is_not_read_as_another(reader, writer, expected):
    assert [kind for kind, _ in kinds(reader, writer)] == expected


@pytest.mark.parametrize(("precision", "scale", "fine"), [(12, 2, True), (14, 2, False), (12, 3, False)])
@pytest.mark.parametrize("base", [{"type": "bytes"}, {"type": "fixed", "name": "D", "size": 8}])
def test_decimals_match_by_precision_and_scale(base, precision, scale, fine):
    old = {**base, "logicalType": "decimal", "precision": 12, "scale": 2}
    new = {**base, "logicalType": "decimal", "precision": precision, "scale": scale}
    assert (kinds(new, old) == []) is fine


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        (field("b", "int"), Kind.READER_FIELD_MISSING_DEFAULT_VALUE),
        (field("b", "int", default=1), None),
        (field("b", "int", default=None), Kind.INVALID_DEFAULT),
        (field("b", "int", default=2**31), Kind.INVALID_DEFAULT),
        (field("b", "boolean", default=0), Kind.INVALID_DEFAULT),
        (field("b", "bytes", default="\u0100"), Kind.INVALID_DEFAULT),
        (field("b", "bytes", default="\u00ff"), None),
        (field("b", fixed(2), default="ab"), None),
        (field("b", fixed(2), default="abc"), Kind.INVALID_DEFAULT),
        (field("b", enum("A"), default="B"), Kind.INVALID_DEFAULT),
        (field("b", ["null", "int"], default=None), None),
        (field("b", ["null", "int"], default=5), None),
        (field("b", ["null", "int"], default="5"), Kind.INVALID_DEFAULT),
        (field("b", {"type": "array", "items": "int"}, default=[1, 2]), None),
        (field("b", {"type": "array", "items": "int"}, default=["1"]), Kind.INVALID_DEFAULT),
        (field("b", {"type": "map", "values": "float"}, default={"x": 1}), None),
        (field("b", {"type": "map", "values": "float"}, default=[]), Kind.INVALID_DEFAULT),
        (field("b", row(field("x", "int"), name="S"), default={"x": 1}), None),
        (field("b", row(field("x", "int", default=1), name="S"), default={}), None),
        (field("b", row(field("x", "int"), name="S"), default={}), Kind.INVALID_DEFAULT),
        (field("b", row(field("x", "R", default={}), name="S"), default={}), Kind.INVALID_DEFAULT),
    ],
)
def test_an_added_field_needs_a_default_of_its_type(added, expected):
    problems = can_read(record(field("a", "int"), added), record(field("a", "int")))
    assert [(p.kind, p.field) for p in problems] == ([(expected, "b")] if expected else [])


def test_a_default_that_holds_itself_in_every_branch_is_refused_in_bounded_time():
    loop = row(field("r", ["R", row(field("r", ["R", "S"], default={}), name="S")], default={}))
    new = row(field("a", loop, default={}), name="T")
    assert kinds(new, row(name="T")) == [(Kind.INVALID_DEFAULT, "a")]


def test_a_removed_field_is_ignored_and_order_does_not_count():
    old = record(field("a", "int"), field("b", "string"), field("c", "long"))
    assert can_read(record(field("c", "long"), field("a", "int")), old) == ()


def test_a_renamed_field_is_found_by_its_alias():
    old, new = record(field("a", "int")), record(field("b", "long", aliases=["a"]))
    assert can_read(new, old) == ()
    assert [(p.kind, p.field) for p in can_read(old, new)] == [(Kind.READER_FIELD_MISSING_DEFAULT_VALUE, "a")]


def test_a_writers_field_feeds_one_field_of_the_reader_its_name_before_an_alias():
    reader = record(field("b", "int", aliases=["a"]), field("a", "int"), field("c", "int", aliases=["z"]))
    reader_2 = record(field("x", "int", aliases=["z"]), field("y", "int", aliases=["z"]))
    writer = record(field("a", "int"), field("z", "int"))
    assert isinstance(reader.root, Record)
    assert isinstance(reader_2.root, Record)
    assert isinstance(writer.root, Record)
    found = {name: source and source.name for name, source in pair_fields(reader.root, writer.root).items()}
    assert found == {"b": None, "a": "a", "c": "z"}
    found = {name: source and source.name for name, source in pair_fields(reader_2.root, writer.root).items()}
    assert found == {"x": "z", "y": None}


def test_a_problem_says_the_path_to_its_field():
    def order(sku, *, tag="int"):
        line = row(field("sku", sku), name="Line")
        return row(
            field("lines", {"type": "array", "items": line}),
            field("labels", {"type": "map", "values": {"type": "array", "items": tag}}),
            name="Order",
        )

    assert kinds(order("int", tag="boolean"), order("string")) == [
        (Kind.TYPE_MISMATCH, "labels{}[]"),
        (Kind.TYPE_MISMATCH, "lines[].sku"),
    ]


def test_a_problem_within_one_of_several_records_names_the_record():
    def payment(number):
        card, cash = row(field("number", number), name="Card"), row(name="Cash")
        return row(field("by", [card, cash]))

    assert kinds(payment("int"), payment("string")) == [(Kind.TYPE_MISMATCH, "by<Card>.number")]


def test_recursive_schemas_are_resolved_and_a_problem_in_them_is_told_once():
    def tree(value):
        children = field("children", {"type": "array", "items": "Tree"})
        return row(field("value", value), children, field("next", ["null", "Tree"]), name="Tree")

    assert kinds(tree("long"), tree("int")) == []
    assert kinds(tree("int"), tree("string")) == [(Kind.TYPE_MISMATCH, "value")]


def test_chains_of_thousands_of_records_need_neither_a_deep_stack_nor_much_time():
    def chain(value):
        first = row(field("f", value), name="R0")
        return [first, *(row(field("f", f"R{n - 1}"), name=f"R{n}") for n in range(1, 4000))]

    problems = kinds(chain("int"), chain("string"))
    assert [kind for kind, _ in problems] == [Kind.TYPE_MISMATCH]


# By change: the old schema, the new one, whether new reads old, whether old reads new.
LEVELS = {
    "add a field with a default": (record(), record(field("a", "int", default=0)), True, True),
    "add a field without a default": (record(), record(field("a", "int")), False, True),
    "remove a field with a default": (record(field("a", "int", default=0)), record(), True, True),
    "remove a field without a default": (record(field("a", "int")), record(), True, False),
    "widen a type": (record(field("a", "int")), record(field("a", "long")), True, False),
    "make a field optional": (record(field("a", "int")), record(field("a", ["null", "int"])), True, False),
    "make a field required": (record(field("a", ["null", "int"])), record(field("a", "int")), False, True),
    "add a symbol": (record(field("a", enum("A"))), record(field("a", enum("A", "B"))), True, False),
    "add a symbol, default known": (
        record(field("a", enum("A", default="A"))),
        record(field("a", enum("A", "B", default="A"))),
        True,
        True,
    ),
    "remove a symbol": (record(field("a", enum("A", "B"))), record(field("a", enum("A"))), False, True),
    "add a branch": (record(field("a", ["int"])), record(field("a", ["int", "string"])), True, False),
    "change a type": (record(field("a", "int")), record(field("a", "string")), False, False),
    "rename with an alias": (record(field("a", "int")), record(field("b", "int", aliases=["a"])), True, False),
    "rename the record": (record(name="Old"), record(name="New"), False, False),
    "string to bytes": (record(field("a", "string")), record(field("a", "bytes")), True, True),
    "nothing": (record(field("a", "int")), record(field("a", "int")), True, True),
}


@pytest.mark.parametrize("change", LEVELS)
@pytest.mark.parametrize("level", Level)
def test_each_level_decides_each_change(change, level):
    old, new, backward, forward = LEVELS[change]
    allowed = (backward or not level.backward) and (forward or not level.forward)
    assert (check(level, new, [old]) == ()) is allowed


def test_transitive_levels_look_at_every_earlier_schema_and_the_others_at_the_latest():
    first, second = record(field("a", "int")), record()
    third = record(field("a", "string", default=""))
    assert check(Level.BACKWARD, third, [first, second]) == ()
    (problem,) = check(Level.BACKWARD_TRANSITIVE, third, [first, second], ["version 1", "version 2"])
    assert (problem.kind, problem.field) == (Kind.TYPE_MISMATCH, "a")
    assert str(problem) == (
        "a: version 1 writes int, which the new schema cannot read as string (keep the type int, or a type it can be "
        "read as; another type is a new field with a default)"
    )


def test_a_problem_shared_by_several_versions_is_told_once_against_the_latest():
    olds = [record(field("a", "int"), doc=str(n)) for n in range(3)]
    labels = [f"version {n}" for n in (1, 2, 3)]
    problems = check(Level.FULL_TRANSITIVE, record(field("a", "string")), olds, labels)
    assert [p.message.split(",")[0] for p in problems] == ["version 3 writes int", "the new schema writes string"]


def test_a_forward_mend_speaks_of_the_new_schema():
    (problem,) = check(Level.FORWARD, record(), [record(field("a", "int"))], ["version 7"])
    assert str(problem) == (
        "a: the new schema has no such field, and version 7 no default for it (keep the field; before it goes, the "
        "readers' schema must have a default for it)"
    )


def test_the_first_schema_of_a_subject_follows_nothing():
    assert all(check(level, record(), []) == () for level in Level)
