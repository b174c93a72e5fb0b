"""A verdict as text, with a picture of balance over time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

import attrs

from onepipe.audit.verdict import Bucket, State, Verdict, worst

_LEVELS: Final = " ▁▂▃▄▅▆▇█"
_WIDTH: Final = 73
_LISTED: Final = 50
_MARKS: Final = {
    State.BALANCED: " ",
    State.NOT_COVERED: " ",
    State.OPEN: "·",
    State.UNKNOWN: "?",
    State.ALTERED: "~",
    State.OVER: "+",
    State.SHORT: "-",
}


@attrs.frozen
class Bar:
    """Several hours drawn as one bar.

    Attributes:
        first: beginning of its first hour.
        last: end of its last hour.
        expected: records the log acknowledged.
        found: records the raw table holds.
        state: the worst of its hours.
    """

    first: dt.datetime
    last: dt.datetime
    expected: int
    found: int
    state: State


def bars(buckets: Sequence[Bucket], width: int) -> list[Bar]:
    """Join hours into at most `width` bars of equal spans of time, hours without records included."""
    if not buckets:
        return []
    hour = dt.timedelta(hours=1)
    start, end = buckets[0].hour, buckets[-1].hour + hour
    span = -(-((end - start) // hour) // width) * hour
    grouped: dict[int, list[Bucket]] = {}
    for bucket in buckets:
        grouped.setdefault((bucket.hour - start) // span, []).append(bucket)
    drawn = []
    for number in range(-(-(end - start) // span)):
        members = grouped.get(number, [])
        first = start + number * span
        expected, found = sum(b.expected for b in members), sum(b.found for b in members)
        drawn.append(Bar(first, min(first + span, end), expected, found, worst([b.state for b in members])))
    return drawn


def text_report(verdict: Verdict) -> str:
    """The verdict for a terminal."""
    lines = [f"{verdict.topic}: {verdict.state.value} ({verdict.level}, {verdict.at:%Y-%m-%d %H:%M} UTC)", ""]
    lines.append(f"  {'hop':<10}{'expected':>14}{'found':>14}  state")
    for hop in verdict.hops:
        expected = "–" if hop.expected is None else f"{hop.expected:,}"
        flight = f", {hop.in_flight:,} in flight" if hop.in_flight else ""
        lines.append(f"  {hop.hop.value:<10}{expected:>14}{hop.found:>14,}  {hop.state.value}{flight}")
        lines += [f"  {'':<10}{note}" for note in hop.notes]
    lines += _text_picture(verdict.buckets)
    if verdict.findings:
        lines += ["", f"  {len(verdict.findings)} records differ:"]
        lines += [f"  • {finding}" for finding in verdict.findings[:_LISTED]]
        if len(verdict.findings) > _LISTED:
            lines.append(f"  … and {len(verdict.findings) - _LISTED:,} more (all are in the JSON report)")
    return "\n".join(lines)


def _text_picture(buckets: Sequence[Bucket]) -> list[str]:
    drawn = bars(buckets, _WIDTH)
    if not drawn:
        return []
    top = max(max(bar.found, bar.expected) for bar in drawn) or 1
    heights = "".join(_LEVELS[-(-bar.found * 8 // top)] for bar in drawn)
    marks = "".join(_MARKS[bar.state] for bar in drawn)
    first, last = f"{drawn[0].first:%Y-%m-%d}", f"{drawn[-1].last:%Y-%m-%d}"
    gap = max(1, len(drawn) - len(first) - len(last))
    lines = ["", f"  {heights}", *([f"  {marks}"] if marks.strip() else []), f"  {first}{' ' * gap}{last}"]
    if marks.strip():
        lines.append("  - short   + over   ~ altered   ? unknown   · open")
    return lines
