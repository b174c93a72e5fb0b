from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from services.kafka import Kafka

ROOT = Path(__file__).parents[2]
RECORDS = 2000
ALONE = ("encode", "decode", "columnar", "publish", "archive", "dedup", "verify", "import")
"""Benchmarks that need no service."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec("confluent_kafka") is None:
        pytest.skip("the benchmarks extra is not installed")
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def measured(*names: str) -> Any:
    done = run(*names, "--quick", "--json", "--rounds=1", f"--records={RECORDS}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_every_benchmark_runs_to_its_end_and_reports_against_its_goals() -> None:
    document = measured(*ALONE)
    results = document["results"]
    assert {result["name"] for result in results} == set(ALONE)
    assert document["sizes"]["lake"] == RECORDS
    for result in results:
        assert result["least"] <= result["value"] <= result["greatest"]
        has_goal = result["at_least"] is not None or result["at_most"] is not None
        assert (result["met"] is not None) == has_goal


@pytest.mark.slow
@pytest.mark.kafka
def test_both_clients_are_measured_on_a_real_kafka(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faststream", reason="the benchmarks extra is not installed", exc_type=ImportError)
    monkeypatch.setenv("ONEPIPE_BENCH_KAFKA", kafka.address)
    found = {(result["what"], result["against"]) for result in measured("kafka")["results"]}
    assert found == {
        ("publish, acknowledged, confluent-kafka", "Confluent SerializingProducer, ready dict"),
        ("publish, acknowledged, confluent-kafka", "FastStream, pydantic model to JSON"),
        ("publish, acknowledged, confluent-kafka", "bare produce of ready bytes"),
        ("publish, acknowledged, kafka-python", "bare send of ready bytes"),
        ("log → raw lake, confluent-kafka", "bare consume and discard"),
        ("log → raw lake, kafka-python", "bare consume and discard"),
    }


def test_what_needs_a_kafka_is_left_out_with_a_line_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEPIPE_BENCH_KAFKA", raising=False)
    monkeypatch.setenv("PATH", "")
    done = run("kafka")
    assert done.returncode == 0, done.stderr
    assert "kafka: skipped, as there is no Kafka: " in done.stderr
    assert "ONEPIPE_BENCH_KAFKA may name one" in done.stderr


def test_a_benchmark_nobody_knows_is_refused() -> None:
    done = run("encod")
    assert done.returncode == 2
    assert "no benchmark is named encod" in done.stderr


def test_a_speed_is_the_median_of_the_rounds_ratios_and_is_held_to_its_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.measure import Subject

    subject = Subject("name", "what", "data", 1000)
    result = subject.speed([1.0, 1.0, 2.0], [2.0, 3.0, 8.0], "peer", 3)
    assert (result.value, result.least, result.greatest, result.met) == (3, 2, 4, True)
    assert subject.speed([1.0], [2.9], "peer", 3).met is False
    cost = subject.cost([1.0, 1.25, 1.5], [1.0, 1.0, 1.0], "peer", 5)
    assert (cost.value, cost.met) == (25, False)
    assert subject.rate([0.5]).met is None
