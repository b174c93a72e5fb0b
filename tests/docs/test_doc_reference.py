"""The reference says what there is: every public name, option, error, setting, column and key, and no others."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from doc_pages import DOCS

import onepipe as op
from onepipe import cli, errors
from onepipe.audit.verdict import Bucket, Equation, HopVerdict, State
from onepipe.audit.verify import Level
from onepipe.cli import account, stopping
from onepipe.declaring import declaration, rules
from onepipe.evidence.header import _HEADER
from onepipe.evidence.records import EVIDENCE
from onepipe.lake.archive import ArchiveReport
from onepipe.lake.clean_files import CleanFooter
from onepipe.lake.columns import CLEAN_COLUMNS, RAW_COLUMNS, Quarantine
from onepipe.lake.dedup import DedupReport
from onepipe.lake.raw_footer import RawFooter
from onepipe.lake.read import Table
from onepipe.lake.upkeep import MaintenanceReport
from onepipe.pipeline import LAKE_VARIABLE, REGISTRY_VARIABLE, URL_VARIABLE, connect
from onepipe.transport import Capability
from onepipe_memory.config import MemoryConfig
from onepipe_memory.faults import Faults

CODE = re.compile(r"`([^`]+)`")


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def section(name: str, heading: str) -> str:
    """What stands below a heading of a page, up to the next one of the same level or above."""
    level = heading.partition(" ")[0]
    _, _, rest = page(name).partition(f"\n{heading}\n")
    assert rest, f"{name} has no heading {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> set[str]:
    """What is written as code in the first column of the tables in a text, calls and options without arguments."""
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {re.split(r"[( ]", code)[0] for row in rows for code in CODE.findall(row)}


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def test_every_public_name_has_its_line() -> None:
    documented = first_cells(page("reference/api.md"))
    assert set(op.__all__) - documented == set()


def methods(cls: type) -> str:
    """The table of a class's methods."""
    pattern = rf"^\| method of `{cls.__name__}`.*?(?=^$)"
    (table,) = re.findall(pattern, page("reference/api.md"), re.MULTILINE | re.DOTALL)
    return str(table)


@pytest.mark.parametrize("cls", [op.Pipeline, op.Producer])
def test_every_method_has_its_line(cls: type) -> None:
    assert first_cells(methods(cls)) - {"registry", "transport"} == public(cls) - {"registry", "transport"}


@pytest.mark.parametrize("cls", [op.Consumer, op.Receipt, op.Verdict, op.Finding, op.Received])
def test_every_method_and_attribute_is_named(cls: type) -> None:
    names = public(cls) | {field.name for field in (attrs.fields(cls) if attrs.has(cls) else ())}
    mentioned = {name for code in CODE.findall(page("reference/api.md")) for name in re.findall(r"\w+", code)}
    assert names - mentioned - {"partition", "topic", "timestamp", "level", "at"} == set()


@pytest.mark.parametrize(
    ("step", "report"), [("archive", ArchiveReport), ("dedup", DedupReport), ("maintain", MaintenanceReport)]
)
def test_every_attribute_of_a_report_is_named(step: str, report: type) -> None:
    (row,) = re.findall(rf"^\| `{step}` \| (.*) \|$", page("reference/api.md"), re.MULTILINE)
    assert {field.name for field in attrs.fields(report)} <= set(CODE.findall(row))


