"""A verdict as text, with a picture of balance over time."""

from __future__ import annotations

import datetime as dt
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from onepipe.audit.verdict import Bucket, DamagedFile, Finding, HopVerdict, Kind, State, Verdict, worst

_LEVELS: Final = " ▁▂▃▄▅▆▇█"
_WIDTH: Final = 73
_COLUMNS: Final = 80
_SPANS: Final = (1, 2, 3, 4, 6, 8, 12, 24)
_LISTED: Final = 50
_DAMAGED_LISTED: Final = 5
_NOTE_INDENT: Final = " " * 4
_HASH: Final = re.compile(r"-([0-9a-f]{8})[0-9a-f]{24}\.parquet\Z")
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
    """Join hours into at most `width` bars of equal spans of time, hours without records included.

    A span divides a day, or is of whole days.
    """
    if not buckets:
        return []
    hour = dt.timedelta(hours=1)
    start, end = buckets[0].hour, buckets[-1].hour + hour
    span = _span(-(-((end - start) // hour) // width)) * hour
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


def _span(least: int) -> int:
    """The hours of a bar that are at least `least`."""
    return next((hours for hours in _SPANS if hours >= least), -(-least // 24) * 24)


def text_report(verdict: Verdict) -> str:
    """The verdict for a terminal of 80 columns; only the path of a damaged file may be longer."""
    lines = [f"{verdict.topic}: {verdict_text(verdict)} ({verdict.level}, {verdict.at:%Y-%m-%d %H:%M} UTC)", ""]
    lines.append(f"  {'hop':<10}{'expected':>14}{'found':>14}  state")
    for hop in verdict.hops:
        expected = "–" if hop.expected is None else f"{hop.expected:,}"
        lines.append(f"  {hop.hop.value:<10}{expected:>14}{hop.found:>14,}  {state_text(hop, verdict.faults(hop.hop))}")
        for note in hop.notes:
            lines += _wrapped(note, _NOTE_INDENT)
        lines += _damaged_files(hop.damaged)
    lines += ["", *_wrapped(str(verdict.equation), "  ", _NOTE_INDENT)]
    lines += _text_picture(verdict.buckets)
    if verdict.findings:
        lines += ["", f"  {differing_text(len(verdict.findings))}:"]
        for finding in alarming_first(verdict.findings)[:_LISTED]:
            lines += _finding(finding)
        if len(verdict.findings) > _LISTED:
            lines.append(
                f"  … and {len(verdict.findings) - _LISTED:,} more (all are in verdict.findings, and in --json)"
            )
    return "\n".join(lines)


def verdict_text(verdict: Verdict) -> str:
    """The verdict's state, and how many findings were accepted."""
    return f"{verdict.state.value}, {verdict.accepted:,} accepted" if verdict.accepted else verdict.state.value


def alarming_first(findings: Sequence[Finding]) -> list[Finding]:
    """Findings in their order, those that were accepted behind all others, so that none hides one that was not."""
    return sorted(findings, key=lambda finding: finding.accepted is not None)


def differing_text(count: int) -> str:
    """How many records differ."""
    return "1 record differs" if count == 1 else f"{count:,} records differ"


def state_text(hop: HopVerdict, faults: Mapping[Kind, int]) -> str:
    """A hop's state, how many records differ in which way, and what is in flight."""
    differing = ", ".join(f"{count:,} {kind.value}" for kind, count in faults.items() if count)
    state = f"{hop.state.value}: {differing}" if differing else hop.state.value
    return f"{state}, {hop.in_flight:,} in flight" if hop.in_flight else state


def by_damage(files: Sequence[DamagedFile]) -> dict[str, list[str]]:
    """Shortened paths of damaged files by what is wrong with them; hashes are cut to what tells files apart."""
    grouped: dict[str, list[str]] = {}
    for file in files:
        grouped.setdefault(file.why.partition(":")[0], []).append(_HASH.sub(r"-\1….parquet", file.path))
    return grouped


def _damaged_files(files: Sequence[DamagedFile]) -> list[str]:
    lines = []
    for why, paths in by_damage(files).items():
        what = f"a file {why}:" if len(paths) == 1 else f"{len(paths):,} files, each {why}:"
        lines += _wrapped(what, _NOTE_INDENT)
        lines += [f"{_NOTE_INDENT}  {path}" for path in paths[:_DAMAGED_LISTED]]
        if len(paths) > _DAMAGED_LISTED:
            lines.append(f"{_NOTE_INDENT}  … and {len(paths) - _DAMAGED_LISTED:,} more")
    return lines


def _finding(finding: Finding) -> list[str]:
    detail = f": {finding.detail}" if finding.detail else ""
    accepted = _wrapped(str(finding.accepted), "    ") if finding.accepted else []
    return [*_wrapped(f"• {finding.place}{detail}", "  ", "    "), *_wrapped(finding.who, "    "), *accepted]


def _wrapped(text: str, indent: str, further: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        _COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent if further is None else further,
        break_on_hyphens=False,
    )


def _text_picture(buckets: Sequence[Bucket]) -> list[str]:
    drawn = bars(buckets, _WIDTH)
    if len(drawn) < 2:  # one bar shows nothing that the figures do not
        return []
    top = max(max(bar.found, bar.expected) for bar in drawn) or 1
    heights = "".join(_LEVELS[-(-bar.found * 8 // top)] for bar in drawn)
    marks = "".join(_MARKS[bar.state] for bar in drawn)
    first, last = (f"{moment:{time_format(drawn)}}" for moment in (drawn[0].first, drawn[-1].last))
    between = " " * (len(drawn) - len(first) - len(last))
    lines = ["", f"  records in raw by their time, {span_text(drawn)} a bar, up to {top:,}"]
    lines += [f"  {heights}", *([f"  {marks}"] if marks.strip() else []), f"  {first}{between or ' – '}{last}"]
    if marks.strip():
        lines.append("  - short   + over   ~ altered   ? unknown   · open")
    return lines


def time_format(drawn: Sequence[Bar]) -> str:
    """How to write the ends of a picture: as dates, and where it is of less than three days with the time."""
    return "%Y-%m-%d" if drawn[-1].last - drawn[0].first >= dt.timedelta(days=3) else "%Y-%m-%d %H:%M"


def span_text(drawn: Sequence[Bar]) -> str:
    """The span of time a bar stands for: "3 h", "5 d"."""
    hours = (drawn[0].last - drawn[0].first) // dt.timedelta(hours=1)
    return f"{hours} h" if hours % 24 else f"{hours // 24} d"
