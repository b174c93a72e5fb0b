"""Classes declare topics; each mistake is told at the class, with what was probably meant."""

from __future__ import annotations

import datetime as dt
import traceback
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

import attrs
import pytest

from onepipe.checks import col
from onepipe.declaring import vocabulary as op
from onepipe.declaring.record import record_info, topic_of
from onepipe.declaring.rules import FieldRules
from onepipe.errors import CheckError, DeclarationError
from onepipe.merge import MergePolicy

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
T = TypeVar("T")


@op.record(
    topic="Widgets",
    merge=op.latest("updated"),
    event_time="created",
    checks={"updated after created": "updated >= created"},
)
class Widget:
    """A thing that is made."""

    sid: str = op.field(identity=True)
    status: str
    created: dt.datetime
    updated: dt.datetime
    price: Annotated[Decimal, op.decimal(12, 2)] | None = op.field(default=None, ge=0, doc="List price, USD")


def test_one_class_declares_the_whole_topic() -> None:
    document = topic_of(Widget).document()
    assert document["onepipe"] == {
        "version": 1,
        "topic": "Widgets",
        "identity": ["sid"],
        "merge": {"policy": "latest", "by": ["updated"]},
        "event_time": "created",
        "checks": {"updated after created": "updated >= created"},
    }
    assert document["doc"] == "A thing that is made."
    price = document["fields"][4]
    assert price == {
        "name": "price",
        "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}],
        "default": None,
        "doc": "List price, USD",
        "onepipe": {"ge": 0},
    }


