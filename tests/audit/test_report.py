from __future__ import annotations

import datetime as dt
import itertools
import json
from html.parser import HTMLParser

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onepipe.audit.report import bars, by_damage, span_text, text_report
from onepipe.audit.report_html import html_page, html_report
from onepipe.audit.verdict import Bucket, DamagedFile, Equation, Finding, Hop, HopVerdict, Kind, State, Verdict

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
OTHER_BYTES = "holds other bytes than were written: their hash is 0123456789abcdef0123456789abcdef"


def damaged(number: int, why: str = OTHER_BYTES) -> DamagedFile:
    return DamagedFile(f"raw/Orders/part{number}/2026/01/01/00/offset{number:020}-{number:032x}.parquet", why)


def finding(number: int, **changes) -> Finding:
    plain = Finding(
        Kind.LOST,
        Hop.RAW,
        "Orders",
        number,
        1_000_000 + number,
        {"customer": "C" * 40, "order": number, "day": T0},
        detail="column price contradicts the message's bytes",
    )
    return attrs.evolve(plain, **changes)


def verdict(**changes) -> Verdict:
    plain = Verdict(
        "Orders",
        "proved",
        T0,
        (HopVerdict(Hop.LOG, State.BALANCED, 10, 10), HopVerdict(Hop.RAW, State.BALANCED, None, 10)),
        (),
        tuple(Bucket(T0 + n * HOUR, 100 + n, 100 + n, State.BALANCED) for n in range(200)),
        {"raw_rows": 10},
        Equation(10, 4, 3, 2, 1, 0),
    )
    return attrs.evolve(plain, **changes)


def faulty() -> Verdict:
    findings = [*map(finding, range(3)), finding(3, kind=Kind.REPEATED), finding(4, kind=Kind.ALTERED, hop=Hop.LOG)]
    hops = (
        HopVerdict(Hop.LOG, State.ALTERED, 10, 10, in_flight=7, notes=("a writer of the log " + "went on " * 20,)),
        HopVerdict(Hop.RAW, State.SHORT, 10, 8, damaged=(damaged(1), damaged(2), damaged(3, "is missing"))),
    )
    return verdict(hops=hops, findings=tuple(findings))


def test_each_hop_says_how_many_records_differ_in_which_way():
    text = str(faulty())
    assert "short: 3 lost, 1 repeated\n" in text
    assert "altered: 1 altered, 7 in flight\n" in text
    assert faulty().faults(Hop.RAW) == {Kind.LOST: 3, Kind.REPEATED: 1, Kind.ALTERED: 0}
    hops = json.loads(json.dumps(faulty().to_json()))["hops"]
    assert hops[1]["faults"] == {"lost": 3, "repeated": 1, "altered": 0}
    assert "3 lost, 1 repeated" in html_report(faulty())


def test_a_text_report_fits_into_80_columns_but_for_paths_and_says_all():
    text = text_report(faulty())
    assert max(len(line) for line in text.splitlines() if ".parquet" not in line) <= 80
    for word in ("Orders", "partition 2", "offset 1000002", "order=2", "contradicts", "customer=" + "C" * 40):
        assert word in text


def test_damaged_files_are_grouped_by_what_is_wrong_with_them_and_named_shortly():
    text = text_report(faulty())
    assert "2 files, each holds other bytes than were written:" in text
    assert "raw/Orders/part2/2026/01/01/00/offset00000000000000000002-00000000….parquet\n" in text
    assert "a file is missing:" in text
    whole = faulty().to_json()["hops"][1]["damaged"]
    assert whole[0] == {"path": damaged(1).path, "why": OTHER_BYTES}


def test_many_damaged_files_and_findings_are_counted_and_not_all_listed():
    hop = HopVerdict(Hop.RAW, State.SHORT, 1000, 0, damaged=tuple(map(damaged, range(40))))
    text = text_report(verdict(hops=(hop,), findings=tuple(map(finding, range(1200)))))
    assert "40 files, each" in text
    assert "… and 35 more" in text
    assert "… and 1,150 more" in text
    assert len(text.splitlines()) < 250


def test_a_finding_without_identity_is_told_by_its_writer():
    nameless = finding(1, identity=None, writer="ab" * 16, sequence=7, offset=None)
    assert "identity unknown, sequence 7 of writer abababab" in str(nameless)
    assert "offset" not in str(nameless)
    assert "identity unknown" in str(finding(1, identity=None))


def test_one_finding_is_in_the_singular():
    assert "1 record differs:" in text_report(verdict(findings=(finding(1),)))


def hours(count: int) -> Verdict:
    return verdict(buckets=tuple(Bucket(T0 + n * HOUR, 5, 5, State.BALANCED) for n in range(count)))


def test_a_picture_of_a_day_tells_the_time_at_its_ends_and_a_longer_one_the_date():
    assert "  2026-01-01 00:00 – 2026-01-01 03:00" in text_report(hours(3))
    assert "2026-01-03 23:00" in text_report(hours(71))
    assert "2026-01-04" in text_report(hours(72))
    assert "00:00" not in text_report(hours(72)).splitlines()[-1]
    assert ">2026-01-01 03:00</text>" in html_report(hours(3))


def test_records_of_one_hour_make_no_picture():
    assert "records in raw by their time" not in text_report(hours(1))
    assert "records in raw by their time" in text_report(hours(2))


class Tags(HTMLParser):
    """Checks that every element is closed in its order."""

    VOID = frozenset({"meta", "br", "rect"})

    def __init__(self):
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag in self.VOID or self.open.pop() == tag


@pytest.mark.parametrize("make", [verdict, faulty])
def test_html_is_well_formed_and_a_page_of_its_own(make):
    page = html_page(make())
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    assert page.startswith("<!doctype html>")
    assert "charset='utf-8'" in page
    assert "<script" not in page


def test_html_escapes_what_records_say():
    page = html_page(verdict(findings=(finding(1, identity={"name": "<script>alert(1)</script>"}),)))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@given(
    hours=st.lists(st.integers(0, 20_000), min_size=1, max_size=50, unique=True).map(sorted),
    width=st.integers(1, 130),
)
def test_bars_hold_every_record_once_in_at_most_as_many_bars(hours, width):
    buckets = [Bucket(T0 + hour * HOUR, hour, hour + 1, State.BALANCED) for hour in hours]
    drawn = bars(buckets, width)
    assert 1 <= len(drawn) <= width
    assert sum(bar.expected for bar in drawn) == sum(hours)
    assert sum(bar.found for bar in drawn) == sum(hours) + len(hours)
    assert (drawn[0].first, drawn[-1].last) == (T0 + hours[0] * HOUR, T0 + (hours[-1] + 1) * HOUR)
    assert all(left.last == right.first for left, right in itertools.pairwise(drawn))


def test_bars_are_of_hours_that_divide_a_day_or_of_whole_days():
    assert span_text(bars([Bucket(T0 + n * HOUR, 1, 1, State.BALANCED) for n in range(200)], 30)) == "8 h"
    assert span_text(bars([Bucket(T0 + n * HOUR, 1, 1, State.BALANCED) for n in (0, 24 * 365)], 73)) == "6 d"


def test_damage_is_grouped_by_its_kind_without_the_hash_found():
    assert list(by_damage([damaged(1), damaged(2, "is missing")])) == [
        "holds other bytes than were written",
        "is missing",
    ]
