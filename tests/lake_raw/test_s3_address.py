from __future__ import annotations

from pathlib import Path

import pytest

from onepipe.errors import ConfigurationError
from onepipe.lake.s3.address import S3Address, parse_address, require_encrypted


def test_a_url_says_where_the_lake_is_and_how_to_get_there():
    url = "s3://data.example/company/lake/?endpoint=https://store.example:9000/&region=eu-1&profile=etl"
    url += "&addressing=virtual&allow_http=true&cache=/var/cache/x&cache_bytes=20GB"
    found = parse_address(url)
    assert found == S3Address(
        "data.example",
        "company/lake",
        "https://store.example:9000",
        "eu-1",
        "etl",
        "virtual",
        allow_http=True,
        cache=Path("/var/cache/x"),
        cache_bytes=20 * 10**9,
    )
    assert str(found) == "s3://data.example/company/lake"


def test_a_bucket_alone_is_enough(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    found = parse_address("s3://bucket")
    assert found == S3Address("bucket", cache=Path("/caches/onepipe/lake"))
    assert found.endpoint is None
    assert str(found) == "s3://bucket"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://", "not the name of a bucket"),
        ("s3:///prefix", "not the name of a bucket"),
        ("s3://Bucket/x", "not the name of a bucket"),
        ("s3://bucket:80/x", "not the name of a bucket"),
        ("s3://bucket/a/../b", "cannot be the prefix"),
        ("s3://bucket/a//b", "cannot be the prefix"),
        ("s3://bucket/a%20b", "cannot be the prefix"),
        ("s3://bucket/x?regoin=eu-1", "no setting 'regoin'.*'region'"),
        ("s3://bucket/x?region=", "region is empty"),
        ("s3://bucket/x?endpoint=store:9000", "endpoint is the URL of a service"),
        ("s3://bucket/x?addressing=host", "addressing is one of path, virtual"),
        ("s3://bucket/x?allow_http=maybe", "allow_http is one of true, false"),
        ("s3://bucket/x?cache_bytes=much", "cache_bytes is a number of bytes"),
        (f"s3://bucket/x?cache_bytes={'9' * 5000}GB", "cache_bytes is a number of bytes"),
    ],
)
def test_a_url_that_is_wrong_is_said_so(url, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "s3://me:hidden@bucket/x",
        "s3://bucket/x?secret_key=hidden",
        "s3://bucket/x?AWS_SECRET_ACCESS_KEY=hidden",
        "s3://bucket/x?session_token=hidden",
        "s3://bucket/x?endpoint=https://me:hidden@store",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url):
    with pytest.raises(ConfigurationError, match="credentials do not stand in a lake's URL") as raised:
        parse_address(url)
    assert "hidden" not in f"{raised.value} {raised.value!r}"


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9000", "http://localhost:1", "http://[::1]:1", "https://s.example"]
)
def test_an_endpoint_of_this_machine_or_an_encrypted_one_is_taken(endpoint):
    require_encrypted(endpoint, allow_http=False)


def test_an_unencrypted_endpoint_of_another_machine_must_be_allowed():
    with pytest.raises(ConfigurationError, match="not encrypted"):
        require_encrypted("http://store.example:9000", allow_http=False)
    require_encrypted("http://store.example:9000", allow_http=True)
