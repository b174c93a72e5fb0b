"""The store in a DynamoDB table: one item a document, put on condition of its version."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final, Self

from onepipe.errors import TransportError
from onepipe_kinesis.api import boto_client, call
from onepipe_kinesis.config import KinesisConfig
from onepipe_kinesis.errors import IN_USE, NOT_FOUND, PASSING, Failure, translated
from onepipe_kinesis.store import Document

_REFUSED: Final = "ConditionalCheckFailedException"
_PAUSE_SECONDS: Final = 0.1
_WHAT: Final = "the store of positions failed"


class DynamoStore:
    """Documents in a table of DynamoDB, paid by request. Thread-safe.

    A put without an answer is not sent again blindly: whether it was done is read.
    """

    registry: Final = None

    def __init__(self, client: Any, table: str, timeout: float) -> None:
        self._client = client
        self._table = table
        self._timeout = timeout

    @classmethod
    def connect(cls, config: KinesisConfig) -> Self:
        """Open the table, making it where there is none.

        Raises:
            ConfigurationError: no region is named.
            NotAuthorized: the table may not be used.
            TransportError: DynamoDB cannot be reached.
        """
        client = boto_client("dynamodb", config, config.positions_endpoint)
        store = cls(client, config.positions_table, config.default_api_timeout_ms / 1000)
        store._ensure_table()
        return store

    def get(self, space: str, name: str) -> Document | None:
        """A document, or None."""
        item = self._ask("get_item", Key=_key(space, name), ConsistentRead=True).get("Item")
        return None if item is None else Document(item["document"]["S"], int(item["version"]["N"]))

    def put(self, space: str, name: str, text: str, version: int | None) -> bool:
        """Replace the document of that version, or make one where there is none; whether that was so."""
        item = {**_key(space, name), "document": {"S": text}, "version": {"N": str((version or 0) + 1)}}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(#name)"}
        condition["ExpressionAttributeNames"] = {"#name": "name"}
        if version is not None:
            condition["ConditionExpression"] = "#version = :version"
            condition["ExpressionAttributeNames"] = {"#version": "version"}
            condition["ExpressionAttributeValues"] = {":version": {"N": str(version)}}
        try:
            self._ask("put_item", Item=item, **condition)
        except _Refused:
            # of an attempt that had no answer, the refused one may be the second
            return self.get(space, name) == Document(text, (version or 0) + 1)
        return True

    def clear(self, space: str) -> None:
        """Delete all documents of a space."""
        for name in list(self._names(space)):
            self._ask("delete_item", Key=_key(space, name))

    def close(self) -> None:
        """Let go of the connections. May be called again."""
        self._client.close()

    def _names(self, space: str) -> Iterator[str]:
        query: dict[str, Any] = {
            "KeyConditionExpression": "#space = :space",
            "ExpressionAttributeNames": {"#space": "space"},
            "ExpressionAttributeValues": {":space": {"S": space}},
            "ConsistentRead": True,
        }
        while True:
            found = self._ask("query", **query)
            yield from (item["name"]["S"] for item in found["Items"])
            if not (last := found.get("LastEvaluatedKey")):
                return
            query["ExclusiveStartKey"] = last

    def _ensure_table(self) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                status = call(self._client, "describe_table", {"TableName": self._table})["Table"]["TableStatus"]
            except Failure as failure:
                if failure.code != NOT_FOUND and failure.code not in PASSING:
                    raise translated(failure, _WHAT) from failure
                status = failure.code
            if status in ("ACTIVE", "UPDATING"):
                return
            if time.monotonic() > deadline:
                raise TransportError(f"the table {self._table!r} is not there after {self._timeout:g} s: {status}")
            if status == NOT_FOUND:
                self._create()
            time.sleep(_PAUSE_SECONDS)

    def _create(self) -> None:
        names = ("space", "name")
        definition = {
            "TableName": self._table,
            "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in names],
            "KeySchema": [
                {"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=True)
            ],
            "BillingMode": "PAY_PER_REQUEST",
        }
        try:
            call(self._client, "create_table", definition)
        except Failure as failure:
            if failure.code != IN_USE and failure.code not in PASSING:  # else another process was faster
                raise translated(failure, "the table of positions cannot be made") from failure

    def _ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return call(self._client, operation, {"TableName": self._table, **arguments})
            except Failure as failure:
                if failure.code == _REFUSED:
                    raise _Refused from failure
                if failure.code == NOT_FOUND:
                    raise TransportError(f"the table {self._table!r} of positions was deleted") from failure
                if failure.code not in PASSING or time.monotonic() > deadline:
                    raise translated(failure, _WHAT) from failure
            time.sleep(_PAUSE_SECONDS)


class _Refused(Exception):
    """The document is not the one that was to be replaced."""


def _key(space: str, name: str) -> dict[str, Any]:
    return {"space": {"S": space}, "name": {"S": name}}
