"""The contract of a registry, on each store."""

from __future__ import annotations

import pytest

from onepipe.registry import open_registry
from onepipe.testing.registry import RegistryContract


class TestMemoryRegistry(RegistryContract):
    @pytest.fixture
    def registry(self):
        with open_registry("memory://") as registry:
            yield registry


class TestSQLiteRegistry(RegistryContract):
    @pytest.fixture
    def registry(self, tmp_path):
        with open_registry(f"sqlite:///{tmp_path}/registry.db") as registry:
            yield registry


@pytest.mark.postgresql
class TestPostgreSQLRegistry(RegistryContract):
    @pytest.fixture
    def registry(self, postgresql_url):
        with open_registry(postgresql_url) as registry:
            yield registry
