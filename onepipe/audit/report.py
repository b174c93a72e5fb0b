"""A verdict as text and as HTML, with a picture of balance over time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from html import escape
from typing import Final

import attrs

from onepipe.audit.verdict import Bucket, Finding, State, Verdict, worst

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
_COLOURS: Final = {
    State.BALANCED: "#2e7d32",
    State.NOT_COVERED: "#9e9e9e",
    State.OPEN: "#1565c0",
    State.UNKNOWN: "#f9a825",
    State.ALTERED: "#c62828",
    State.OVER: "#c62828",
    State.SHORT: "#c62828",
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


def html_report(verdict: Verdict) -> str:
    """The verdict for a notebook or a page: self-contained HTML without scripts."""
    rows = "".join(
        f"<tr><td>{hop.hop.value}</td><td style='text-align:right'>{'–' if hop.expected is None else f'{hop.expected:,}'}"
        f"</td><td style='text-align:right'>{hop.found:,}</td><td style='text-align:right'>{hop.in_flight:,}</td>"
        f"<td>{_badge(hop.state)}</td><td>{escape('; '.join(hop.notes))}</td></tr>"
        for hop in verdict.hops
    )
    head = "".join(f"<th>{name}</th>" for name in ("hop", "expected", "found", "in flight", "state", "notes"))
    return (
        f"<div class='onepipe-verdict' style='font-family:sans-serif'>"
        f"<h3>{escape(verdict.topic)} {_badge(verdict.state)}</h3>"
        f"<p>{escape(verdict.level)}, {verdict.at:%Y-%m-%d %H:%M} UTC</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f"{_svg(verdict.buckets)}{_html_findings(verdict.findings)}</div>"
    )


def _badge(state: State) -> str:
    style = f"background:{_COLOURS[state]};color:white;border-radius:3px;padding:1px 6px;font-size:85%"
    return f"<span style='{style}'>{state.value}</span>"


def _html_findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    items = "".join(f"<li>{escape(str(finding))}</li>" for finding in findings[:_LISTED])
    more = len(findings) - _LISTED
    rest = f"<p>… and {more:,} more</p>" if more > 0 else ""
    return f"<h4>{len(findings):,} records differ</h4><ul>{items}</ul>{rest}"


def _svg(buckets: Sequence[Bucket]) -> str:
    drawn = bars(buckets, 120)
    if not drawn:
        return ""
    width, height, step = 720, 90, 720 / len(drawn)
    top = max(max(bar.found, bar.expected) for bar in drawn) or 1
    shapes = []
    for number, bar in enumerate(drawn):
        found, expected = bar.found / top * height, bar.expected / top * height
        x = number * step
        title = f"{bar.first:%Y-%m-%d %H:%M} – {bar.last:%Y-%m-%d %H:%M}: {bar.found:,} of {bar.expected:,}, {bar.state.value}"
        outline = f"<rect x='{x:.1f}' y='{height - expected:.1f}' width='{step * 0.9:.1f}' height='{expected:.1f}' {_OUTLINE}/>"
        filled = (
            f"<rect x='{x:.1f}' y='{height - found:.1f}' width='{step * 0.9:.1f}' height='{found:.1f}' "
            f"fill='{_COLOURS[bar.state]}'><title>{title}</title></rect>"
        )
        shapes.append(filled + outline)
    first, last = f"{drawn[0].first:%Y-%m-%d}", f"{drawn[-1].last:%Y-%m-%d}"
    labels = (
        f"<text x='0' y='{height + 14}' font-size='11'>{first}</text>"
        f"<text x='{width}' y='{height + 14}' font-size='11' text-anchor='end'>{last}</text>"
    )
    return f"<svg width='{width}' height='{height + 18}' role='img' aria-label='balance over time'>{''.join(shapes)}{labels}</svg>"


_OUTLINE: Final = "fill='none' stroke='#555' stroke-width='0.5'"
