"""What is called readable is read, and what is not has a value that is not: against two independent resolutions."""

from __future__ import annotations

import io

import fastavro
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from schema_changes import Unreadable, changed, corners, resolve
from strategies import evolved, schemas

from onepipe.errors import ResolutionError
from onepipe.schema.compatibility import Kind, Level, can_read, check
from onepipe.schema.model import Schema, Union, branch_name
from onepipe.schema.resolve import ArrayPlan, EnumPlan, MapPlan, RecordPlan, RefusedPlan, UnionPlan
from onepipe.schema.resolve import resolve as plan_of

QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=100)
PLAIN = schemas(depth=2, logical=False)


@st.composite
def pairs(draw, source=PLAIN):
    writer = draw(source)
    return draw(changed(writer)), writer


def unreadable(reader, writer, value):
    try:
        resolve(reader, reader.root, writer, writer.root, value)
    except Unreadable:
        return True
    return False


@QUICK
@given(pairs())
def test_a_schema_is_readable_exactly_where_every_corner_of_it_is(pair):
    reader, writer = pair
    problems = can_read(reader, writer)
    event(f"readable: {not problems}")
    failing = [value for value in corners(writer) if unreadable(reader, writer, value)]
    assert bool(problems) == bool(failing), (problems, reader.text, writer.text)


@QUICK
@given(schemas(depth=2).flatmap(evolved))
def test_schemas_evolved_as_readers_can_follow_are_readable(pair):
    writer, reader = pair
    assert can_read(reader, writer) == ()


def tagged(schema, node, value):
    """A value as fastavro takes it: a union's value as the name of its branch and the value."""
    node = schema.resolve(node)
    if isinstance(node, Union):
        number, inner = value
        branch = node.branches[number]
        return (branch_name(branch), tagged(schema, branch, inner))
    if isinstance(value, dict):
        types = {field.name: field.type for field in node.fields} if hasattr(node, "fields") else {}
        return {key: tagged(schema, types[key] if types else node.values, inner) for key, inner in value.items()}
    return [tagged(schema, node.items, inner) for inner in value] if isinstance(value, list) else value


@QUICK
@given(pairs())
def test_fastavro_reads_every_corner_of_what_is_called_readable(pair):
    reader, writer = pair
    if can_read(reader, writer):
        return
    for value in corners(writer):
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, writer.document(), tagged(writer, writer.root, value))
        buffer.seek(0)
        fastavro.schemaless_reader(buffer, writer.document(), reader.document())
        assert buffer.read() == b""


def reads_all(plan):
    """Whether a decoder's plan refuses no value of the writer."""
    pending, seen = [plan], set()
    while pending:
        plan = pending.pop()
        match plan:
            case RefusedPlan() | RecordPlan(refused=ResolutionError()):
                return False
            case EnumPlan(symbols=symbols) if None in symbols:
                return False
            case RecordPlan(steps=steps) if id(plan) not in seen:
                seen.add(id(plan))
                pending += [step.plan for step in steps]
            case UnionPlan(branches=inner):
                pending += inner
            case ArrayPlan(items=inner) | MapPlan(values=inner):
                pending.append(inner)
    return True


@QUICK
@given(pairs() | pairs(schemas(depth=2)) | st.tuples(schemas(depth=2), schemas(depth=2)))
def test_decoding_refuses_exactly_what_is_called_unreadable(pair):
    reader, writer = pair
    try:
        decodes = reads_all(plan_of(reader, writer))
    except ResolutionError:
        decodes = False
    assert decodes == (can_read(reader, writer) == ()), (reader.text, writer.text)


@QUICK
@given(schemas(), schemas())
def test_every_schema_reads_itself_and_any_two_are_judged(one, two):
    assert can_read(one, one) == ()
    for problem in can_read(one, two):
        assert problem.message
        assert problem.mend
        assert isinstance(problem.kind, Kind)


@QUICK
@given(pairs(), st.lists(st.integers(), max_size=2))
def test_the_levels_are_an_algebra(pair, extra):
    new, first = pair
    second = Schema.parse({"type": "record", "name": "Other", "fields": []}) if extra else first
    history = [first, second]
    found = {level: {(p.kind, p.field, p.mend) for p in check(level, new, history)} for level in Level}
    assert found[Level.NONE] == set()
    for suffix in ("", "_TRANSITIVE"):
        backward, forward = found[Level(f"BACKWARD{suffix}")], found[Level(f"FORWARD{suffix}")]
        assert found[Level(f"FULL{suffix}")] == backward | forward
    for name in ("BACKWARD", "FORWARD", "FULL"):
        assert found[Level(name)] <= found[Level(f"{name}_TRANSITIVE")]
    assert found[Level.BACKWARD_TRANSITIVE] == {
        (p.kind, p.field, p.mend) for earlier in history for p in can_read(new, earlier)
    }


@QUICK
@given(PLAIN)
def test_a_schema_follows_itself_at_every_level(schema):
    assert [check(level, schema, [schema]) for level in Level] == [()] * len(Level)
