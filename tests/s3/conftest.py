"""Lakes on a real S3 store, with a cache of their own, for the tests of this folder."""

from __future__ import annotations

import contextlib

import pytest
from faulty_proxy import faulty_proxy


@pytest.fixture
def store(s3, tmp_path, monkeypatch):
    """The store, which AWS's variables name for as long as the test runs."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return s3


@pytest.fixture
def bucket(store):
    """A new bucket."""
    return store.new_bucket()


@pytest.fixture
def url(bucket):
    """Where a new lake may be."""
    return f"s3://{bucket}/company/lake"


@pytest.fixture
def proxy(store, monkeypatch):
    """A proxy in front of the store, which AWS's variables name instead."""
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(faulty_proxy(store.endpoint))
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", found.endpoint)
        yield found
