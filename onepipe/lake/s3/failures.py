"""What boto3's errors mean for a lake: ours, which name the object and the remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from onepipe.errors import ConfigurationError, LakeError, MissingDependency, OnepipeError

_RIGHTS: Final = (
    "allow s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on what is below the prefix"
)
_CHAIN: Final = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile (?profile=…), or give the machine a role"
)
_REGION: Final = "name the bucket's own region: ?region=…"

_REMEDIES: Final[Mapping[str, tuple[str, str]]] = {
    "NoSuchBucket": ("there is no such bucket", "make it, or check the bucket's name and the endpoint"),
    "AccessDenied": ("access is denied", _RIGHTS),
    "AllAccessDisabled": ("access is denied", _RIGHTS),
    "403": ("access is denied", _RIGHTS),
    "InvalidAccessKeyId": ("the credentials are refused", "check which credentials AWS's chain finds"),
    "SignatureDoesNotMatch": ("the credentials are refused", "check the secret key, and the region"),
    "ExpiredToken": ("the credentials have expired", "get new ones"),
    "ExpiredTokenException": ("the credentials have expired", "get new ones"),
    "InvalidToken": ("the credentials are refused", "check AWS_SESSION_TOKEN"),
    "PermanentRedirect": ("the bucket is in another region", _REGION),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", _REGION),
    "IllegalLocationConstraintException": ("the bucket is in another region", _REGION),
    "301": ("the bucket is in another region", _REGION),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "set it by a time server"),
    "SlowDown": ("the store keeps asking to slow down", "run again later, or with fewer processes at once"),
    "503": ("the store keeps asking to slow down", "run again later, or with fewer processes at once"),
    "EntityTooLarge": ("the file is larger than the store takes", "archive with a smaller file_bytes"),
    "NotImplemented": (
        "the store lacks something that lakes need",
        "use a store with conditional writes (If-None-Match)",
    ),
}


def import_boto3() -> Any:
    """The module boto3.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import boto3
    except ImportError as error:
        raise MissingDependency("a lake on S3 needs boto3", remedy="pip install 'onepipe[s3]'") from error
    return boto3


@contextmanager
def s3_errors(where: str, endpoint: str | None = None) -> Iterator[None]:
    """Turn boto3's errors into ours.

    Args:
        where: the object or bucket, as in "s3://bucket/key".
        endpoint: URL of the service, where known.
    """
    import_boto3()
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _refused(error_code(error), where) from error
    except BotoCoreError as error:
        raise _failed(error, where, endpoint) from error


def error_code(error: Any) -> str:
    """What a service's refusal is called, or its HTTP status where it says no more, as it does for HEAD."""
    return str(error.response.get("Error", {}).get("Code") or error.response["ResponseMetadata"]["HTTPStatusCode"])


def _refused(code: str, where: str) -> OnepipeError:
    said, remedy = _REMEDIES.get(code, (f"the store refused with {code}", "check endpoint, bucket and credentials"))
    return LakeError(f"{where}: {said}", remedy=remedy)


def _failed(error: Exception, where: str, endpoint: str | None) -> OnepipeError:
    """What a failure without an answer means: of the way to the service, or of the settings."""
    from botocore import exceptions as botocore

    if isinstance(error, botocore.HTTPClientError | botocore.ConnectionError):
        remedy = "check the endpoint and the network; what was done is kept, so run again"
        return LakeError(f"{where}: {endpoint or 'the endpoint'} cannot be reached, or does not answer", remedy=remedy)
    if isinstance(error, botocore.NoCredentialsError | botocore.PartialCredentialsError):
        return ConfigurationError(f"{where}: there are no credentials", remedy=_CHAIN)
    if isinstance(error, botocore.ProfileNotFound):
        return ConfigurationError(f"{where}: AWS's configuration has no such profile", remedy="?profile=…, AWS_PROFILE")
    return LakeError(f"{where}: {type(error).__name__}", remedy="check AWS's configuration, and the lake's URL")