@pytest.mark.parametrize("name", ["record", "field", "enumeration", "connect"])
def test_every_argument_is_named(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}\((.*?)\)`", page("reference/api.md"), re.MULTILINE)
    function: Any = getattr(op, name)
    expected = [arg for arg in inspect.signature(function).parameters if arg != "cls"]
    assert re.findall(r"(?<!=)\b[a-z_]+\b", row) == expected


@pytest.mark.parametrize("cls", [op.Pipeline, op.Producer, op.Consumer])
def test_every_argument_of_a_method_is_named(cls: type) -> None:
    rows = re.findall(r"`([a-z_]+)\(([^`]*)\)`", methods(cls))
    assert rows
    for name, arguments in rows:
        expected = [arg for arg in inspect.signature(getattr(cls, name)).parameters if arg != "self"]
        assert re.findall(r"(?<![=\"])\b(?!None\b)[a-z_]+\b(?!\")", arguments) == expected, name


def commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in cli.parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=[name for name, _ in commands()])
def test_every_option_of_a_command_has_its_line(name: str, command: argparse.ArgumentParser) -> None:
    expected = set()
    for action in command._actions:
        expected |= set(action.option_strings) or {str(action.metavar)}
    documented = first_cells(section("reference/cli.md", f"## onepipe {name}"))
    assert documented == expected - {"-h", "--help"}


def test_every_option_of_no_command_is_named() -> None:
    options = {option for action in cli.parser()._actions for option in action.option_strings}
    assert options <= set(re.findall(r"(?<=[` ])--?[a-z]+", page("reference/cli.md")))


def test_every_exit_code_has_its_line() -> None:
    documented = re.findall(r"^\| (\d+) \|", page("reference/cli.md"), re.MULTILINE)
    told = [stopping.exit_code(signal) for signal in stopping._SIGNALS]
    assert cli._INTERRUPTED in told
    codes = sorted({0, 1, account.FAILED, cli._INTERRUPTED, cli._NOT_READ, *told})
    assert documented == [str(code) for code in codes]


def test_every_command_has_its_section() -> None:
    documented = re.findall(r"^## onepipe (\S+)$", page("reference/cli.md"), re.MULTILINE)
    assert sorted(documented) == sorted(name for name, _ in commands())


def all_errors(cls: type[errors.OnepipeError] = errors.OnepipeError) -> Iterator[type[errors.OnepipeError]]:
    yield cls
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from all_errors(child)


def test_every_error_has_its_line() -> None:
    assert first_cells(page("reference/errors.md")) == {cls.__name__ for cls in all_errors()}


def drawn(text: str) -> list[tuple[str, int, tuple[str, ...]]]:
    """The errors of a drawn tree: name, depth, and further bases."""
    found = re.findall(r"^    ((?:[│├└─ ]{4})*)(\w+)(?: \((\w+)\))?", text, re.MULTILINE)
    return [(name, len(indent) // 4, (base,) if base else ()) for indent, name, base in found]


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    def depth(cls: type) -> int:
        return 0 if cls is errors.OnepipeError else 1 + depth(cls.__bases__[0])

    actual = [(c.__name__, depth(c), tuple(b.__name__ for b in c.__bases__[1:])) for c in all_errors()]
    _, _, tree = page("reference/errors.md").partition("    OnepipeError\n")
    tree = tree.partition("\n\n")[0]
    assert sorted(drawn(tree)) == sorted(actual[1:])
    assert sorted(drawn(errors.__doc__ or "")[1:]) == sorted(actual[1:])


def test_every_setting_has_its_line() -> None:
    text = page("reference/configuration.md")
    assert set(inspect.signature(connect).parameters) <= first_cells(text)
    assert {field.name for field in attrs.fields(MemoryConfig)} <= first_cells(
        section("reference/configuration.md", "## Transports")
    )
    assert {URL_VARIABLE, LAKE_VARIABLE, REGISTRY_VARIABLE} <= set(CODE.findall(text))


def test_every_default_of_the_memory_transport_is_right() -> None:
    rows = dict(
        re.findall(r"^\| `(\w+)` \| `?(\w+)`? \|", section("reference/configuration.md", "## Transports"), re.MULTILINE)
    )
    for field in attrs.fields(MemoryConfig):
        if field.name != "clock":
            assert rows[field.name] == ("none" if field.default is None else str(field.default)), field.name


def test_every_column_of_the_lake_has_its_line() -> None:
    raw, clean = (first_cells(section("reference/lake.md", f"### {table}")) for table in ("Raw", "Clean"))
    assert raw - {q.value.split(" ")[0] for q in Quarantine} == set(RAW_COLUMNS.names)
    assert clean - {"_op_state_<field>_…"} == set(CLEAN_COLUMNS.names)


def test_every_reason_of_quarantine_has_its_line() -> None:
    reasons = re.findall(r"^\| `([^`]+)` \| [^|]+ \|$", section("reference/lake.md", "### Raw"), re.MULTILINE)
    assert reasons == [reason.value for reason in Quarantine]


@pytest.mark.parametrize(("table", "footer"), [(0, RawFooter), (1, CleanFooter)])
def test_every_key_of_a_footer_has_its_line(table: int, footer: type) -> None:
    tables = section("reference/lake.md", "## Footers").split("\n\n")[1:]
    assert first_cells(tables[table]) == {"format", *(field.name for field in attrs.fields(footer))}


def test_every_way_to_read_a_table_has_its_line() -> None:
    assert first_cells(section("reference/lake.md", "## Reading")) == public(Table)


def test_every_field_of_the_evidence_has_its_line() -> None:
    documented = first_cells(section("reference/audit.md", "## Evidence"))
    assert documented == {field.name for field in EVIDENCE.record.fields}


def test_the_audit_header_is_of_the_documented_size() -> None:
    text = section("reference/audit.md", "## Audit header")
    assert f"{_HEADER.size} bytes" in text
    assert re.findall(r"^\| (\d+)(?:–(\d+))? \|", text, re.MULTILINE) == [
        ("0", ""),
        ("1", "16"),
        ("17", "24"),
        ("25", "32"),
    ]


def test_every_level_state_and_key_of_a_verdict_is_documented() -> None:
    text = page("reference/audit.md")
    assert first_cells(section("reference/audit.md", "## Levels")) == set(Level.__args__)
    json_ = section("reference/audit.md", "## Verdict as JSON")
    mentioned = set(CODE.findall(json_))
    assert {state.value for state in State} <= set(CODE.findall(text.replace("\n", " ")))
    for cls in (HopVerdict, Bucket, Equation, op.Finding):
        assert {field.name for field in attrs.fields(cls)} <= mentioned, cls
    assert first_cells(json_) == {
        "topic",
        "verdict",
        "level",
        "at",
        "hops",
        "findings",
        "buckets",
        "figures",
        "equation",
    }


def test_every_state_and_kind_is_explained() -> None:
    how_to = "how-to/find-a-missing-record.md"
    assert first_cells(section(how_to, "## Which state")) == {state.value.split(" ")[0] for state in State}


def test_every_schema_attribute_has_its_line() -> None:
    name = "reference/schema-attributes.md"
    assert first_cells(section(name, "## Of the record")) == set(declaration._KEYS)
    assert first_cells(section(name, "## Of a field")) == set(rules._KEYS)


def test_every_fault_that_can_be_injected_has_its_line() -> None:
    documented = first_cells(section("how-to/test-your-application.md", "## What there is"))
    assert public(Faults) <= documented


def test_every_capability_is_named() -> None:
    assert {c.name for c in Capability} <= set(CODE.findall(page("how-to/write-a-transport.md")))
