"""Registries in memory: apart from one another, unless they are named."""

from __future__ import annotations

import uuid

import pytest

from onepipe.errors import ClosedError
from onepipe.registry import open_registry
from onepipe.schema.model import Schema


def test_registries_without_a_name_are_apart():
    with open_registry("memory://") as one, open_registry("memory://") as two:
        one.register_schema("s", Schema.parse("int"))
        assert two.subjects() == ()


def test_a_named_registry_outlives_the_closing_of_a_handle():
    url = f"memory://{uuid.uuid4().hex}"
    with open_registry(url) as one, open_registry(url) as two:
        registered = one.register_schema("s", Schema.parse("int"))
        one.close()
        with pytest.raises(ClosedError):
            one.subjects()
        assert two.version("s") == registered
    with open_registry(url) as three:
        assert three.register_schema("s", Schema.parse("int")) == registered
    with open_registry(f"memory://{uuid.uuid4().hex}") as other:
        assert other.subjects() == ()
