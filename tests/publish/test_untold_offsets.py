"""Publishing to logs that do not tell where they stored a record."""

from __future__ import annotations

import datetime as dt

import pytest

import onepipe as op
from onepipe.errors import ConfigurationError
from onepipe.evidence.tally import Tally
from onepipe.transport import Capability, Outcome
from onepipe_memory.transport import MemoryTransport
from onepipe_memory.writer import MemoryWriter


@pytest.fixture(autouse=True)
def _untold(monkeypatch):
    append = MemoryWriter.append

    def append_untold(self, message, on_outcome):
        append(self, message, lambda outcome: on_outcome(Outcome(None, outcome.timestamp, outcome.error)))

    monkeypatch.setattr(MemoryWriter, "append", append_untold)
    claimed = MemoryTransport.capabilities.fget
    monkeypatch.setattr(
        MemoryTransport, "capabilities", property(lambda self: claimed(self) - {Capability.ACKNOWLEDGED_OFFSETS})
    )


@op.record(topic="Orders", merge=op.latest("at"))
class Order:
    number: int = op.field(identity=True)
    at: dt.datetime


@op.record(topic="NamedOrders", audit="named")
class NamedOrder:
    number: int = op.field(identity=True)


def orders(count):
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return [Order(number=number, at=at) for number in range(count)]


def test_a_receipt_is_done_without_an_offset():
    with op.connect("memory://") as pipe, pipe.producer() as producer:
        receipt = producer.publish(orders(1)[0]).result()
        assert receipt.done
        assert receipt.offset is None
        assert "acknowledged" in repr(receipt)


def test_what_was_published_is_verified_all_the_same(tmp_path):
    with op.connect("memory://", lake=tmp_path) as pipe:
        with pipe.producer() as producer:
            producer.publish_many(orders(300))
        pipe.archive(Order)
        pipe.dedup(Order)
        verdict = pipe.verify(Order)
    assert verdict.state.value == "balanced"


def test_what_is_not_archived_yet_is_not_called_lost(tmp_path):
    with op.connect("memory://", lake=tmp_path) as pipe:
        with pipe.producer() as producer:
            producer.publish_many(orders(50))
            producer.flush()
            pipe.archive(Order)
            producer.publish_many(orders(70))
        pipe.archive("_onepipe.audit")
        verdict = pipe.verify(Order)
    assert "120" in str(verdict)
    assert not verdict.findings


def test_a_topic_audited_by_name_is_refused():
    refused = pytest.raises(ConfigurationError, match="cannot be audited by name")
    with op.connect("memory://") as pipe, pipe.producer() as producer, refused:
        producer.publish(NamedOrder(number=1))


def test_a_tally_tells_no_last_offset_where_none_was_told():
    tally = Tally("Orders", "log", 0, named=False)
    tally.add([None, None], [0, 0], bytes(32))
    assert tally.fields()["last_offset"] is None
    assert tally.outcomes == (2, 0, 0)