def test_records_are_frozen_keyword_only_compared_by_value_and_have_slots() -> None:
    widget = Widget(sid="W1", status="queued", created=T0, updated=T0)
    assert widget == Widget(sid="W1", status="queued", created=T0, updated=T0, price=None)
    assert hash(widget) == hash(attrs.evolve(widget))
    assert not hasattr(widget, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        widget.status = "done"  # type: ignore[misc]  # what is tested
    with pytest.raises(TypeError):
        Widget("W1", "queued", T0, T0)  # type: ignore[misc]  # what is tested


def test_a_copy_with_changes_leaves_the_record_as_it_is() -> None:
    widget = Widget(sid="W1", status="queued", created=T0, updated=T0)
    assert op.evolve(widget, status="done").status == "done"
    assert widget.status == "queued"
    with pytest.raises(TypeError):
        op.evolve(widget, state="done")
    with pytest.raises(DeclarationError, match="int is not a record"):
        op.evolve(1)


def test_the_topic_of_a_class_its_instance_and_itself_is_the_same() -> None:
    widget = Widget(sid="W1", status="queued", created=T0, updated=T0)
    assert topic_of(widget) is topic_of(Widget) is topic_of(topic_of(Widget))
    assert record_info(Widget).classes == {"Widget": Widget}


def test_what_declares_no_topic_says_so() -> None:
    @op.record
    class Part:
        n: int

    class Heir(Widget):
        pass

    with pytest.raises(DeclarationError, match="Part declares no topic"):
        topic_of(Part)
    with pytest.raises(DeclarationError, match="Heir is not a record"):
        topic_of(Heir)
    with pytest.raises(DeclarationError, match="str is not a record"):
        topic_of("Widgets")


def test_a_mutable_default_is_copied_for_each_record() -> None:
    @op.record(frozen=False)
    class Basket:
        items: list[str] = ["first"]  # noqa: RUF012  # what is tested: it is copied
        counts: dict[str, list[int]] = op.field(default={"a": [1]})

    one, other = Basket(), Basket()
    one.items.append("second")
    one.counts["a"].append(2)
    assert (other.items, other.counts) == (["first"], {"a": [1]})
    assert [f.default for f in record_info(Basket).schema.names["Basket"].fields] == [["first"], {"a": [1]}]  # type: ignore[union-attr]  # it is a record


def test_field_names_are_arguments_as_they_are() -> None:
    @op.record
    class Odd:
        _hidden: int
        _: int

    assert Odd(_hidden=1, _=2)._hidden == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"identity": "ids"}, "identity names 'ids', which is not a field; did you mean 'id'?"),
        ({"identity": ["id", "id"]}, "identity names a field twice"),
        ({"identity": "maybe"}, "union values cannot identify"),
        ({"identity": "amount"}, "double values cannot identify"),
        ({"identity": "tags"}, "array values cannot identify"),
        ({"identity": "id", "merge": op.latest("updatd")}, "did you mean 'updated'?"),
        ({"identity": "id", "merge": op.latest("tags")}, "values without an order make no version"),
        ({"identity": "id", "merge": op.maximum()}, "a record's merge policy is not 'max'"),
        ({"identity": "id", "merge": MergePolicy("lates")}, "did you mean 'latest'?"),
        ({"merge": op.latest("updated")}, "a merge policy needs an identity"),
        ({"event_time": "update"}, "did you mean 'updated'?"),
        ({"event_time": "amount"}, "event_time is a timestamp field"),
        ({"event_time": "wall"}, "event_time is a timestamp field"),
        ({"partition_key": "maybe"}, "union values cannot identify"),
        ({"partition_key": "idd"}, "did you mean 'id'?"),
        ({"audit": "none"}, "audit is 'counted' or 'named'"),
        ({"topic": "no spaces"}, "is not a topic name"),
        ({"topic": ".."}, "is not a topic name"),
        ({"checks": {"c": "amout > 1"}}, "amout"),
        ({"attributes": {"onepipe": {}}}, "use the argument"),
        ({"aliases": "Old"}, "aliases is a sequence"),
    ],
)
def test_a_mistake_in_the_declaration_is_told_at_the_class(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError) as caught:

        @op.record(**{"topic": "Mistakes", **options})
        class Mistake:
            id: str
            maybe: str | None
            amount: float
            tags: list[str]
            updated: dt.datetime
            wall: Annotated[dt.datetime, op.local]

    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "options", "says"),
    [
        (list[int], {"ge": 1}, "x"),
        (str, {"ge": 1}, "x"),
        (int, {"min_length": 1}, "x"),
        (int, {"pattern": "a+"}, "x"),
        (int, {"ge": "text"}, "x"),
        (str, {"max_length": -1}, "x"),
        (str, {"merge": op.union()}, "'union' cannot combine values of type string"),
        (list[list[int]], {"merge": op.union()}, "'union' cannot combine values of type array"),
        (list[int | None], {"merge": op.union()}, "'union' cannot combine"),
        (list[int], {"merge": op.maximum()}, "'max' cannot combine values of type array"),
        (int, {"merge": MergePolicy("max", ("v",))}, "leave out the field names"),
        (int, {"merge": MergePolicy("maxx")}, "there is no merge policy 'maxx'"),
        (int, {"merge": op.latest("w")}, "merge of x names 'w', which is not a field"),
        (int, {"merge": op.latest("tags")}, "values without an order"),
        (str, {"identity": True, "merge": op.latest()}, "identity or version has no merge policy of its own"),
        (int, {"sensitivity": "pii"}, "sensitivity is a sequence"),
        (int, {"attributes": {"doc": "x"}}, "use the argument"),
    ],
)
def test_a_mistake_in_a_field_is_told_at_the_class(annotation: Any, options: dict[str, Any], says: str) -> None:
    def declare() -> type:
        namespace = {
            "__annotations__": {"id": str, "v": int, "tags": list[str], "x": annotation},
            "__module__": __name__,
            "id": op.field(identity="identity" not in options),
            "x": op.field(**options),
        }
        return op.record(topic="Mistakes", merge=op.latest("v"))(type("Mistake", (), namespace))

    with pytest.raises(DeclarationError) as caught:
        declare()
    assert says in str(caught.value)


def test_a_fields_merge_policy_needs_one_of_the_record() -> None:
    with pytest.raises(DeclarationError, match="needs one of the record"):

        @op.record(topic="Mistakes", identity="id")
        class Mistake:
            id: str
            x: int = op.field(merge=op.maximum())


