"""Topics of many fields: Delta by itself keeps statistics of a table's first 32 columns only, and ours come last."""

from __future__ import annotations

from pathlib import Path

import pytest

import onepipe as op
from onepipe.schema.model import Schema


def wide(fields: int) -> op.Topic:
    more = [{"name": f"f{number}", "type": "long", "default": 0} for number in range(fields)]
    key = [{"name": "sid", "type": "string"}, {"name": "version", "type": "long"}]
    schema = Schema.parse({"type": "record", "name": "Wide", "fields": [*key, *more]})
    return op.Topic.declare("Wide", schema, identity="sid", merge=op.latest("version"))


@pytest.mark.parametrize("fields", [26, *(pytest.param(many, marks=pytest.mark.slow) for many in (30, 200))])
def test_a_topic_of_many_fields_is_merged_maintained_and_verified(tmp_path: Path, fields: int) -> None:
    topic = wide(fields)
    with op.connect("memory://", lake=tmp_path / "lake") as pipe:
        for version in (1, 2):
            with pipe.producer() as producer:
                producer.publish_many([{"sid": sid, "version": version} for sid in "ab"], topic=topic)
            pipe.archive(topic)
            pipe.dedup(topic)
        pipe.maintain(topic)
        assert pipe.verify(topic).balanced
        rows = pipe.table(topic).to_arrow()
    assert rows.column("version").to_pylist() == [2, 2]
    assert len(rows.column_names) >= fields + 2


def test_a_topic_that_grows_wide_is_merged_all_the_same(tmp_path: Path) -> None:
    with op.connect("memory://", lake=tmp_path / "lake") as pipe:
        for fields in (1, 60):
            topic = wide(fields)
            with pipe.producer() as producer:
                producer.publish({"sid": "a", "version": fields}, topic=topic)
            pipe.archive(topic)
            pipe.dedup(topic)
        assert pipe.verify(topic).balanced
        assert pipe.table(topic).to_arrow().column("version").to_pylist() == [60]
