"""Rows whose schema the registry did not give: neither proved nor accused, until they are decoded."""

from __future__ import annotations

import datetime as dt

import pytest
from audited_world import T0, World

import onepipe as op
from onepipe.audit.verdict import Hop, Kind, State
from onepipe.errors import NotRegistered, RegistryUnavailable
from onepipe.evidence.records import EVIDENCE
from onepipe.lake.archive import archive
from onepipe.registry.port import SchemaSource


@op.record(topic="Trips", name="Trip", merge=op.latest("version"), event_time="day", audit="counted")
class LaterTrip:
    id: int = op.field(identity=True)
    version: int
    day: dt.datetime
    distance: int = 0
    note: str = ""


class Registry(SchemaSource):
    """One that cannot be asked, or that lacks what it does not give."""

    def __init__(self, source, given, error):
        self.source, self.given, self.error = source, given, error

    def schema(self, schema_id):
        if schema_id not in self.given:
            raise self.error
        return self.source.schema(schema_id)

    def schema_by_guid(self, guid):
        raise NotImplementedError

    def schema_by_fingerprint(self, fingerprint, subjects):
        raise NotImplementedError


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, audit="counted")


def publish_both(world) -> None:
    """30 records of the declaration that the archive knows, and 20 of a later one."""
    world.publish(30)
    later = [LaterTrip(id=100 + n, version=0, day=T0, note="n") for n in range(20)]
    with world.pipe.producer() as producer:
        producer.publish_many(later)


def archive_with(world, registry) -> None:
    archive(world.topic, world.pipe.transport, world.pipe.lake, registry)
    archive(EVIDENCE, world.pipe.transport, world.pipe.lake, world.pipe.registry)


def without_the_later_schema(world, error) -> Registry:
    world.pipe.register(world.cls)
    return Registry(world.pipe.registry, {world.pipe.registry.version("Trips-value").schema_id}, error)


@pytest.mark.parametrize("error", [RegistryUnavailable("refused"), NotRegistered("no such id")])
@pytest.mark.parametrize("level", ["accounted", "proved"])
def test_records_archived_while_their_schema_is_unknown_are_not_called_altered_and_balanced_once_decoded(
    world, error, level
):
    registry = without_the_later_schema(world, error)
    publish_both(world)
    archive_with(world, registry)
    world.pipe.dedup(world.cls)
    verdict = world.verify(level)
    assert (verdict.state, verdict.findings) == (State.UNKNOWN, ())
    assert (verdict.equation.published, verdict.equation.quarantined) == (50, 20)
    log = next(hop for hop in verdict.hops if hop.hop is Hop.LOG)
    assert (log.state, log.expected, log.found) == (State.UNKNOWN, 50, 50)
    assert "20 records are not compared, as the registry gave no schema of theirs yet" in log.notes
    assert world.pipe.maintain(world.cls).reread.rows == 20
    world.pipe.dedup(world.cls)
    assert world.verify(level).balanced, str(world.verify(level))


def test_a_record_whose_schema_id_was_altered_in_the_log_is_named_as_its_bytes_are_of_a_declared_schema(world):
    world.publish(30)
    world.pipe.transport.faults.alter("Trips", 1, 3, change=lambda value: b"\0\x7f\0\0\x63" + value[5:])
    world.lake_it()
    (finding,) = world.verify().findings
    assert (finding.kind, finding.hop, finding.partition, finding.offset) == (Kind.ALTERED, Hop.LOG, 1, 3)


def test_one_that_is_lost_among_undecoded_ones_is_named(world):
    registry = without_the_later_schema(world, RegistryUnavailable("refused"))
    publish_both(world)
    world.pipe.transport.faults.lose("Trips", 0, 20)
    archive_with(world, registry)
    (finding,) = world.verify().findings
    assert (finding.kind, finding.partition, finding.offset) == (Kind.LOST, 0, 20)