def test_a_check_outside_the_grammar_is_refused_with_topic() -> None:
    with pytest.raises(CheckError) as caught:

        @op.record(topic="Mistakes", checks={"c": "x >"})
        class Mistake:
            x: int

    assert caught.value.topic == "Mistakes"


def test_a_check_may_be_built_of_columns() -> None:
    @op.record(topic="Built", checks={"paid": col("paid") <= col("total")})
    class Built:
        paid: int
        total: int

    assert topic_of(Built).checks == {"paid": "paid <= total"}
    assert topic_of(Built).evolve(checks={"c": col("paid") > 0}).checks == {"c": "paid > 0"}


def test_marks_on_fields_say_identity_and_version() -> None:
    @op.record(topic="Marked", merge=op.first())
    class Marked:
        region: str = op.field(identity=True)
        number: int = op.field(identity=True)
        revision: int = op.field(version=True)

    @op.record(topic="Marked")
    class Latest:
        id: str = op.field(identity=True)
        revision: int = op.field(version=True)

    assert topic_of(Marked).identity == ("region", "number")
    assert topic_of(Marked).merge == op.first("revision")
    assert topic_of(Latest).merge == op.latest("revision")


def test_a_mark_may_repeat_what_is_named() -> None:
    @op.record(topic="Marked", identity="id", merge=op.latest("v"))
    class Marked:
        id: str = op.field(identity=True)
        v: int = op.field(version=True)

    assert (topic_of(Marked).identity, topic_of(Marked).merge) == (("id",), op.latest("v"))


def test_an_annotation_that_is_no_type_is_refused() -> None:
    for text in ("int +", "5", "dt.nothing"):
        with pytest.raises(DeclarationError, match=r"R.*(is not a type|has no Avro type)"):
            op.record(type("R", (), {"__annotations__": {"x": text}, "__module__": __name__}))


def test_marks_that_contradict_what_is_named_are_refused() -> None:
    with pytest.raises(DeclarationError, match="a marked as identity, and b named"):

        @op.record(topic="Twice", identity="b")
        class Identity:
            a: str = op.field(identity=True)
            b: str

    with pytest.raises(DeclarationError, match="v marked as version, and w named"):

        @op.record(topic="Twice", merge=op.latest("w"))
        class Version:
            a: str = op.field(identity=True)
            v: int = op.field(version=True)
            w: int


def test_a_record_inherits_fields_rules_and_order() -> None:
    @op.record
    class Base:
        id: str = op.field(identity=True, max_length=10)
        note: str | None = None

    @op.record(topic="Heirs", merge=op.latest("v"))
    class Heir(Base):
        v: int
        note: str = "changed"

    topic = topic_of(Heir)
    assert [f.name for f in topic.record.fields] == ["id", "v", "note"]
    assert topic.identity == ("id",)
    assert FieldRules.of(topic.record.field("id")).constraints == {"max_length": 10}
    assert topic.record.field("note").default == "changed"
    assert Heir(id="a", v=1) == Heir(id="a", v=1, note="changed")


def test_a_field_of_a_base_that_is_no_record_is_refused() -> None:
    @attrs.define
    class Base:
        id: int

    with pytest.raises(DeclarationError, match="decorate that class with @record too"):

        @op.record
        class Heir(Base):
            x: int


def test_a_record_may_hold_itself_and_others_that_follow() -> None:
    @op.record(topic="Trees")
    class Tree:
        children: list[Tree]
        owner: Owner | None = None

    @op.record
    class Owner:
        name: str
        trees: list["Tree"]  # noqa: UP037  # the quoted form must work too

    info = record_info(Tree)
    assert info.classes == {"Tree": Tree, "Owner": Owner}
    assert record_info(Owner).schema.document()["fields"][1]["type"]["items"]["name"] == "Tree"


def test_an_annotation_that_names_nothing_is_told_at_first_use() -> None:
    @op.record(topic="Typos")
    class Typo:
        x: Widgett  # type: ignore[name-defined]  # noqa: F821  # what is tested

    with pytest.raises(DeclarationError, match=r"names 'Widgett', which is not defined; did you mean 'Widget'\?"):
        topic_of(Typo)


