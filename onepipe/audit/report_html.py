"""A verdict as HTML, for notebooks and pages: self-contained, without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from onepipe.audit.report import (
    Bar,
    alarming_first,
    bars,
    by_damage,
    differing_text,
    span_text,
    state_text,
    time_format,
    verdict_text,
)
from onepipe.audit.verdict import Bucket, DamagedFile, Finding, HopVerdict, State, Verdict

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
_WIDTH: Final = 900
_HEIGHT: Final = 90
_MARK_HEIGHT: Final = 6
_STYLE: Final = """
.onepipe-verdict{font:14px/1.45 system-ui,sans-serif;max-width:960px;color:#1b1b1b;background:#fff}
.onepipe-verdict h3{margin:0 0 2px;font-size:20px}
.onepipe-verdict h4{margin:18px 0 6px;font-size:15px}
.onepipe-verdict p{margin:0 0 12px;color:#555}
.onepipe-verdict table{border-collapse:collapse;margin:0 0 4px;width:100%}
.onepipe-verdict th,.onepipe-verdict td{padding:4px 10px;text-align:left;vertical-align:top;
border-bottom:1px solid #ddd;background:#fff;color:inherit}
.onepipe-verdict th{font-weight:600;color:#555}
.onepipe-verdict .n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.onepipe-verdict code{font-size:12px;overflow-wrap:anywhere}
.onepipe-verdict .s{color:#fff;border-radius:3px;padding:1px 7px;font-size:12px;font-weight:600;white-space:nowrap}
.onepipe-verdict svg{display:block;max-width:100%;height:auto}
"""


def html_report(verdict: Verdict) -> str:
    """The verdict as a piece of HTML."""
    accepted = f"{verdict.accepted:,} accepted; " if verdict.accepted else ""
    return (
        f"<div class='onepipe-verdict'><style>{_STYLE}</style>"
        f"<h3>{escape(verdict.topic)} {_badge(verdict.state)}</h3>"
        f"<p>{accepted}{escape(verdict.level)}, {verdict.at:%Y-%m-%d %H:%M} UTC</p>"
        f"{_hops(verdict)}<p>{escape(str(verdict.equation))}</p>{_picture(verdict.buckets)}{_findings(verdict.findings)}</div>"
    )


def html_page(verdict: Verdict) -> str:
    """The verdict as a page of its own."""
    title = escape(f"{verdict.topic}: {verdict_text(verdict)}")
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{title}</title></head><body style='margin:24px'>{html_report(verdict)}</body></html>"
    )


def _hops(verdict: Verdict) -> str:
    head = "<th>hop</th><th class='n'>expected</th><th class='n'>found</th><th>state</th><th></th>"
    rows = "".join(_hop(hop, state_text(hop, verdict.faults(hop.hop))) for hop in verdict.hops)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _hop(hop: HopVerdict, state: str) -> str:
    expected = "–" if hop.expected is None else f"{hop.expected:,}"
    numbers = "".join(f"<td class='n'>{number}</td>" for number in (expected, f"{hop.found:,}"))
    more = escape(state.removeprefix(hop.state.value).lstrip(":, "))
    notes = "<br>".join(part for part in (more, *map(escape, hop.notes), *_damaged_files(hop.damaged)) if part)
    return f"<tr><td>{hop.hop.value}</td>{numbers}<td>{_badge(hop.state)}</td><td>{notes}</td></tr>"


def _damaged_files(files: Sequence[DamagedFile]) -> list[str]:
    pieces = []
    for why, paths in by_damage(files).items():
        what = f"a file {why}" if len(paths) == 1 else f"{len(paths):,} files, each {why}"
        listed = "<br>".join(f"<code>{escape(path)}</code>" for path in paths[:_LISTED])
        rest = f"<br>… and {len(paths) - _LISTED:,} more" if len(paths) > _LISTED else ""
        pieces.append(f"<details><summary>{escape(what)}</summary>{listed}{rest}</details>")
    return pieces


def _badge(state: State) -> str:
    return f"<span class='s' style='background:{_COLOURS[state]}'>{state.value}</span>"


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    names = ("hop", "record", "partition", "offset", "identity", "what differs")
    head = "".join(f"<th{_numeric(name)}>{name}</th>" for name in names)
    rows = "".join(map(_finding, alarming_first(findings)[:_LISTED]))
    more = len(findings) - _LISTED
    rest = f"<p>… and {more:,} more (all are in the JSON report)</p>" if more > 0 else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<h4>{differing_text(len(findings))}</h4>{table}{rest}"


def _finding(finding: Finding) -> str:
    detail = "; ".join(part for part in (finding.detail, str(finding.accepted or "")) if part)
    partition, offset = ("–" if n is None else str(n) for n in (finding.partition, finding.offset))
    return (
        f"<tr><td>{finding.hop.value}</td><td>{finding.kind.value}</td><td class='n'>{partition}</td>"
        f"<td class='n'>{offset}</td><td>{escape(finding.who)}</td><td>{escape(detail)}</td></tr>"
    )


def _numeric(name: str) -> str:
    return " class='n'" if name in {"partition", "offset"} else ""


def _picture(buckets: Sequence[Bucket]) -> str:
    """Bars of what was found, within outlines of what was expected; below, a mark where a bar is not balanced."""
    drawn = bars(buckets, _BARS)
    if not drawn:
        return ""
    top = max(max(bar.found, bar.expected) for bar in drawn) or 1
    step = _WIDTH / len(drawn)
    shapes = "".join(_bar(bar, number * step, step * 0.9, top) for number, bar in enumerate(drawn))
    first, last = (f"{moment:{time_format(drawn)}}" for moment in (drawn[0].first, drawn[-1].last))
    base = _HEIGHT + _MARK_HEIGHT + 18
    labels = (
        f"<text x='0' y='{base}' font-size='12' fill='#555'>{first}</text>"
        f"<text x='{_WIDTH}' y='{base}' font-size='12' fill='#555' text-anchor='end'>{last}</text>"
    )
    size = f"viewBox='0 0 {_WIDTH} {base + 4}' width='{_WIDTH}' height='{base + 4}'"
    heading = f"<h4>Records in raw by their time, {span_text(drawn)} a bar, up to {top:,}</h4>"
    return f"{heading}<svg {size} role='img' aria-label='balance over time'>{shapes}{labels}</svg>"


def _bar(bar: Bar, x: float, width: float, top: int) -> str:
    found, expected = bar.found / top * _HEIGHT, bar.expected / top * _HEIGHT
    when = f"{bar.first:%Y-%m-%d %H:%M} – {bar.last:%Y-%m-%d %H:%M}"
    title = f"<title>{when}: {bar.found:,} of {bar.expected:,}, {bar.state.value}</title>"
    across = f"x='{x:.1f}' width='{width:.1f}'"
    colour = _COLOURS[bar.state]
    filled = f"<rect {across} y='{_HEIGHT - found:.1f}' height='{found:.1f}' fill='{colour}'>{title}</rect>"
    outline = f"y='{_HEIGHT - expected:.1f}' height='{expected:.1f}' fill='none' stroke='#555' stroke-width='0.5'"
    mark = "" if bar.state is State.BALANCED else _mark(across, colour)
    return f"{filled}<rect {across} {outline}/>{mark}"


def _mark(across: str, colour: str) -> str:
    return f"<rect {across} y='{_HEIGHT + 3}' height='{_MARK_HEIGHT}' fill='{colour}'/>"
