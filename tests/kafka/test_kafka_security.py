"""A real Kafka behind TLS and logins: each way in carries records into the lake, each wrong one is said at once."""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kafka.net.sasl.oauth import AbstractTokenProvider
from services.kafka import Kafka
from services.kafka_security import KEY_PASSWORD, PASSWORD, USER, Authority, SecureKafka, secure_kafka_process
from services.service import start_own

import onepipe as op
from onepipe.errors import ConfigurationError, NotAuthorized, OnepipeError, TransportError
from onepipe.plugins import open_transport

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning"),  # kafka-python leaves refused sockets
]

BOTH = pytest.mark.parametrize("scheme", ["kafka", "kafka+confluent"])
T0 = dt.datetime.now(dt.UTC).replace(microsecond=0)
AT_ONCE_SECONDS = 20.0
"""Less than the 30 s for which a broker that does not answer is waited for."""


@pytest.fixture(scope="module")
def secure_kafka() -> Iterator[SecureKafka]:
    """A broker with TLS, of this module's own."""
    with contextlib.ExitStack() as stack:
        yield start_own("Kafka", lambda: stack.enter_context(secure_kafka_process()))


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What a client leaves open is noticed in the test that it belongs to."""
    yield
    gc.collect()


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """What kafka-python asks for tokens."""

    def __init__(self, token: Callable[[], tuple[str, float]]) -> None:
        self._token = token

    def token(self) -> str:
        return self._token()[0]


def by_token(scheme: str, token: Callable[[], tuple[str, float]]) -> dict[str, Any]:
    """Settings of a login by token: each client has its own way to ask for one."""
    given = {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}
    if scheme == "kafka":
        return {**given, "sasl.oauth.token.provider": Tokens(token)}
    return {**given, "oauth_cb": lambda _: token()}


def way_in(way: str, scheme: str, kafka: SecureKafka) -> tuple[str, Mapping[str, Any]]:
    """URL and settings of one way to be let in."""
    ca = {"ssl.ca.location": str(kafka.ca)}
    if way == "tls":
        return f"{scheme}://{kafka.tls}", {**ca, "security.protocol": "SSL"}
    if way == "mutual tls":
        certificate, key = map(str, kafka.client)
        own = {"ssl.certificate.location": certificate, "ssl.key.location": key, "ssl.key.password": KEY_PASSWORD}
        return f"{scheme}://{kafka.mutual}", {**ca, **own, "security.protocol": "SSL"}
    if way == "token":
        return f"{scheme}://{kafka.sasl}", {**ca, **by_token(scheme, kafka.tokens.token)}
    mechanism = {"password": {}, "salted password": {"sasl.mechanism": "SCRAM-SHA-512"}}[way]
    return f"{scheme}://{USER}:{PASSWORD}@{kafka.sasl}", {**ca, **mechanism}


@BOTH
@pytest.mark.parametrize("way", ["tls", "mutual tls", "password", "salted password", "token"])
def test_records_reach_the_lake_by_each_way_in(
    secure_kafka: SecureKafka, scheme: str, way: str, tmp_path: Path
) -> None:
    @op.record(topic=f"secure-{uuid.uuid4().hex}", name="Widget", merge=op.latest("updated"))
    class Widget:
        sid: str = op.field(identity=True)
        updated: dt.datetime

    url, settings = way_in(way, scheme, secure_kafka)
    with op.connect(url, lake=tmp_path, registry="memory://", settings=settings) as pipe:
        with pipe.producer() as producer:
            for number in range(20):
                producer.publish(Widget(sid=f"W{number}", updated=T0))
        assert pipe.archive(Widget, group=None if way == "tls" else "archives").rows == 20
        pipe.dedup(Widget)
        verdict = pipe.verify(Widget)
        assert verdict.balanced, str(verdict)
        consumed = [received.record.sid for received in pipe.consumer(Widget, group="readers", until="end")]
        assert sorted(consumed) == sorted(f"W{number}" for number in range(20))


SECRET = "hush-hush"  # noqa: S105 - what must not be shown


def refused(
    url: str, settings: Mapping[str, Any], error: type[OnepipeError], match: str, caplog: pytest.LogCaptureFixture
) -> OnepipeError:
    """The error of a connection that is refused at once; neither it nor a log shows the secret."""
    caplog.set_level("DEBUG")
    begun = time.monotonic()
    with pytest.raises(error, match=match) as raised:
        open_transport(url, settings)
    assert time.monotonic() - begun < AT_ONCE_SECONDS
    shown: BaseException | None = raised.value
    while shown is not None:
        assert SECRET not in f"{shown!r} {shown}"
        shown = shown.__cause__ or shown.__context__
    assert SECRET not in caplog.text
    caplog.clear()  # records of what broke keep the broken connections
    return raised.value


@BOTH
def test_a_broker_is_refused_whose_certificate_another_signed(
    secure_kafka: SecureKafka, scheme: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other, _ = Authority("another").identity.write(tmp_path, "other")
    settings = {"security.protocol": "SSL", "ssl.ca.location": str(other)}
    error = refused(f"{scheme}://{secure_kafka.tls}", settings, TransportError, "certificate verify failed", caplog)
    assert "ssl.ca.location" in (error.remedy or "")


@BOTH
def test_a_broker_is_refused_whose_certificate_names_another_host(
    secure_kafka: SecureKafka, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"security.protocol": "SSL", "ssl.ca.location": str(secure_kafka.ca)}
    url = f"{scheme}://{secure_kafka.tls.replace('127.0.0.1', 'localhost')}"
    error = refused(url, settings, TransportError, "certificate verify failed", caplog)
    assert "names the host" in (error.remedy or "")


@BOTH
def test_who_shows_no_certificate_is_told_that_the_broker_wants_one(
    secure_kafka: SecureKafka, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"security.protocol": "SSL", "ssl.ca.location": str(secure_kafka.ca)}
    error = refused(f"{scheme}://{secure_kafka.mutual}", settings, TransportError, "alert", caplog)
    assert "ssl.certificate.location" in (error.remedy or "")


@BOTH
def test_a_key_that_its_password_does_not_open_is_a_wrong_setting(
    secure_kafka: SecureKafka, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    url, settings = way_in("mutual tls", scheme, secure_kafka)
    refused(url, {**settings, "ssl.key.password": SECRET}, ConfigurationError, "SSL", caplog)


@BOTH
def test_a_file_of_certificates_that_is_not_there_is_a_wrong_setting(
    secure_kafka: SecureKafka, scheme: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"security.protocol": "SSL", "ssl.ca.location": str(tmp_path / "absent.pem")}
    refused(f"{scheme}://{secure_kafka.tls}", settings, ConfigurationError, r"ssl\.ca\.location", caplog)


@BOTH
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_said(
    secure_kafka: SecureKafka, scheme: str, mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"ssl.ca.location": str(secure_kafka.ca), "sasl.mechanism": mechanism}
    url = f"{scheme}://{USER}:{SECRET}@{secure_kafka.sasl}"
    refused(url, settings, NotAuthorized, "[Aa]uthentication failed", caplog)


@BOTH
def test_a_token_that_the_broker_does_not_take_is_said(
    secure_kafka: SecureKafka, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    ca = {"ssl.ca.location": str(secure_kafka.ca)}
    ends = time.time() + 600.0  # librdkafka does not even send one that it is told to be over
    for token in (SECRET, secure_kafka.tokens.token(seconds=-60)[0]):
        settings = {**ca, **by_token(scheme, partial(_pair, token, ends))}
        error = refused(f"{scheme}://{secure_kafka.sasl}", settings, NotAuthorized, "invalid_token", caplog)
        assert token not in str(error)


def _pair(token: str, ends: float) -> tuple[str, float]:
    return token, ends


@BOTH
def test_a_token_provider_that_fails_is_said(
    secure_kafka: SecureKafka, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> tuple[str, float]:
        raise LookupError("the identity provider does not answer")

    settings = {"ssl.ca.location": str(secure_kafka.ca), **by_token(scheme, fail)}
    match = "the login raised LookupError" if scheme == "kafka" else "OAuth token not set"
    refused(f"{scheme}://{secure_kafka.sasl}", settings, NotAuthorized, match, caplog)


@BOTH
def test_a_mechanism_that_the_broker_has_not_is_said(
    secure_kafka: SecureKafka, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"ssl.ca.location": str(secure_kafka.ca), "sasl.mechanism": "SCRAM-SHA-256"}
    url = f"{scheme}://{USER}:{SECRET}@{secure_kafka.sasl}"
    refused(url, settings, NotAuthorized, "Unsupported ?S(ASL|asl) ?[Mm]echanism", caplog)


@BOTH
def test_tls_where_the_broker_has_none_is_said_with_what_became_of_the_connection(
    kafka: Kafka, secure_kafka: SecureKafka, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"security.protocol": "SSL", "ssl.ca.location": str(secure_kafka.ca), "default.api.timeout.ms": 3000}
    match = "before that: .*([Hh]andshake failed|in state SSL_HANDSHAKE)"
    refused(f"{scheme}://{kafka.address}", settings, TransportError, match, caplog)
