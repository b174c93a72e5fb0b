"""Accepting faults of the log: what alarms no longer, what does all the same, and what stays shown."""

from __future__ import annotations

import datetime as dt
import json
import shutil

import attrs
import pytest
from audited_world import World, hops, lose
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import onepipe as op
from onepipe.audit.accepted import accept, findings_in
from onepipe.audit.fault_key import fault_key, key_of
from onepipe.audit.ledger import Ledger
from onepipe.audit.report_html import html_report
from onepipe.audit.verdict import Hop, Kind, State
from onepipe.cli import main
from onepipe.errors import ConfigurationError
from onepipe.lake import open_lake

NAMED = ("named", "counted")


def faulty(folder, *kinds: Kind, audit: str = "named") -> World:
    """A world whose log has faults."""
    world = World(folder, audit)
    world.publish()
    world.tamper(log=kinds)
    return world


@pytest.mark.slow
@pytest.mark.parametrize("level", ["accounted", "proved", "deep"])
@pytest.mark.parametrize("audit", NAMED)
def test_a_loss_that_is_accepted_alarms_no_longer_and_stays_shown(tmp_path, audit, level):
    world = faulty(tmp_path, Kind.LOST, audit=audit)
    before = world.verify(level)
    assert before.state is State.SHORT
    accepted = world.pipe.accept(before, reason=" known loss ", by="ops")
    assert len(accepted) == 1
    after = world.verify(level)
    assert after.balanced
    assert after.sound
    assert hops(after)["log"] == "balanced"
    assert [attrs.evolve(each, accepted=None) for each in after.findings] == list(before.findings)
    assert [(each.accepted.reason, each.accepted.by) for each in after.findings] == [("known loss", "ops")]
    assert after.faults(Hop.LOG)[Kind.LOST] == after.accepted == 1
    (log,) = (hop for hop in after.hops if hop.hop is Hop.LOG)
    assert (log.expected, log.found) == (200, 199)


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kinds=st.lists(st.sampled_from(Kind), min_size=1, max_size=4),
    audit=st.sampled_from(NAMED),
    chosen=st.integers(0, 15),
)
def test_the_state_follows_from_what_was_not_accepted(tmp_path_factory, kinds, audit, chosen):
    world = faulty(tmp_path_factory.mktemp("lake"), *kinds, audit=audit)
    findings = world.verify().findings
    picked = [each for number, each in enumerate(findings) if chosen >> number & 1]
    assert list(world.pipe.accept(picked, reason="known")) == picked
    verdict = world.verify()
    assert [each.accepted is not None for each in verdict.findings] == [each in picked for each in findings]
    assert verdict.balanced == (len(picked) == len(findings))
    assert verdict.accepted == len(picked)


def test_what_is_beyond_the_accepted_alarms_at_every_hop(tmp_path):
    world = faulty(tmp_path, Kind.LOST)
    world.pipe.accept(world.verify(), reason="known")
    assert world.verify().balanced
    lose(tmp_path / "clean" / "Trips", id=7)
    verdict = world.verify()
    assert verdict.state is State.SHORT
    assert [(each.hop, each.accepted is None) for each in verdict.findings] == [(Hop.LOG, False), (Hop.CLEAN, True)]


def test_a_fault_of_a_file_is_not_accepted_and_nothing_with_it(tmp_path):
    world = faulty(tmp_path, Kind.LOST)
    lose(tmp_path / "clean" / "Trips", id=7)
    with pytest.raises(ConfigurationError, match=r"lost at the clean hop is not accepted.*rebuild=True"):
        world.pipe.accept(world.verify(), reason="known")
    assert world.verify().accepted == 0


def test_a_damaged_file_alarms_although_all_its_records_were_accepted_as_lost(tmp_path):
    world = faulty(tmp_path, Kind.LOST)
    world.pipe.accept(world.verify(), reason="known")
    for file in (tmp_path / "raw" / "Trips").rglob("*.parquet"):
        file.write_bytes(b"damaged")
    verdict = world.verify()
    world.pipe.accept([each for each in verdict.findings if each.hop is Hop.LOG], reason="known")
    assert world.verify().state.is_fault


def test_accepting_again_notes_nothing_new(tmp_path):
    world = faulty(tmp_path, Kind.LOST)
    verdict = world.verify()
    world.pipe.accept(verdict, reason="first", by="a")
    assert world.pipe.accept(verdict, reason="second", by="b") == ()
    (finding,) = world.verify().findings
    assert finding.accepted is not None
    assert (finding.accepted.reason, finding.accepted.by) == ("first", "a")
    assert world.pipe.accept(world.verify(), reason="third") == ()
    assert len(list((tmp_path / "ledger" / "Trips" / "accepted").iterdir())) == 1


def test_without_its_ledger_an_accepted_loss_alarms_again(tmp_path):
    world = faulty(tmp_path, Kind.LOST)
    world.pipe.accept(world.verify(), reason="known")
    shutil.rmtree(tmp_path / "ledger")
    assert world.verify().state is State.SHORT


def test_a_changed_entry_of_the_ledger_accepts_nothing(tmp_path):
    world = faulty(tmp_path, Kind.LOST)
    world.pipe.accept(world.verify(), reason="known")
    (entry,) = (tmp_path / "ledger" / "Trips" / "accepted").iterdir()
    entry.write_text(entry.read_text("utf-8").replace("known", "never mind"), "utf-8")
    assert world.verify().state is State.SHORT


