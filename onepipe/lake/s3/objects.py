"""The objects of a lake in a bucket: reads that go on where they broke off, and writes that never overwrite.

boto3 repeats a request that got no answer, an answer of a failing server, or one that asks to slow down. So a write may
have been made although its first answer was lost: then the repeated one finds the object there, and whoever writes
compares what is there with what was to be written.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

from onepipe.errors import ConfigurationError
from onepipe.lake.s3.address import S3Address, require_encrypted
from onepipe.lake.s3.failures import error_code, import_boto3, s3_errors
from onepipe.lake.storage import StoredFile, missing, path_parts

_ATTEMPTS: Final = 10
"""How often boto3 tries a request; with its growing pauses that bridges about a minute without an answer."""
_FIRST_ATTEMPTS: Final = 3
"""How often it tries the first request, which tells whether the settings are right."""
_BROKEN_READS: Final = 10
"""How often in a row an answer may break off without a byte before a read is given up."""
_PAUSES: Final = (0.1, 0.3, 1.0, 3.0)
"""Seconds to wait while another writer of the same name is at work."""
_BLOCK: Final = 1 << 20
_ABSENT: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_EXISTS: Final = frozenset({"PreconditionFailed", "412"})
_BUSY: Final = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})


class Objects:
    """The objects below an address, by path. Thread-safe; nothing is asked before the first use.

    A path has the form that storages take (`onepipe.lake.storage.path_parts`), so that its key is below the prefix.

    Args:
        address: where they are.
    """

    def __init__(self, address: S3Address) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._made: tuple[Any, Any] | None = None

    def size(self, path: str) -> int | None:
        """Bytes of an object; None where there is none."""
        key = self._key(path)
        with self._errors(path):
            try:
                return int(self._client.head_object(Bucket=self._address.bucket, Key=key)["ContentLength"])
            except self._refusal as error:
                if error_code(error) in _ABSENT:
                    return None
                raise

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes of an object from `start` up to, not including, `stop`; to its end where None.

        Raises:
            CorruptFile: there is no such object.
        """
        data = bytearray()
        self.stream(path, data.extend, start, stop)
        return bytes(data)

    def stream(self, path: str, take: Callable[[bytes], object], start: int = 0, stop: int | None = None) -> None:
        """Hand out the bytes of an object block by block, each one once; raises as `read` does."""
        key, failures = self._key(path), 0
        with self._errors(path):
            while True:
                began = start
                body = self._answer(path, key, start, stop)
                try:
                    for block in body:
                        take(block)
                        start += len(block)
                    return
                except self._breaks:
                    failures = 0 if start > began else failures + 1
                    if failures >= _BROKEN_READS:
                        raise
                    time.sleep(min(5.0, 0.05 * 2**failures))

    def put_new(self, path: str, open_body: Callable[[], BinaryIO]) -> bool:
        """Write an object, whole and durably, where there is none of that path; False where there is one.

        False may also mean that this very call wrote it, and did not hear of it.

        Args:
            path: the object's.
            open_body: opens what to write, at its start.
        """
        with self._errors(path), open_body() as body:
            digest = hashlib.md5(usedforsecurity=False)
            while block := body.read(_BLOCK):
                digest.update(block)
            request = {
                "Bucket": self._address.bucket,
                "Key": self._key(path),
                "ContentMD5": base64.b64encode(digest.digest()).decode(),
                "IfNoneMatch": "*",
            }
            for pause in (*_PAUSES, None):
                body.seek(0)
                try:
                    self._client.put_object(Body=body, **request)
                except self._refusal as error:
                    if (code := error_code(error)) in _EXISTS:
                        return False
                    if code not in _BUSY or pause is None:
                        raise
                    time.sleep(pause)
                else:
                    return True
        raise AssertionError("the last attempt returns or raises")

    def delete(self, path: str) -> None:
        """Delete an object; nothing where there is none."""
        with self._errors(path):
            self._client.delete_object(Bucket=self._address.bucket, Key=self._key(path))

    def list(self, folder: str = "") -> Iterator[StoredFile]:
        """The objects below a folder, sorted by path, page by page."""
        prefix = self._key(folder) + "/" if folder else self._prefix
        with self._errors(folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._address.bucket, Prefix=prefix)
            for page in pages:
                for found in page.get("Contents", ()):
                    if not found["Key"].endswith("/"):  # a folder that a console made
                        path = found["Key"].removeprefix(self._prefix)
                        yield StoredFile(path, found["Size"], found["LastModified"].timestamp())

    def uri(self, path: str = "") -> str:
        """The URL of an object, or of the address, as Delta takes it."""
        return f"s3://{self._address.bucket}/{self._key(path) if path else self._prefix}".removesuffix("/")

    def delta_options(self) -> Mapping[str, str]:
        """What Delta needs to get here with the credentials of the present moment; never to be shown."""
        client, credentials = self._connected
        with self._errors(""):
            frozen = credentials.get_frozen_credentials()
        endpoint, virtual = self._endpoint(client.meta.endpoint_url)
        region = client.meta.region_name
        options = {
            "AWS_ACCESS_KEY_ID": frozen.access_key,
            "AWS_SECRET_ACCESS_KEY": frozen.secret_key,
            "AWS_REGION": "us-east-1" if region in (None, "aws-global") else region,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true" if virtual else "false",
            "aws_conditional_put": "etag",
            "timeout": "120s",
            "connect_timeout": "10s",
        }
        if frozen.token:
            options["AWS_SESSION_TOKEN"] = frozen.token
        if endpoint.startswith("http:"):
            options["AWS_ALLOW_HTTP"] = "true"
        return options

    def _endpoint(self, endpoint: str) -> tuple[str, bool]:
        """URL that requests about the bucket go to, and whether the bucket is in its host."""
        parts, bucket = urlsplit(endpoint), self._address.bucket
        at_aws = (parts.hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))
        virtual = self._address.addressing == "virtual" if self._address.addressing else at_aws and "." not in bucket
        return (parts._replace(netloc=f"{bucket}.{parts.netloc}").geturl() if virtual else endpoint), virtual

    @property
    def _prefix(self) -> str:
        return f"{self._address.prefix}/" if self._address.prefix else ""

    def _key(self, path: str) -> str:
        return self._prefix + "/".join(path_parts(path))

    def _errors(self, path: str) -> Any:
        endpoint = self._made[0].meta.endpoint_url if self._made else self._address.endpoint
        return s3_errors(self.uri(path) if path else str(self._address), endpoint)

    def _answer(self, path: str, key: str, start: int, stop: int | None) -> Iterable[bytes]:
        """The blocks of one answer; they may break off."""
        if stop is not None and start >= stop:
            return ()
        last = "" if stop is None else stop - 1
        ranged = {"Range": f"bytes={start}-{last}"} if start or stop is not None else {}
        try:
            body = self._client.get_object(Bucket=self._address.bucket, Key=key, **ranged)["Body"]
        except self._refusal as error:
            code = error_code(error)
            if code in _ABSENT:
                raise missing(path) from None
            if code in ("InvalidRange", "416"):  # nothing is left behind `start`
                return ()
            raise
        blocks: Iterable[bytes] = body.iter_chunks(_BLOCK)
        return blocks

    @property
    def _refusal(self) -> Any:
        from botocore.exceptions import ClientError

        return ClientError

    @property
    def _breaks(self) -> tuple[type[Exception], ...]:
        """What an answer raises that breaks off."""
        from botocore import exceptions as botocore

        return (botocore.HTTPClientError, botocore.IncompleteReadError)

    @property
    def _client(self) -> Any:
        return self._connected[0]

    @property
    def _connected(self) -> tuple[Any, Any]:
        """The client, and the credentials it uses; the first time, the bucket is asked whether it is there."""
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._connect()
        return self._made

    def _connect(self) -> tuple[Any, Any]:
        boto3, address = import_boto3(), self._address
        with s3_errors(str(address), address.endpoint):
            session = boto3.session.Session(profile_name=address.profile, region_name=address.region)
            credentials = session.get_credentials()
            if credentials is None:
                from botocore.exceptions import NoCredentialsError

                raise NoCredentialsError
            first = self._new_client(session, _FIRST_ATTEMPTS)
        require_encrypted(first.meta.endpoint_url, allow_http=address.allow_http)
        self._require_bucket(first)
        return self._new_client(session, _ATTEMPTS), credentials

    def _new_client(self, session: Any, attempts: int) -> Any:
        from botocore.config import Config

        address = self._address
        config = Config(
            connect_timeout=10,
            read_timeout=60,
            tcp_keepalive=True,
            max_pool_connections=32,
            retries={"mode": "standard", "total_max_attempts": attempts},
            request_checksum_calculation="when_required",  # many stores know no other checksum than MD5
            response_checksum_validation="when_required",
            s3={"addressing_style": address.addressing} if address.addressing else None,
            user_agent_extra="onepipe",
        )
        try:
            return session.client("s3", endpoint_url=address.endpoint, config=config)
        except ValueError as error:  # of an endpoint in AWS's variables or configuration
            remedy = "check AWS_ENDPOINT_URL and AWS's configuration"
            raise ConfigurationError(f"{address}: the endpoint is no URL", remedy=remedy) from error

    def _require_bucket(self, client: Any) -> None:
        """List the bucket, so that settings that are wrong are said so at once; a HEAD would not say why it fails."""
        address, endpoint = self._address, client.meta.endpoint_url
        with s3_errors(f"bucket {address.bucket} at {endpoint}", endpoint):
            answer = client.list_objects_v2(Bucket=address.bucket, Prefix=self._prefix, MaxKeys=1)
        region = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
        known = client.meta.region_name
        if region and known not in (None, "aws-global", region):
            remedy = f"?region={region}, or AWS_REGION={region}"
            raise ConfigurationError(f"bucket {address.bucket} is in region {region}, not {known}", remedy=remedy)
