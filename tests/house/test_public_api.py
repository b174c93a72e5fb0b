from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import onepipe as op

PUBLIC = """
Backoff Consumer DeadLetter Deletion Duration Finding MergePolicy Message Pipeline Producer Received Receipt Schema Sink
SinkBatch Start Table Topic
TopicPartition TransactionalSink Verdict attributes avro_name backoff branches col connect decimal enumeration errors
evolve field first fixed float32 hookimpl int32 latest latest_non_null lit local maximum millis minimum record
record_class topic_of union
"""


def test_the_public_names_are_these_and_each_one_is_there():
    assert sorted(op.__all__) == sorted(PUBLIC.split())
    assert dir(op) == op.__all__
    for name in op.__all__:
        assert getattr(op, name) is not None


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        op.nothing  # noqa: B018 - asking is what is tested


@pytest.mark.parametrize("name", sorted(PUBLIC.split()))
def test_every_public_class_and_function_has_a_docstring(name):
    value = getattr(op, name)
    if inspect.isclass(value) or inspect.isfunction(value) or inspect.ismodule(value):
        assert value.__doc__


@pytest.mark.parametrize("cls", [op.Pipeline, op.Producer, op.Consumer, op.Receipt, op.Table, op.Topic, op.Verdict])
def test_every_public_method_has_a_docstring(cls):
    for name, member in inspect.getmembers(cls):
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            assert member.__doc__, f"{cls.__name__}.{name}"


HEAVY = ("pyarrow", "numpy", "duckdb", "deltalake", "sqlalchemy", "pandas", "polars", "rich", "fastavro", "asyncio")


def _loaded(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_onepipe_loads_nothing_else():
    before, after = _loaded("pass"), _loaded("import onepipe")
    assert after - before - {"onepipe", "__future__", "typing", "importlib"} <= set(sys.stdlib_module_names)


def test_publishing_and_consuming_load_nothing_heavy():
    code = """
import datetime as dt
import onepipe as op

@op.record(topic="T", merge=op.latest("at"))
class R:
    id: str = op.field(identity=True)
    at: dt.datetime

with op.connect("memory://") as pipe:
    with pipe.producer() as producer:
        producer.publish(R(id="1", at=dt.datetime.now(dt.UTC)))
    with pipe.consumer(R, until="end") as consumer:
        assert [r.record.id for r in consumer] == ["1"]
"""
    assert not _loaded(code) & set(HEAVY)


@pytest.mark.slow
def test_every_module_can_be_imported_on_its_own():
    import pkgutil

    failed = []
    for package in ("onepipe", "onepipe_memory"):
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if module.name.endswith("__main__"):
                continue
            code = f"import {module.name}"
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
            )
            if done.returncode:
                failed.append((module.name, done.stderr.splitlines()[-1]))
    assert not failed
