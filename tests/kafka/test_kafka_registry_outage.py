"""A company's registry goes down and comes back while an archive of its topic on a real Kafka runs.

Messages of schemas met before go on; the others are kept undecoded, and decoded once the registry is back. At each
moment the verdict says what is so. Each test says its counts in one line (`pytest -rP`).
"""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from archiver_world import rounds
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_registry import RunningRegistry
from foreign_world import MILLIS_TYPE, World, avro, record
from services.kafka import Kafka

import onepipe as op
from onepipe.audit.verdict import Equation
from onepipe.cli import main
from onepipe.lake.archive import ArchiveLimits, app_id
from onepipe.registry import outage

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # kafka-python leaves refused ones
]

PARTITIONS: Final = 2
PATIENCE: Final = 60.0
SOME: Final = 20
LIMITS: Final = ArchiveLimits(linger=0.2)
T0: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ORDER: Final = record("Order", order_id="string", amount="int", updated=MILLIS_TYPE)


def later(number: int) -> Any:
    """The schema as the company has it after so many changes."""
    return record(
        "Order", order_id="string", amount="int", updated=MILLIS_TYPE, **{f"n{n}": ("int", 0) for n in range(number)}
    )


@attrs.define
class Company(World):
    """A company's topic on Kafka, its registry, and an archive that follows the topic.

    Attributes:
        scheme: which of the clients the pipeline has.
        address: of the broker.
        name: of the topic.
        written: messages that were written so far.
    """

    scheme: str
    address: str
    name: str
    written: int = 0

    def attach(self) -> op.Topic:
        url = f"{self.company.url}?attempts=1"
        return op.Topic.attach(
            self.name, value="registry", registry=url, identity="order_id", merge=op.latest("updated")
        )

    def produce(self, schema_id: int, schema: Any) -> None:
        """Write some orders of a schema, each of an identity of its own, with Confluent's client."""
        producer = Producer({"bootstrap.servers": self.address})
        for number in range(self.written, self.written + SOME):
            order = {"order_id": f"O{number}", "amount": number, "updated": T0}
            more = {field["name"]: number for field in schema["fields"] if field["name"].startswith("n")}
            producer.produce(self.name, avro(schema_id, schema, order | more), b"%d" % number)
        assert producer.flush(PATIENCE) == 0
        self.written += SOME

    def await_archived(self) -> None:
        deadline = time.monotonic() + PATIENCE
        log = self.pipe.transport.describe_topic(self.name).log
        names = [app_id(log, number) for number in range(PARTITIONS)]
        while True:
            table = self.pipe.lake.raw(self.name)
            progress = table.progress(names) if table else {}
            if sum(offset or 0 for offset in progress.values()) == self.written:
                return
            assert time.monotonic() < deadline, progress
            time.sleep(0.05)

    def accounted(self, topic: op.Topic) -> Equation:
        """What the verdict says became of each record, once what is archived is merged."""
        self.pipe.dedup(topic)
        self.require_balanced(topic)
        equation = self.pipe.verify(topic).equation
        assert (equation.superseded, equation.repeated, equation.in_flight) == (0, 0, 0)
        assert equation.accounted == self.written
        return equation

    def command(self, capsys: pytest.CaptureFixture[str], *words: str) -> list[Any]:
        """The JSON objects that a command prints."""
        assert main(words) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(params=["kafka", "kafka+confluent"])
def company(
    kafka: Kafka, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Company]:
    monkeypatch.setattr(outage, "PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("ONEPIPE_URL", f"{request.param}://{kafka.address}")
    monkeypatch.setenv("ONEPIPE_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("ONEPIPE_REGISTRY", f"sqlite:///{tmp_path}/registry.db")
    name = f"outage-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(PATIENCE)
    with RunningRegistry() as registry, op.connect() as pipe:
        yield Company(pipe, registry, request.param, kafka.address, name)


@pytest.fixture
def follow() -> Iterator[Callable[[op.Topic], None]]:
    """Archives a topic for as long as the test runs."""
    stop = threading.Event()

    def archive(topic: op.Topic) -> None:
        with op.connect() as pipe:
            pipe.archive(topic, until="stopped", stop=stop, limits=LIMITS)

    with ThreadPoolExecutor() as runs:
        running = []
        try:
            yield lambda topic: running.append(runs.submit(archive, topic))
        finally:
            stop.set()
        for each in running:
            each.result(PATIENCE)


def test_known_schemas_go_on_and_unknown_ones_are_decoded_once_the_registry_is_back(
    company: Company, follow: Callable[[op.Topic], None], capsys: pytest.CaptureFixture[str], record_property: Any
) -> None:
    known = company.register(f"{company.name}-value", ORDER)
    topic = company.attach()
    company.produce(known, ORDER)
    follow(topic)
    company.await_archived()
    assert company.accounted(topic).quarantined == 0
    outages = 0
    for number in rounds(3):
        company.company.stop()
        late = company.register(f"{company.name}-value", later(number + 1))
        company.produce(known, ORDER)
        company.produce(late, later(number + 1))
        company.await_archived()
        assert (company.accounted(topic).quarantined, company.accounted(topic).stored) == (
            SOME,
            company.written - SOME,
        )
        letters = company.command(capsys, "dead-letters", "list", "--json", company.name)
        assert {(each["rule"], each["schema_id"]) for each in letters} == {("unknown schema", late)}
        assert len(letters) == SOME
        company.company.start_again()
        company.produce(late, later(number + 1))
        company.await_archived()
        assert company.accounted(topic).quarantined == SOME
        (account,) = company.command(capsys, "maintain", "--json", company.name)
        assert account["topics"][0]["reread"]["rows"] == SOME
        verdict = company.pipe.verify(topic)
        assert (verdict.equation.in_flight, verdict.findings) == (company.written, ())
        assert (company.accounted(topic).quarantined, company.accounted(topic).stored) == (0, company.written)
        outages += 1
    amounts = Counter(row["amount"] for row in company.rows(topic))
    lost, repeated = company.written - len(amounts), amounts.total() - len(amounts)
    for name, count in {"survived": outages, "checked": company.written, "lost": lost, "repeated": repeated}.items():
        record_property(name, count)
    print(  # noqa: T201 - what these tests are for
        f"{company.scheme}: an outage of the registry survived {outages} times, {company.written} records checked, "
        f"lost {lost}, repeated {repeated}"
    )
    assert (lost, repeated) == (0, 0)
    assert company.errors(topic) == [None] * company.written
