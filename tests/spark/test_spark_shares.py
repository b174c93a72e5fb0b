"""How rows are shared out to Spark's tasks; needs no Spark."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onepipe.lake.chunks import ROOT, UNDATED, is_below, span
from onepipe.lake.columns import IDENTITY
from onepipe.lake.plan import DAY
from onepipe.lake.s3 import S3Storage, parse_address
from onepipe.lake.spark.blocks import hash_range, packed, parted, unpacked
from onepipe.lake.spark.session import context_of
from onepipe.lake.spark.units import share_out

hashes = st.integers(-(1 << 63), (1 << 63) - 1)
days = st.none() | st.integers(-3, 3)
NODES = {0: (2, 6, 7), 1: (ROOT,), None: (4, 5, 3)}


@given(st.lists(hashes), st.integers(0, 13))
def test_a_range_of_hashes_is_a_node_of_the_tree_of_chunks(values, level):
    for value, number in zip(values, hash_range(np.array(values, np.int64), level).tolist(), strict=True):
        low, high = span((1 << level) + number)
        assert low <= value < high


@given(
    st.lists(st.tuples(days, hashes), min_size=1),
    st.dictionaries(st.sampled_from([UNDATED, -1, 0, 1, 2]), st.integers(1, 10**9), min_size=1),
    st.integers(1, 100),
    st.integers(10**6, 10**9),
)
def test_each_row_goes_to_the_one_task_that_cuts_its_node(rows, arrivals, target, task_rows):
    units = share_out(arrivals, (), NODES, target=target, task_rows=task_rows)
    batch = pa.record_batch(
        {
            DAY: pa.array([day for day, _ in rows], pa.int32()),
            IDENTITY: pa.array([hash_ for _, hash_ in rows], pa.int64()),
        }
    )
    for (day, hash_), task in zip(rows, units.tasks(batch).tolist(), strict=True):
        holders = [
            number
            for number, nodes in enumerate(units.nodes)
            if any(span(node)[0] <= hash_ < span(node)[1] for node in nodes.get(day, ()))
        ]
        assert holders in ([task], [])
        named = day in NODES or (UNDATED if day is None else day) in arrivals
        assert bool(holders) == named
        assert named or task == len(units.nodes) - 1


def test_a_node_of_many_rows_is_divided_and_many_of_few_are_one_task():
    divided = share_out({0: 1000}, (), {0: (2,), 1: (3,)}, target=10, task_rows=100)
    parts = [node for nodes in divided.nodes for node in nodes.get(0, ())]
    assert len(parts) == 16
    assert all(is_below(part, 2) for part in parts)
    together = share_out(dict.fromkeys(range(50), 2), (), {}, target=10, task_rows=100)
    assert [len(nodes) for nodes in together.nodes] == [50, 0]


@given(st.lists(st.tuples(st.integers(0, 4), st.text()), min_size=1))
def test_rows_are_parted_in_their_order_and_packed_whole(rows):
    table = pa.table({"key": pa.array([key for key, _ in rows], pa.int64()), "text": [text for _, text in rows]})
    for key, part in parted(table, table["key"].to_numpy()):
        assert unpacked(packed(part))["text"].to_pylist() == [text for own, text in rows if own == key]


def test_a_storage_in_a_bucket_connects_anew_in_another_process():
    address = parse_address("s3://company-data/lake?region=eu-central-1")
    assert pickle.loads(pickle.dumps(S3Storage(address)))._address == address  # noqa: S301 - bytes of our own


def test_a_session_of_spark_connect_is_refused():
    errors = pytest.importorskip("pyspark.errors")

    class Connected:
        @property
        def sparkContext(self):  # noqa: N802 - Spark's name
            raise errors.PySparkAttributeError("JVM_ATTRIBUTE_NOT_SUPPORTED")

    with pytest.raises(Exception, match="Spark Connect cannot run dedup"):
        context_of(Connected())
