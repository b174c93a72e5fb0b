"""The account of the main job, for a terminal."""

from __future__ import annotations

import shlex
import textwrap
from typing import Final

from onepipe.demo.job import Account

_COLUMNS: Final = 80
_SEPARATOR: Final = "   "


def text_account(account: Account, command: str = "onepipe") -> str:
    """The account in a screen or two, for a terminal of 80 columns.

    Args:
        account: what the job did.
        command: how the command line is called in what to try next.
    """
    lines = [
        "",
        f"{account.source_rows:,} flights of 2013 went through the pipeline.",
        "",
        *_figures(account),
        "",
        str(account.verdict),
        "",
        *_tampered(account),
        *_delays(account),
        "",
        *_stages(account),
        *_lies(account),
        "",
        "What to try next:",
        *_next(account, command),
    ]
    return "\n".join(lines)


def _stages(account: Account) -> list[str]:
    text = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in account.seconds.items())
    return textwrap.wrap(f"Seconds by stage: {text}", _COLUMNS, subsequent_indent="  ")


def _lies(account: Account) -> list[str]:
    elsewhere = account.places.shown()
    if not elsewhere:
        return [f"Everything lies in {account.folder}", "(delete the folder when you are done)"]
    return [
        f"Topic {account.verdict.topic} lies in",
        *(f"  {url} ({what})" for what, url in elsewhere.items()),
        f"and all else in {account.folder}",
        "(delete topic and folder when you are done)",
    ]


def _next(account: Account, command: str) -> list[str]:
    lake = account.places.lake_in(account.folder)
    verify = f"{command} verify {account.verdict.topic} --lake {shlex.quote(lake)}"
    if account.tampered:
        further = [
            f"  {verify} --html > verdict.html",
            "  what each verdict asks of you: docs/how-to/find-a-missing-record.md",
        ]
    else:
        named = "".join(f" --{name} {shlex.quote(url)}" for name, url in account.places.shown().items())
        further = [f"  {command} demo --lose 3 --repeat 3 --alter 3{named}"]
    return [f"  {verify}", *further, "  the tutorial: docs/tutorial.md"]


def _figures(account: Account) -> list[str]:
    rejected = ", ".join(f"{count:,} by {rule!r}" for rule, count in account.rejected.items())
    rows = [
        ("published", account.published, "records that the log acknowledged"),
        ("rejected", sum(account.rejected.values()), rejected or "none was invalid"),
        ("archived", account.archived, "rows of the raw table, each with its message verbatim"),
        ("quarantined", account.quarantined, "rows kept but not merged, each with its reason"),
        ("superseded", account.superseded, "arrivals that a later version replaced"),
        ("exact duplicates", account.exact_duplicates, "arrivals that are copies of another"),
        ("clean", account.clean, "rows, one for each flight"),
    ]
    return [line for name, count, what in rows for line in _figure(name, count, what)]


def _figure(name: str, count: int, what: str) -> list[str]:
    """A figure and what it counts."""
    head = f"  {name:<18}{count:>12,}  "
    return textwrap.wrap(what, _COLUMNS, initial_indent=head, subsequent_indent=" " * len(head))


def _tampered(account: Account) -> list[str]:
    if not account.tampered:
        return []
    named = len(account.tampered) - len(account.unnamed)
    lines = [f"Of {len(account.tampered)} records that were tampered with, the verdict names {named}."]
    lines += [f"  not named: {each}" for each in account.unnamed]
    return [*lines, ""]


def _delays(account: Account) -> list[str]:
    answer = "equals" if account.query_right else "differs from"
    lines = ["Flights and mean arrival delay in minutes, by carrier; the lake's answer", f"{answer} the source file's:"]
    cells = [
        f"{carrier} {count:>6,}  {'–' if mean is None else f'{mean:6.2f}'}"
        for carrier, (count, mean) in account.delays.items()
    ]
    lines += ["  " + _SEPARATOR.join(cells[start : start + 4]) for start in range(0, len(cells), 4)]
    return lines