def test_generic_records_unannotated_fields_and_impossible_names_are_refused() -> None:
    with pytest.raises(DeclarationError, match="records are not generic"):

        @op.record
        class Box(Generic[T]):
            x: T

    with pytest.raises(DeclarationError, match="a field without annotation"):

        @op.record
        class Bare:
            x = op.field(doc="what")

    with pytest.raises(DeclarationError, match="'__x__' cannot be an attribute"):

        @op.record
        class Hidden:
            __x__: int

    with pytest.raises(DeclarationError, match="declare it kw_only"):

        @op.record(kw_only=False)
        class Positional:
            x: int = 1
            y: str

    with pytest.raises(DeclarationError, match="a default or a factory"):
        op.field(default=[], factory=list)  # type: ignore[call-overload]  # what is tested

    with pytest.raises(DeclarationError, match="begin with _op_"):

        @op.record(topic="Reserved")
        class Reserved:
            _op_offset: int


def test_rules_of_a_topics_fields_are_refused_inside_another_record() -> None:
    @op.record
    class Limited:
        n: int = op.field(ge=0)

    @op.record
    class Marked:
        n: int = op.field(identity=True)

    @op.record
    class Tagged:
        n: int = op.field(sensitivity=["pii"])

    for inner, says in ((Limited, "ge is for a topic's own fields"), (Marked, "identity is for")):
        with pytest.raises(DeclarationError, match=says):
            op.record(type("Outer", (), {"__annotations__": {"inner": inner}, "__module__": __name__}))

    @op.record
    class Outer:
        inner: Tagged

    (field,) = record_info(Outer).schema.document()["fields"][0]["type"]["fields"]
    assert field["onepipe"] == {"sensitivity": ["pii"]}


def test_what_to_write_instead_of_an_inner_fields_constraint_works() -> None:
    @op.record
    class Line:
        quantity: int = op.field(ge=1)

    with pytest.raises(DeclarationError, match=r"a check of the topic can say it by the path.*of an array's items"):
        op.record(type("Outer", (), {"__annotations__": {"line": Line}, "__module__": __name__}))

    @op.record
    class Free:
        quantity: int

    @op.record(topic="Orders", checks={"a line has goods": "line.quantity >= 1"})
    class Order:
        line: Free

    assert list(topic_of(Order).checks) == ["a line has goods"]


def test_a_mistake_at_the_class_shows_the_callers_frame_and_the_decorators_alone() -> None:
    with pytest.raises(DeclarationError) as raised:

        @op.record(topic="Widgets", identity="sidd")
        class Widget:
            sid: str

    frames = traceback.extract_tb(raised.value.__traceback__)
    assert [frame.name for frame in frames] == [
        "test_a_mistake_at_the_class_shows_the_callers_frame_and_the_decorators_alone",
        "decorate",
    ]
    assert "sidd" in (frames[0].line or "")


def test_a_mistake_at_the_class_keeps_its_cause() -> None:
    with pytest.raises(DeclarationError) as raised:

        @op.record(topic="Widgets")
        class Widget:
            sid: str = op.field(pattern="(")

    assert isinstance(raised.value.__cause__, CheckError)


def test_limits_of_dates_and_decimals_stand_as_text() -> None:
    @op.record(topic="Limits")
    class Limits:
        price: Annotated[Decimal, op.decimal(9, 2)] = op.field(gt=Decimal("0.01"))
        born: dt.date = op.field(ge=dt.date(1900, 1, 1))
        seen: dt.datetime = op.field(lt=T0)

    rules = [f["onepipe"] for f in topic_of(Limits).document()["fields"]]
    assert rules == [{"gt": "0.01"}, {"ge": "1900-01-01"}, {"lt": "2026-01-01T00:00:00+00:00"}]


def test_namespaces_are_inherited_unless_given() -> None:
    @op.record
    class Line:
        n: int

    @op.record(namespace="")
    class Plain:
        n: int

    @op.record(topic="Orders", namespace="com.shop")
    class Order:
        lines: list[Line]
        plain: Plain

    assert set(record_info(Order).classes) == {"com.shop.Order", "com.shop.Line", "Plain"}
