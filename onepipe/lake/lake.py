"""Lake: a storage, and what is found in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs

from onepipe.declaring.topic import Topic
from onepipe.lake import layout
from onepipe.lake.catalog import Catalog
from onepipe.lake.storage import Storage, open_storage

if TYPE_CHECKING:
    from onepipe.lake.table import LakeTable


@attrs.frozen
class Lake:
    """A lake. Thread-safe; several processes may use one.

    Attributes:
        storage: where its files are.
        catalog: the declarations it has seen.
    """

    storage: Storage
    catalog: Catalog

    def topic(self, name: str) -> Topic:
        """The latest declaration of a topic that the lake has seen.

        Raises:
            NotRegistered: it has not seen the topic; says the nearest match.
        """
        return self.catalog.topic(name)

    def topics(self) -> list[str]:
        """Names of the topics the lake has seen, sorted."""
        return self.catalog.topics()

    def raw(self, topic: str) -> LakeTable | None:
        """A topic's raw table; None where nothing was archived yet."""
        from onepipe.lake.table import LakeTable

        return LakeTable.find(self.storage, layout.raw_table(topic))

    def clean(self, topic: str) -> LakeTable | None:
        """A topic's clean table; None where nothing was merged yet."""
        from onepipe.lake.table import LakeTable

        return LakeTable.find(self.storage, layout.clean_table(topic))


def open_lake(url: str | os.PathLike[str]) -> Lake:
    """The lake in a folder, or at a URL; nothing is read or made yet.

    Raises:
        ConfigurationError: the URL is of a kind no installed storage knows.
        MissingDependency: the URL's scheme needs a package that is not installed.
    """
    storage = open_storage(url)
    return Lake(storage, Catalog(storage))
