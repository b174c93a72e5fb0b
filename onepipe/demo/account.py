"""The account of the main job, for a terminal."""

from __future__ import annotations

import textwrap

from onepipe.demo.job import Account


def text_account(account: Account) -> str:
    """The account in a screen or two."""
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
        "Seconds by stage: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in account.seconds.items()),
        f"Everything lies in {account.folder}",
        "",
        "What to try next:",
        f"  onepipe verify {account.verdict.topic} --lake {account.folder / 'lake'}",
        "  onepipe demo --lose 3 --repeat 3 --alter 3",
        "  the tutorial: docs/tutorial.md",
    ]
    return "\n".join(lines)


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
    """A figure and what it counts, within 100 columns."""
    head = f"  {name:<18}{count:>12,}  "
    return textwrap.wrap(what, 100, initial_indent=head, subsequent_indent=" " * len(head))


def _tampered(account: Account) -> list[str]:
    if not account.tampered:
        return []
    named = len(account.tampered) - len(account.unnamed)
    lines = [f"Of {len(account.tampered)} records that were tampered with, the verdict names {named}."]
    lines += [f"  not named: {each}" for each in account.unnamed]
    return [*lines, ""]


def _delays(account: Account) -> list[str]:
    answer = "equals" if account.query_right else "differs from"
    lines = [f"Flights and mean arrival delay by carrier; the lake's answer {answer} the source file's:"]
    cells = [
        f"{carrier} {count:>6,}  {'–' if mean is None else f'{mean:6.2f}'}"
        for carrier, (count, mean) in account.delays.items()
    ]
    lines += ["  " + "    ".join(cells[start : start + 4]) for start in range(0, len(cells), 4)]
    return lines
