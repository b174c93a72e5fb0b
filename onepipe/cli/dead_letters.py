"""`onepipe dead-letters`: records that could not go on: which there are, what one says, and what becomes of them."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import attrs

from onepipe.cli.lakes import add_lake
from onepipe.cli.output import say_json, say_text
from onepipe.declaring.rules import holds_sensitive
from onepipe.errors import ConfigurationError, OnepipeError, nearest

if TYPE_CHECKING:
    from onepipe.dead_letters.letter import DeadLetter
    from onepipe.declaring.topic import Topic
    from onepipe.pipeline.dead_letters import DeadLetters

_ACTIONS: Final = ("list", "show", "replay", "drop")
_HIDDEN: Final = "(sensitive: --sensitive shows it)"


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "dead-letters",
        help="list, show, replay or drop the records that could not be published, archived or handled",
        description=(
            "The dead letters of a topic: what producers refused and what consumers and sinks failed on, and, where a "
            "lake is named, what is in quarantine. list prints no record; show prints one letter with its record, "
            "without sensitive fields; replay hands records to a plugin's sink (--sink), or publishes again what is in "
            "quarantine; drop notes that they are not needed."
        ),
        epilog=(
            "Exit codes: 0 done; 1 a replayed record failed once more; 2 could not be carried out. The guide 'How to "
            "handle dead letters' says more."
        ),
    )
    parser.add_argument("action", metavar="ACTION", choices=_ACTIONS, help="list, show, replay or drop")
    parser.add_argument("topic", metavar="TOPIC", help="name of a registered topic")
    parser.add_argument("letters", metavar="LETTER", nargs="*", help="names of letters, as list prints them")
    parser.add_argument("--url", metavar="URL", help="the log (default: $ONEPIPE_URL)")
    add_lake(parser)
    parser.add_argument(
        "--registry", metavar="URL", help="the registry (default: $ONEPIPE_REGISTRY, else the one of the log)"
    )
    parser.add_argument("--consumer", metavar="NAME", help="only those of a consumer group or sink; lake: quarantine")
    parser.add_argument("--all", action="store_true", help="list also what is unconfirmed, was replayed or dropped")
    parser.add_argument("--sink", metavar="NAME", help="replay into this sink of a plugin; needs --consumer")
    parser.add_argument("--sensitive", action="store_true", help="show sensitive fields, and what foreign errors said")
    parser.add_argument("--json", action="store_true", help="print JSON: an object for each letter, or of the outcome")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Carry out the action."""
    from onepipe.pipeline import connect

    if options.action in ("show", "drop") and not options.letters:
        raise ConfigurationError(f"{options.action} needs the names of letters", remedy="list prints them")
    with connect(options.url, lake=options.lake, registry=options.registry) as pipe:
        state = "open" if options.action == "list" and not options.all else None
        letters = pipe.dead_letters(options.topic, consumer=options.consumer, state=state)
        chosen = _named(letters, options.letters)
        if options.action == "list":
            _list(chosen, as_json=options.json)
        elif options.action == "show":
            _show(letters, chosen, pipe.registry.topic(options.topic), options)
        elif options.action == "drop":
            _say({"topic": options.topic, "dropped": letters.drop(chosen)}, as_json=options.json)
        else:
            report = letters.replay(options.sink, letters=chosen if options.letters else None)
            _say(attrs.asdict(report), as_json=options.json)
            return 1 if report.failed else 0
    return 0


def _named(letters: DeadLetters, names: list[str]) -> list[DeadLetter]:
    """The letters of these names; all of them where none is given.

    Raises:
        ConfigurationError: there is no letter of a name.
    """
    found = list(letters)
    by_name = {letter.name: letter for letter in found}
    for name in names:
        if name not in by_name:
            raise ConfigurationError(f"there is no letter {name!r}{nearest(name, list(by_name)[:100])}")
    return [by_name[name] for name in names] if names else found


def _list(letters: Iterable[DeadLetter], *, as_json: bool) -> None:
    for letter in letters:
        if as_json:
            say_json(_described(letter))
        else:
            tries = "" if letter.attempts == 1 else f", {letter.attempts:,} attempts"
            say_text(f"{letter.name}  {letter.state}{tries}: {letter.reason}")


def _show(letters: DeadLetters, chosen: Iterable[DeadLetter], topic: Topic, options: argparse.Namespace) -> None:
    for letter in chosen:
        said = _described(letter)
        if options.sensitive and letter.detail is not None:
            said["detail"] = letter.detail
        said["record"] = dict(_record(letters, letter, topic, sensitive=options.sensitive))
        if options.json:
            say_json(said)
        else:
            record = said.pop("record")
            lines = [f"{name}: {_text(value)}" for name, value in said.items() if value not in (None, [])]
            say_text("\n".join([*lines, *(f"  {name} = {value}" for name, value in record.items())]))


def _described(letter: DeadLetter) -> dict[str, Any]:
    """A letter without anything of its record."""
    hidden = ("copy", "format", "detail")
    return {
        name: value.isoformat() if isinstance(value, dt.datetime) else value
        for name, value in attrs.asdict(letter, filter=lambda field, _: field.name not in hidden).items()
    }


def _record(letters: DeadLetters, letter: DeadLetter, topic: Topic, *, sensitive: bool) -> Iterator[tuple[str, Any]]:
    """The fields of a letter's record, those with sensitive ones in them hidden unless they are asked for."""
    from onepipe.bodies.deletion import Deletion

    try:
        record = letters.record(letter)
    except OnepipeError as error:
        yield "cannot be shown", error.message
        return
    fields = record.fields if isinstance(record, Deletion) else record
    declared = {field.name: field for field in topic.record.fields}
    for name, value in fields.items():
        open_ = sensitive or (name in declared and not holds_sensitive(topic.schema, declared[name]))
        yield name, value if open_ else _HIDDEN


def _say(said: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say_json(said)
    else:
        counts = ", ".join(f"{value:,} {name}" for name, value in said.items() if isinstance(value, int))
        say_text(f"{said['topic']}: {counts}")


def _text(value: Any) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
