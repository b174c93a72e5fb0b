"""Settings reach the clients as they were given, and show no secret on the way. Needs no broker."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any, cast

import kafka
import pytest

from onepipe.errors import ConfigurationError, MissingDependency
from onepipe.plugins import Plugins
from onepipe.url import Url
from onepipe_kafka import PlaintextWarning, confluent_consumer, confluent_setup, kafka_python_setup, plugin
from onepipe_kafka.config import KafkaConfig

TLS = (
    "?security.protocol=SASL_SSL&sasl.mechanism=SCRAM-SHA-512&sasl.username=me&sasl.password=hush-1"
    "&ssl.ca.location=/ca.pem&ssl.key.location=/key.pem&ssl.key.password=hush-2&producer.linger.ms=7"
)


def config(text: str, **settings: Any) -> KafkaConfig:
    return KafkaConfig.of(Url.parse(text), settings)


def opened_with(text: str, role: Any, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> dict[str, Any]:
    """What the client's own class is called with."""
    given = config(text, **settings)
    if text.startswith("kafka+confluent"):
        return dict(confluent_setup.Setup(given).open(lambda called: called, role))
    monkeypatch.setitem(kafka_python_setup._PARTS, role, lambda **called: called)
    return kafka_python_setup.Setup(given).open(role)


def test_tls_and_sasl_reach_librdkafka_as_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    def token() -> None: ...

    url = f"kafka+confluent://one:1,two{TLS}"
    called = opened_with(url, "producer", monkeypatch, oauth_cb=token)
    assert called["bootstrap.servers"] == "one:1,two:9092"
    assert called["oauth_cb"] is token
    wanted = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "hush-1",
        "ssl.ca.location": "/ca.pem",
        "ssl.key.location": "/key.pem",
        "ssl.key.password": "hush-2",
        "linger.ms": "7",
    }
    assert wanted.items() <= called.items()
    assert "linger.ms" not in opened_with(url, "consumer", monkeypatch)


def test_tls_and_sasl_reach_kafka_python_under_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tokens:
        def token(self) -> str:
            return "hush"

    tokens = Tokens()
    url = f"kafka://one:1,two{TLS}&ssl.check.hostname=false"
    called = opened_with(url, "producer", monkeypatch, sasl_oauth_token_provider=tokens)
    assert called["bootstrap_servers"] == ["one:1", "two:9092"]
    assert called["sasl_oauth_token_provider"] is tokens
    wanted = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": "hush-1",
        "ssl_cafile": "/ca.pem",
        "ssl_keyfile": "/key.pem",
        "ssl_password": "hush-2",
        "ssl_check_hostname": False,
        "linger_ms": 7,
    }
    assert wanted.items() <= called.items()


def test_no_compression_has_kafkas_name_with_both_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "localhost?compression.type=none"
    assert opened_with(f"kafka://{url}", "producer", monkeypatch)["compression_type"] is None
    assert opened_with(f"kafka+confluent://{url}", "producer", monkeypatch)["compression.type"] == "none"


@pytest.mark.parametrize(("query", "milliseconds"), [("", "10"), ("?fetch.queue.backoff.ms=500", "500")])
def test_a_full_queue_of_librdkafka_is_filled_again_soon_unless_a_setting_says_when(
    query: str, milliseconds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Opened(Exception): ...

    def consumer(settings: dict[str, Any]) -> None:
        raise Opened(str(settings["fetch.queue.backoff.ms"]))

    monkeypatch.setattr(confluent_consumer, "Consumer", consumer)
    setup = confluent_setup.Setup(config(f"kafka+confluent://localhost{query}"))
    with pytest.raises(Opened, match=f"^{milliseconds}$"):
        confluent_consumer.ConfluentConsumer(setup, cast("Any", None), None)


def test_a_user_in_the_url_means_a_login_over_tls() -> None:
    settings = config("kafka://me:hu%73h@host").role("admin")
    assert settings["security.protocol"] == "SASL_SSL"
    assert (settings["sasl.mechanism"], settings["sasl.username"], settings["sasl.password"]) == ("PLAIN", "me", "hush")


def test_no_secret_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    given = config(f"kafka://host{TLS}")
    assert "hush" not in f"{given!r} {given} {given.settings} {given.of_role}"
    assert given.scrub("it is hush-1, or hush-2") == "it is ***, or ***"
    caplog.set_level("DEBUG")
    with pytest.raises(kafka.errors.KafkaConfigurationError):
        kafka.KafkaAdminClient(**kafka_python_setup.Setup(given).config.role("admin"))
    assert "hush" not in caplog.text


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("kafka://broker", True),
        ("kafka://127.0.0.1,broker", True),
        ("kafka://broker?security.protocol=SASL_PLAINTEXT", True),
        ("kafka://broker?security.protocol=PLAINTEXT", False),
        ("kafka://broker?security.protocol=ssl", False),
        ("kafka://me:pass@broker", False),
        ("kafka://localhost:9092,127.0.0.2,[::1]:9092", False),
    ],
)
def test_what_crosses_a_network_in_the_clear_is_said_unless_it_was_asked_for(url: str, told: bool) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        config(url)
    assert [warning.category for warning in said] == [PlaintextWarning] * told


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("kafka://", "names no broker"),
        ("kafka://localhost/topic", "has no path"),
        ("kafka://localhost?acks=1", "acks is 'all'"),
        ("kafka://localhost?producer.enable.idempotence=false", "enable.idempotence is true"),
        ("kafka://localhost?auto.offset.reset=latest", "auto.offset.reset is set by onepipe"),
        ("kafka://localhost?consumer.group.id=g", "group.id is set by onepipe"),
        ("kafka://localhost?default.api.timeout.ms=soon", "whole number"),
        (f"kafka://localhost?default.api.timeout.ms={'9' * 5000}", "whole number"),
        ("kafka://localhost?linger.mss=1", "no setting 'linger.mss'; did you mean 'linger.ms'"),
        ("kafka+confluent://localhost?linger.mss=1", "linger.mss"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_sent(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        plugin.open_transport(Url.parse(url), {})


@pytest.mark.parametrize(("scheme", "module"), [("kafka", "kafka"), ("kafka+confluent", "confluent_kafka")])
def test_a_client_that_is_not_installed_is_named_with_its_extra(
    scheme: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> Callable[..., Any]:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(plugin, "import_module", absent)
    with pytest.raises(MissingDependency, match=scheme.replace("+confluent", "-confluent").replace("+", "[+]")):
        plugin.open_transport(Url.parse(f"{scheme}://localhost"), {})


def test_other_urls_are_left_to_others() -> None:
    assert "kafka" in Plugins().names
    assert plugin.onepipe_transport(Url.parse("memory://"), {}) is None
    assert plugin.onepipe_transport(Url.parse("kafka+other://host"), {}) is None


def test_importing_the_plugin_imports_no_client() -> None:
    code = "import sys, onepipe_kafka.plugin; assert not {'kafka', 'confluent_kafka'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
