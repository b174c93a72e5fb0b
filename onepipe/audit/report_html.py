"""A verdict as HTML, for notebooks and pages: self-contained, without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from onepipe.audit.report import Bar, bars
from onepipe.audit.verdict import Bucket, Finding, HopVerdict, State, Verdict

_COLOURS: Final = {
    State.BALANCED: "#2e7d32",
    State.NOT_COVERED: "#757575",
    State.OPEN: "#1565c0",
    State.UNKNOWN: "#9a6700",
    State.ALTERED: "#c62828",
    State.OVER: "#c62828",
    State.SHORT: "#c62828",
}
_LISTED: Final = 50
_BARS: Final = 120
_WIDTH: Final = 720
_HEIGHT: Final = 90
_NUMBER: Final = "style='text-align:right'"


def html_report(verdict: Verdict) -> str:
    """The verdict as a piece of HTML."""
    head = "".join(f"<th>{name}</th>" for name in ("hop", "expected", "found", "in flight", "state", "notes"))
    rows = "".join(map(_hop, verdict.hops))
    return (
        "<div class='onepipe-verdict' style='font-family:sans-serif'>"
        f"<h3>{escape(verdict.topic)} {_badge(verdict.state)}</h3>"
        f"<p>{escape(verdict.level)}, {verdict.at:%Y-%m-%d %H:%M} UTC</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f"{_picture(verdict.buckets)}{_findings(verdict.findings)}</div>"
    )


def _hop(hop: HopVerdict) -> str:
    expected = "–" if hop.expected is None else f"{hop.expected:,}"
    numbers = "".join(f"<td {_NUMBER}>{number}</td>" for number in (expected, f"{hop.found:,}", f"{hop.in_flight:,}"))
    notes = escape("; ".join(hop.notes))
    return f"<tr><td>{hop.hop.value}</td>{numbers}<td>{_badge(hop.state)}</td><td>{notes}</td></tr>"


def _badge(state: State) -> str:
    style = f"background:{_COLOURS[state]};color:white;border-radius:3px;padding:1px 6px;font-size:85%"
    return f"<span style='{style}'>{state.value}</span>"


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    items = "".join(f"<li>{escape(str(finding))}</li>" for finding in findings[:_LISTED])
    more = len(findings) - _LISTED
    rest = f"<p>… and {more:,} more</p>" if more > 0 else ""
    return f"<h4>{len(findings):,} records differ</h4><ul>{items}</ul>{rest}"


def _picture(buckets: Sequence[Bucket]) -> str:
    """Bars of what was found, within outlines of what was expected."""
    drawn = bars(buckets, _BARS)
    if not drawn:
        return ""
    top = max(max(bar.found, bar.expected) for bar in drawn) or 1
    step = _WIDTH / len(drawn)
    shapes = "".join(_bar(bar, number * step, step * 0.9, top) for number, bar in enumerate(drawn))
    first, last = f"{drawn[0].first:%Y-%m-%d}", f"{drawn[-1].last:%Y-%m-%d}"
    base = _HEIGHT + 14
    labels = (
        f"<text x='0' y='{base}' font-size='11'>{first}</text>"
        f"<text x='{_WIDTH}' y='{base}' font-size='11' text-anchor='end'>{last}</text>"
    )
    size = f"width='{_WIDTH}' height='{_HEIGHT + 18}'"
    return f"<svg {size} role='img' aria-label='balance over time'>{shapes}{labels}</svg>"


def _bar(bar: Bar, x: float, width: float, top: int) -> str:
    found, expected = bar.found / top * _HEIGHT, bar.expected / top * _HEIGHT
    when = f"{bar.first:%Y-%m-%d %H:%M} – {bar.last:%Y-%m-%d %H:%M}"
    title = f"<title>{when}: {bar.found:,} of {bar.expected:,}, {bar.state.value}</title>"
    across = f"x='{x:.1f}' width='{width:.1f}'"
    filled = (
        f"<rect {across} y='{_HEIGHT - found:.1f}' height='{found:.1f}' fill='{_COLOURS[bar.state]}'>{title}</rect>"
    )
    outline = f"y='{_HEIGHT - expected:.1f}' height='{expected:.1f}' fill='none' stroke='#555' stroke-width='0.5'"
    return f"{filled}<rect {across} {outline}/>"
