from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from onepipe.plugins import Plugins
from onepipe.testing.clock import ManualClock
from onepipe.testing.transport import TransportContract
from onepipe.transport import GroupReader, TopicPartition, Transport
from onepipe.url import Url
from onepipe_memory.transport import MemoryTransport


class MemoryContract(TransportContract):
    @pytest.fixture
    def transport(self, url: str) -> Iterator[Transport]:
        self.clock = ManualClock()
        self.open = lambda: Plugins().open_transport(Url.parse(url), {"clock": self.clock})
        transport = self.open()
        yield transport
        transport.close()

    def expire(self, transport: Transport, partition: TopicPartition, before: int) -> None:
        assert isinstance(transport, MemoryTransport)
        transport.trim(partition, before)

    def presume_dead(self, transport: Transport, member: GroupReader) -> None:
        self.clock.advance(300_001)


class TestMemory(MemoryContract):
    @pytest.fixture
    def url(self) -> str:
        return "memory://"


class TestDisk(MemoryContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"memory://{tmp_path}/log"

    def reopen(self, transport: Transport) -> Transport:
        transport.close()
        return self.open()
