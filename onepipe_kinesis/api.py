"""The calls of Kinesis that are used, as methods with plain types. boto3's exceptions stop here, as `Failure`.

botocore's own retries are off: what may be tried again is decided where it is known what an attempt may have done.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from onepipe.errors import ConfigurationError
from onepipe_kinesis.config import KinesisConfig
from onepipe_kinesis.errors import NO_ANSWER, UNREACHABLE, Failure
from onepipe_kinesis.points import Shard, shard_number
from onepipe_kinesis.records import Record

_HOUR_MS: Final = 3_600_000
_QUOTES_REQUEST: Final = frozenset({"IncompleteSignature", "InvalidSignatureException", "SignatureDoesNotMatch"})
"""Errors whose message quotes the request, and with it a session's token."""
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Stream(NamedTuple):
    """A stream as Kinesis describes it.

    Attributes:
        arn: its resource name.
        created: milliseconds since 1970.
        active: whether it can be written and changed; False while it is created or deleted.
        deleting: whether it is being deleted.
        retention_ms: how long records are kept.
        mode: "PROVISIONED" or "ON_DEMAND".
    """

    arn: str
    created: int
    active: bool
    deleting: bool
    retention_ms: int
    mode: str


class Put(NamedTuple):
    """A record to be put."""

    partition_key: str
    hash_key: int
    data: bytes


class Fetched(NamedTuple):
    """What a read of a shard gave.

    Attributes:
        records: in their order.
        next: the iterator to go on with; None once a closed shard is read whole.
        behind_ms: how far behind the end of the shard this is; 0 at the end.
    """

    records: list[Record]
    next: str | None
    behind_ms: int


def boto_client(service: str, config: KinesisConfig, endpoint: str | None) -> Any:
    """A client of boto3, which finds region and credentials as AWS's own tools do.

    Raises:
        ConfigurationError: no region is named anywhere, or the profile that AWS's settings name does not exist.
    """
    seconds = config.request_timeout_ms / 1000
    settings = Config(
        connect_timeout=min(seconds, 10.0),
        read_timeout=seconds,
        retries={"total_max_attempts": 1},
        max_pool_connections=32,
        tcp_keepalive=True,
    )
    try:
        session = boto3.session.Session(region_name=config.region)
        return session.client(service, endpoint_url=endpoint, config=settings)
    except NoRegionError as error:
        remedy = "name it: kinesis://eu-west-1, or AWS_REGION"
        raise ConfigurationError("no region is named", remedy=remedy) from error
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"no client of {service} can be made: {type(error).__name__}") from error


