"""Annotations become the Avro types the reference names, and what has none is refused with its remedy."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional, TypeVar
from uuid import UUID

import attrs
import pytest
from typing_extensions import TypeAliasType

from onepipe.declaring.record import enumeration, field, record, record_info
from onepipe.errors import DeclarationError
from onepipe.schema.markers import (
    attributes,
    avro_name,
    branches,
    decimal,
    fixed,
    float32,
    int32,
    local,
    millis,
)
from onepipe.schema.values import Duration

Sku = NewType("Sku", str)
Price = TypeAliasType("Price", Annotated[Decimal, decimal(9, 2)])
T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    """How high."""

    LOW = 1
    HIGH = 2


@attrs.frozen
class NotARecord:
    x: int


@record
class Inner:
    n: int = 0


def logical(base: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": base, "logicalType": name, **more}


def derived(annotation: Any, **options: Any) -> Any:
    """The derived type of a field "x" of a record "R" with this annotation."""
    namespace = {"__annotations__": {"x": annotation}, "__module__": __name__, "__qualname__": "R"}
    if options:
        namespace["x"] = field(**options)
    made = record(type("R", (), namespace))
    return record_info(made).schema.document()["fields"][0]


@pytest.mark.parametrize(
    ("annotation", "type_"),
    [
        (str, "string"),
        (bytes, "bytes"),
        (int, "long"),
        (Annotated[int, int32], "int"),
        (float, "double"),
        (Annotated[float, float32], "float"),
        (bool, "boolean"),
        (None, "null"),
        (Sku, "string"),
        (Price, logical("bytes", "decimal", precision=9, scale=2)),
        (
            Annotated[bytes, fixed(4), attributes({"team": "us"})],
            {"type": "fixed", "name": "R_x", "size": 4, "team": "us"},
        ),
        (dt.date, logical("int", "date")),
        (dt.time, logical("long", "time-micros")),
        (Annotated[dt.time, millis], logical("int", "time-millis")),
        (dt.datetime, logical("long", "timestamp-micros")),
        (Annotated[dt.datetime, millis], logical("long", "timestamp-millis")),
        (Annotated[dt.datetime, local], logical("long", "local-timestamp-micros")),
        (Annotated[dt.datetime, local, millis], logical("long", "local-timestamp-millis")),
        (UUID, logical("string", "uuid")),
        (Annotated[Decimal, decimal(9, 2)], logical("bytes", "decimal", precision=9, scale=2)),
        (Annotated[bytes, fixed(4)], {"type": "fixed", "name": "R_x", "size": 4}),
        (
            Annotated[bytes, fixed(4), avro_name("F", namespace="a")],
            {"type": "fixed", "name": "F", "namespace": "a", "size": 4},
        ),
        (Annotated[UUID, fixed(16)], {**logical("fixed", "uuid"), "name": "R_x", "size": 16}),
        (
            Annotated[Decimal, decimal(4, 1, size=2)],
            {**logical("fixed", "decimal", precision=4, scale=1), "name": "R_x", "size": 2},
        ),
        (Duration, {**logical("fixed", "duration"), "name": "R_x", "size": 12}),
        (Colour, {"type": "enum", "name": "Colour", "symbols": ["red", "green"]}),
        (Level, {"type": "enum", "name": "Level", "doc": "How high.", "symbols": ["LOW", "HIGH"]}),
        (Literal["a", "b"], {"type": "enum", "name": "R_x", "symbols": ["a", "b"]}),
        (list[str], {"type": "array", "items": "string"}),
        (Sequence[int], {"type": "array", "items": "long"}),
        (tuple[float, ...], {"type": "array", "items": "double"}),
        (dict[str, bytes], {"type": "map", "values": "bytes"}),
        (Mapping[str, int], {"type": "map", "values": "long"}),
        (Inner, {"type": "record", "name": "Inner", "fields": [{"name": "n", "type": "long", "default": 0}]}),
        (str | None, ["null", "string"]),
        (Optional[int], ["null", "long"]),  # noqa: UP045  # the older spelling must work too
        (Annotated[Decimal | None, decimal(4)], ["null", logical("bytes", "decimal", precision=4, scale=0)]),
        (int | str | None, ["null", "long", "string"]),
        (Annotated[int | str | None, branches("string", "null", "long")], ["string", "null", "long"]),
        (Annotated[str, branches("string")], ["string"]),
        (Annotated[str, attributes({"logicalType": "iban"})], {"type": "string", "logicalType": "iban"}),
        (Annotated[list[int], attributes({"x": 1})], {"type": "array", "items": "long", "x": 1}),
    ],
)
def test_an_annotation_becomes_its_avro_type(annotation: Any, type_: Any) -> None:
    assert derived(annotation)["type"] == type_


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (set[str], "use list"),
        (frozenset[int], "use list"),
        (set, "use list"),
        (list, "say of what"),
        (dict, "say of what"),
        (dict[int, str], "use dict"),
        (tuple[int, str], "ellipsis"),
        (tuple, "ellipsis"),
        (Decimal, "decimal(precision, scale)"),
        (Any, "say which types"),
        (object, "say which types"),
        (complex, "use str, int"),
        (T, "records are not generic"),
        (Annotated[int | str, attributes({"a": 1})], "attributes does not apply"),
        (list[set[int]], "use list"),
        (NotARecord, "decorate NotARecord with @record"),
        (Literal[1, 2], "Literal of strings"),
        (Annotated[str, int32], "int32 does not apply to str"),
        (Annotated[int, decimal(3, 1)], "decimal does not apply to int"),
        (Annotated[UUID, fixed(15)], "fixed(16)"),
        (Annotated[int | str, branches("long", "text")], "the union has 'long', 'string'"),
        (int | Annotated[int, attributes({"a": 1})], "more than once"),
        (Annotated[Inner, attributes({"a": 1})], "attributes does not apply to Inner"),
    ],
)
def test_an_annotation_without_avro_type_is_refused_with_class_field_and_remedy(annotation: Any, says: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        derived(annotation)
    assert "R" in caught.value.message
    assert caught.value.field == "x"
    assert says in str(caught.value)


EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("annotation", "default", "json"),
    [
        (int, 5, 5),
        (float, 1, 1),
        (float, 1.5, 1.5),
        (bytes, b"\xff\x00", "\u00ff\u0000"),
        (dt.date, dt.date(1970, 1, 2), 1),
        (dt.datetime, EPOCH + dt.timedelta(seconds=1), 1_000_000),
        (Annotated[dt.datetime, local, millis], EPOCH.replace(tzinfo=None), 0),
        (Annotated[Decimal, decimal(4, 2)], Decimal("1.5"), "\u0000\u0096"),
        (UUID, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Duration, Duration(1, 2, 3), "\x01\0\0\0\x02\0\0\0\x03\0\0\0"),
        (Colour, Colour.GREEN, "green"),
        (Literal["a", "b"], "b", "b"),
        (list[int], [1, 2], [1, 2]),
        (tuple[int, ...], (), []),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (Inner, Inner(n=3), {"n": 3}),
        (list[Inner], [Inner()], [{"n": 0}]),
    ],
)
def test_a_default_stands_in_the_schema_as_json(annotation: Any, default: Any, json: Any) -> None:
    assert derived(annotation, default=default)["default"] == json


@pytest.mark.parametrize(
    ("annotation", "default", "says"),
    [
        (int, 1 << 63, "beyond 64 bits"),
        (Annotated[int, int32], 1 << 31, "from -2147483648"),
        (int, "5", "long wanted, not str"),
        (str, 5, "text wanted, not int"),
        (int, None, "not null"),
        (float, float("nan"), "JSON has no word for NaN"),
        (dt.datetime, dt.datetime(2020, 1, 1), "needs a timezone"),  # noqa: DTZ001  # naive on purpose
        (Annotated[dt.datetime, local], EPOCH, "has no timezone"),
        (Annotated[Decimal, decimal(4, 2)], Decimal("1.555"), "2 digits behind the point"),
        (Colour, "blue", "not a symbol of Colour"),
        (list[int], {"a": 1}, "an array wanted, not dict"),
        (Inner, {"n": 1}, "a Inner wanted"),
        (str | None, 5, "text wanted"),
        (int | str | None, 1.5, "of no branch"),
        (list[Annotated[bytes | str, branches("bytes", "string")]], ["x"], "another branch"),
    ],
)
def test_a_default_that_is_not_of_its_type_is_refused(annotation: Any, default: Any, says: str) -> None:
    with pytest.raises(DeclarationError, match="default") as caught:
        derived(annotation, default=default)
    assert caught.value.field == "x"
    assert says in str(caught.value)


def test_the_branch_of_a_default_comes_first_in_its_union() -> None:
    assert derived(int | str | None, default="x")["type"] == ["string", "null", "long"]
    assert derived(int | str | None, default=None)["type"] == ["null", "long", "string"]
    assert derived(str | None, default="x")["type"] == ["string", "null"]


def test_factories_of_empty_containers_are_defaults_in_the_schema_and_others_are_not() -> None:
    assert derived(list[int], factory=list)["default"] == []
    assert derived(dict[str, int], factory=dict)["default"] == {}
    assert "default" not in derived(list[int], factory=lambda: [1])


def test_a_default_of_the_schema_alone_leaves_the_argument_required() -> None:
    assert derived(int, json_default=7)["default"] == 7
    with pytest.raises(DeclarationError, match="not of type long"):
        derived(int, json_default="7")


def test_types_used_twice_are_defined_once() -> None:
    @record(namespace="shop")
    class Order:
        first: Inner
        second: Inner | None
        colours: dict[str, Colour]
        colour: Colour
        key: Annotated[bytes, fixed(2), avro_name("Key")]
        other: Annotated[bytes, fixed(2), avro_name("Key")]

    types = [f["type"] for f in record_info(Order).schema.document()["fields"]]
    assert [types[1], types[3], types[5]] == [["null", "Inner"], "Colour", "Key"]
    assert set(record_info(Order).classes) == {"shop.Order", "shop.Inner", "shop.Colour"}


def test_two_types_of_one_avro_name_are_refused() -> None:
    @record(name="Inner")
    class Other:
        pass

    with pytest.raises(DeclarationError, match="Inner has the Avro name Inner too"):

        @record
        class Both:
            a: Inner
            b: Other

    with pytest.raises(DeclarationError, match="another type has the Avro name Key too"):

        @record
        class Fixed:
            a: Annotated[bytes, fixed(2), avro_name("Key")]
            b: Annotated[bytes, fixed(3), avro_name("Key")]


def test_an_enum_says_the_rest_of_its_avro_type_by_its_decorator() -> None:
    @enumeration(name="Farbe", namespace="de", default=Colour.RED, aliases=["Color"], attributes={"x": 1}, doc="Which.")
    class Farbe(enum.Enum):
        RED = "red"

    assert derived(Farbe)["type"] == {
        "type": "enum",
        "name": "Farbe",
        "namespace": "de",
        "aliases": ["Color"],
        "doc": "Which.",
        "symbols": ["red"],
        "default": "red",
        "x": 1,
    }


def test_markers_refuse_arguments_that_mean_nothing() -> None:
    for wrong in (lambda: decimal(0, 0), lambda: decimal(2, 3), lambda: fixed(-1), lambda: decimal(4, -1)):
        with pytest.raises(DeclarationError, match="wants"):
            wrong()
