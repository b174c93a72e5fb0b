"""What failures of boto3 become, and what a fork leaves of a transport."""

from __future__ import annotations

import os

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError, ReadTimeoutError

from onepipe.errors import (
    ClosedError,
    ConfigurationError,
    NotAuthorized,
    TopicNotFound,
    TransportError,
)
from onepipe.plugins import open_transport
from onepipe_kinesis.api import call
from onepipe_kinesis.errors import NO_ANSWER, UNREACHABLE, Failure, translated


class Broken:
    def __init__(self, error):
        self.error = error

    def put_records(self, **_):
        raise self.error


def failure_of(error):
    with pytest.raises(Failure) as raised:
        call(Broken(error), "put_records", {})
    return raised.value


def refusal(code, message="why"):
    return ClientError({"Error": {"Code": code, "Message": message}}, "PutRecords")


def test_a_call_that_was_never_sent_is_told_from_one_without_answer():
    assert failure_of(ConnectTimeoutError(endpoint_url="http://x")).code == UNREACHABLE
    assert failure_of(ReadTimeoutError(endpoint_url="http://x")).code == NO_ANSWER


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refusal("ResourceNotFoundException"), TopicNotFound),
        (refusal("AccessDeniedException"), NotAuthorized),
        (refusal("InvalidArgumentException"), ConfigurationError),
        (refusal("SomethingNew"), TransportError),
        (NoCredentialsError(), NotAuthorized),
    ],
)
def test_a_failure_becomes_an_error_of_onepipe(error, expected):
    found = translated(failure_of(error), "it failed", topic="T", partition=3)
    assert type(found) is expected
    assert found.topic == "T"


def test_an_error_that_quotes_the_request_does_not_show_its_token():
    failure = failure_of(refusal("InvalidSignatureException", "x-amz-security-token:hidden"))
    assert "hidden" not in str(failure)
    assert failure.__cause__ is None
    assert failure.__suppress_context__


def test_a_forked_child_is_told_to_connect_again(tmp_path, monkeypatch):
    transport = open_transport(f"kinesis://us-east-1?endpoint=http://127.0.0.1:9&positions=sqlite:///{tmp_path}/p.db")
    writer = transport.writer()
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    for use in (transport.topics, transport.writer, writer.flush):
        with pytest.raises(ClosedError, match="fork"):
            use()
    transport.close()
    monkeypatch.undo()
    transport.close()


def test_a_service_that_cannot_be_reached_is_an_error_of_onepipe(tmp_path):
    settings = {"default.api.timeout.ms": "200"}
    url = f"kinesis://us-east-1?endpoint=http://127.0.0.1:9&positions=sqlite:///{tmp_path}/p.db"
    transport = open_transport(url, settings)
    with pytest.raises(TransportError, match="cannot be reached"):
        transport.topics()
    transport.close()


def test_no_region_is_an_error_that_says_how_to_name_one(tmp_path):
    with pytest.raises(ConfigurationError, match="region"):
        open_transport(f"kinesis://?positions=sqlite:///{tmp_path}/p.db")