def call(client: Any, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Call AWS once.

    Raises:
        Failure: it refused, or gave no answer.
    """
    try:
        answer: dict[str, Any] = getattr(client, operation)(**arguments)
    except ClientError as error:
        said = error.response.get("Error", {})
        code = str(said.get("Code", NO_ANSWER))
        if code in _QUOTES_REQUEST:
            raise Failure(code, code) from None
        raise Failure(code, f"{code}: {said.get('Message', '')}".rstrip(": ")) from error
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise Failure(UNREACHABLE, "the service cannot be reached") from error
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise Failure("NoCredentials", "no credentials were found") from error
    except HTTPClientError as error:
        raise Failure(NO_ANSWER, f"no answer came: {type(error).__name__}") from error
    except BotoCoreError as error:  # parameters out of form and the like: nothing was sent
        raise Failure("ValidationException", f"the call was refused: {type(error).__name__}") from error
    return answer


class KinesisApi:
    """Kinesis. Thread-safe. Every method raises Failure."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def connect(cls, config: KinesisConfig) -> Self:
        """A client of the region's Kinesis; nothing is sent yet. Raises as `boto_client`."""
        return cls(boto_client("kinesis", config, config.endpoint))

    def stream(self, name: str) -> Stream:
        """Describe a stream."""
        found = self._call("describe_stream_summary", StreamName=name)["StreamDescriptionSummary"]
        status = found["StreamStatus"]
        return Stream(
            found["StreamARN"],
            _milliseconds(found["StreamCreationTimestamp"]),
            status in ("ACTIVE", "UPDATING"),
            status == "DELETING",
            found["RetentionPeriodHours"] * _HOUR_MS,
            found.get("StreamModeDetails", {}).get("StreamMode", "PROVISIONED"),
        )

    def streams(self) -> list[str]:
        """Names of all streams of the region."""
        names: list[str] = []
        more = True
        while more:
            start = {"ExclusiveStartStreamName": names[-1]} if names else {}
            found = self._call("list_streams", **start)
            names += found["StreamNames"]
            more = found["HasMoreStreams"] and bool(found["StreamNames"])
        return names

    def create(self, name: str, shards: int) -> None:
        """Begin to create a stream of so many shards, of equal ranges."""
        self._call("create_stream", StreamName=name, ShardCount=shards)

    def keep_for(self, name: str, hours: int) -> None:
        """Keep records for longer than a day."""
        self._call("increase_stream_retention_period", StreamName=name, RetentionPeriodHours=hours)

    def delete(self, name: str) -> None:
        """Begin to delete a stream, with those who registered as its consumers."""
        self._call("delete_stream", StreamName=name, EnforceConsumerDeletion=True)

    def shards(self, name: str) -> list[Shard]:
        """The shards of a stream that still hold records, open and closed."""
        found = self._call("list_shards", StreamName=name)
        shards = [_shard(one) for one in found["Shards"]]
        while token := found.get("NextToken"):
            found = self._call("list_shards", NextToken=token)
            shards += [_shard(one) for one in found["Shards"]]
        return shards

    def put(self, name: str, records: Sequence[Put]) -> list[Failure | None]:
        """Put records, at most 500 and 5 MiB; for each, None where it is stored, else why it is surely not."""
        entries = [
            {"PartitionKey": one.partition_key, "ExplicitHashKey": str(one.hash_key), "Data": one.data}
            for one in records
        ]
        answer = self._call("put_records", StreamName=name, Records=entries)
        return [
            Failure(one["ErrorCode"], one["ErrorCode"]) if one.get("ErrorCode") else None for one in answer["Records"]
        ]

    def first_iterator(self, name: str, shard: Shard) -> str:
        """An iterator from the first record that a shard holds."""
        return self._iterator(name, shard, ShardIteratorType="TRIM_HORIZON")

    def iterator_at(self, name: str, shard: Shard, sequence: int) -> str:
        """An iterator from a record on."""
        return self._iterator(name, shard, ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber=str(sequence))

    def records(self, iterator: str, limit: int) -> Fetched:
        """Read a shard."""
        found = self._call("get_records", ShardIterator=iterator, Limit=limit)
        records = [
            Record(
                int(one["SequenceNumber"]),
                _milliseconds(one["ApproximateArrivalTimestamp"]),
                one["PartitionKey"],
                one["Data"],
            )
            for one in found["Records"]
        ]
        return Fetched(records, found.get("NextShardIterator") or None, found.get("MillisBehindLatest") or 0)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _iterator(self, name: str, shard: Shard, **where: str) -> str:
        iterator: str = self._call("get_shard_iterator", StreamName=name, ShardId=shard.id, **where)["ShardIterator"]
        return iterator

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        return call(self._client, operation, arguments)


def _shard(found: Mapping[str, Any]) -> Shard:
    parents = (found.get("ParentShardId"), found.get("AdjacentParentShardId"))
    keys = found["HashKeyRange"]
    return Shard(
        shard_number(found["ShardId"]),
        int(keys["StartingHashKey"]),
        int(keys["EndingHashKey"]),
        tuple(shard_number(parent) for parent in parents if parent),
    )


def _milliseconds(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // dt.timedelta(milliseconds=1)
