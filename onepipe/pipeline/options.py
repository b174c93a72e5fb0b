"""The optional arguments of a pipeline's calls, as types: each is written once for all overloads of its call."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping
from typing import Any

from typing_extensions import TypedDict

from onepipe.consuming.backoff import Backoff
from onepipe.consuming.consumer import OnUndecodable
from onepipe.consuming.delivery import OnFailure
from onepipe.sink import PutAside
from onepipe.transport import Start, Until


class ConsumerOptions(TypedDict, total=False):
    """What `Pipeline.consumer` takes besides topics, and says there."""

    group: str | None
    start: Start | dt.datetime
    until: Until
    resolve: bool
    on_undecodable: OnUndecodable
    auto_commit: bool
    commit_every: float


class SinkOptions(TypedDict, total=False):
    """What `Pipeline.sink` takes besides topic and sink, and says there."""

    name: str | None
    settings: Mapping[str, Any] | None
    until: Until
    stop: threading.Event | None
    max_batch: int
    on_undecodable: PutAside | None
    retry: Backoff | None
    on_failure: OnFailure