def test_the_hour_of_an_accepted_loss_is_never_sealed(tmp_path):
    world = faulty(tmp_path, Kind.LOST)
    short = {bucket.hour for bucket in world.verify().buckets if bucket.state is not State.BALANCED}
    assert short
    world.pipe.accept(world.verify(), reason="known")
    assert world.verify().balanced
    sealed = Ledger(open_lake(tmp_path).storage, "Trips").sealed()
    assert sealed
    assert not short & sealed.keys()


def test_a_lost_record_is_known_again_when_more_is_learned_of_it():
    told = ("log", 1, None, "ab", 7), ("log", 1, 99, "ab", 7)
    assert len({fault_key(Kind.LOST, *each) for each in told}) == 1
    assert len({fault_key(Kind.ALTERED, *each) for each in told}) == 2
    assert fault_key(Kind.LOST, "log", 1, 99, "ab", 7) != fault_key(Kind.LOST, "other", 1, 99, "ab", 7)
    assert fault_key(Kind.REPEATED, "log", 1, 99, "ab", 7) != fault_key(Kind.ALTERED, "log", 1, 99, "ab", 7)
    assert fault_key(Kind.LOST, None, 1, 99, "ab", 7) is None
    assert fault_key(Kind.REPEATED, "log", 1, None, "ab", 7) is None


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001, 7, None])
def test_a_reason_is_wanted(tmp_path, reason):
    with op.connect("memory://", lake=tmp_path) as pipe, pytest.raises(ConfigurationError, match="reason"):
        pipe.accept([], reason=reason)


@pytest.mark.parametrize("what", [7, "text", ["text"], None])
def test_only_findings_are_accepted(tmp_path, what):
    with op.connect("memory://", lake=tmp_path) as pipe, pytest.raises(ConfigurationError, match="nor findings"):
        pipe.accept(what, reason="known")


def test_reports_say_how_many_were_accepted_and_name_new_ones_first(tmp_path):
    world = faulty(tmp_path, Kind.LOST, Kind.LOST)
    first, second = world.verify().findings
    world.pipe.accept([first], reason="a reason of many words, " * 9, by="ops")
    text = str(world.verify())
    assert text.startswith("Trips: short, 1 accepted (proved, ")
    assert "2 records differ:" in text
    assert text.index(f"offset {second.offset}") < text.index("by ops: a reason of many words,")
    assert max(map(len, text.splitlines())) <= 80
    page = html_report(world.verify())
    assert "1 accepted; " in page
    assert "by ops: a reason" in page


def test_a_verdict_as_json_accepts_exactly_its_findings(tmp_path, capsys, monkeypatch):
    world = faulty(tmp_path / "lake", Kind.LOST, Kind.ALTERED)
    monkeypatch.setenv("ONEPIPE_LAKE", str(tmp_path / "lake"))
    assert main(["verify", "Trips", "--json"]) == 1
    document = capsys.readouterr().out
    assert [key_of(each) for each in findings_in(json.loads(document))] == list(map(key_of, world.verify().findings))
    file = tmp_path / "verdict.json"
    file.write_text(document, "utf-8")
    assert main(["accept", str(file), "--reason", "known", "--by", "ops"]) == 0
    assert capsys.readouterr().out == "Trips: 2 accepted\n"
    assert main(["verify", "Trips", "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert [each["accepted"]["reason"] for each in verdict["findings"]] == ["known", "known"]
    file.write_text(json.dumps(verdict), "utf-8")
    assert main(["accept", str(file), "--reason", "again", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"command": "accept", "accepted": {}}


@pytest.mark.parametrize(
    "garbage", ["", "{}", "[]", "null", '{"findings": 7}', '{"findings": [{}]}', '{"findings": [{"kind": "lost"}]}']
)
def test_what_is_no_verdict_accepts_nothing(tmp_path, garbage, capsys):
    World(tmp_path / "lake").lake_it()
    file = tmp_path / "verdict.json"
    file.write_text(garbage, "utf-8")
    assert main(["accept", str(file), "--lake", str(tmp_path / "lake"), "--reason", "known"]) == 2
    assert "onepipe verify TOPIC --json" in capsys.readouterr().err


def test_a_finding_whose_parts_have_other_types_is_refused(tmp_path):
    world = faulty(tmp_path, Kind.LOST)
    document = json.loads(json.dumps(world.verify().to_json()))
    for name, value in (("partition", "1"), ("writer", 7), ("topic", None), ("hop", "nowhere")):
        changed = {**document, "findings": [{**document["findings"][0], name: value}]}
        with pytest.raises(ConfigurationError, match="no verdict"):
            findings_in(changed)


def test_who_accepts_is_the_user_where_nobody_is_named(tmp_path, monkeypatch):
    world = faulty(tmp_path, Kind.LOST)
    monkeypatch.setattr("getpass.getuser", lambda: (_ for _ in ()).throw(KeyError("no entry for the user")))
    at = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    accept(open_lake(tmp_path), world.verify(), reason="known", at=at)
    (finding,) = world.verify().findings
    assert str(finding.accepted) == "accepted 2026-05-01 by unknown: known"
