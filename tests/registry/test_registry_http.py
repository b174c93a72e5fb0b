"""A registry over HTTP: the contract over Confluent's protocol, outages, credentials, references, and peers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

import pytest
from confluent_kafka.schema_registry import Schema as TheirSchema
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext
from confluent_registry import ConfluentRegistry, RunningRegistry
from hypothesis import given
from hypothesis import strategies as st

import onepipe as op
from onepipe.bodies.decoder import MessageDecoder
from onepipe.errors import (
    ConfigurationError,
    Incompatible,
    NotRegistered,
    OnepipeError,
    RegistryError,
    RegistryUnavailable,
    SchemaError,
)
from onepipe.registry import Registry, open_registry
from onepipe.registry.http import HTTPStore
from onepipe.registry.port import schema_guid
from onepipe.registry.references import MAX_REFERENCES, self_contained
from onepipe.registry.rest import Address, Rest
from onepipe.registry.stored import StoredRegistry
from onepipe.schema.model import Schema
from onepipe.testing.registry import PRICE, RegistryContract, record, widgets
from onepipe.transport import Message

SECRET = "pa:ss/wörd@1"  # noqa: S105 (made up)


@pytest.fixture
def running() -> Iterator[RunningRegistry]:
    with RunningRegistry() as running:
        yield running


class Waits(list[float]):
    """Takes the place of sleeping, and notes for how long."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def impatient(url: str, attempts: int = 5) -> tuple[Registry, Waits]:
    waits = Waits()
    return StoredRegistry(HTTPStore(Rest(Address.parse(f"{url}?attempts={attempts}"), sleep=waits))), waits


class TestHTTPRegistry(RegistryContract):
    @pytest.fixture
    def registry(self, running: RunningRegistry) -> Iterator[Registry]:
        with open_registry(running.url) as registry:
            yield registry


def test_what_never_changes_is_asked_once(running: RunningRegistry) -> None:
    with open_registry(running.url) as registry:
        schema_id = registry.register(widgets()).schema_id
    with open_registry(running.url) as registry:
        running.registry.requests.clear()
        assert registry.schema(schema_id) is registry.schema(schema_id)
        assert registry.register(widgets()) == registry.register(widgets())
        guid = schema_guid(widgets().schema.text)
        assert registry.schema_by_guid(guid) is registry.schema_by_guid(guid)
    assert running.registry.requests == [
        ("GET", f"/schemas/ids/{schema_id}"),
        ("POST", "/subjects/Widgets-value"),
        ("GET", f"/schemas/guids/{guid}"),
    ]


def test_an_outage_is_survived_with_what_is_known(running: RunningRegistry) -> None:
    registry, waits = impatient(running.url, attempts=3)
    known = registry.register(widgets())
    registry.schema(known.schema_id)
    running.stop()
    assert registry.schema(known.schema_id).text == widgets().schema.text
    assert registry.register(widgets()) == known
    with pytest.raises(RegistryUnavailable, match="cannot be asked"):
        registry.schema(known.schema_id + 1)
    assert len(waits) == 2


def test_failures_are_tried_again_with_growing_waits(running: RunningRegistry) -> None:
    registry, waits = impatient(running.url)
    running.registry.faults += [500, "drop", 503, 429]
    assert registry.subjects() == ()
    assert len(waits) == 4
    assert waits[0] <= 0.1 < 0.4 <= waits[3] <= 0.8


def test_a_registry_that_keeps_failing_is_given_up(running: RunningRegistry) -> None:
    registry, waits = impatient(running.url)
    running.registry.faults += [502] * 9
    with pytest.raises(RegistryUnavailable, match="status 502"):
        registry.subjects()
    assert len(waits) == 4


def test_a_refusal_is_not_tried_again(running: RunningRegistry) -> None:
    registry, waits = impatient(running.url)
    running.registry.faults += [422]
    with pytest.raises(RegistryError, match="injected") as refused:
        registry.subjects()
    assert not isinstance(refused.value, RegistryUnavailable)
    assert waits == []


def test_a_registration_whose_answer_is_lost_is_one_version(running: RunningRegistry) -> None:
    """The store takes the schema, and the answer never comes: asking again finds the same version."""
    registry, _ = impatient(running.url)
    register = running.registry.answer

    def lose_once(method: str, path: str, query: object, body: object) -> object:
        answer = register(method, path, query, body)
        if method == "POST" and path.endswith("/versions"):
            running.registry.answer = register
            raise ConnectionResetError
        return answer

    running.registry.answer = lose_once
    assert registry.register(widgets()).version == 1
    assert registry.versions("Widgets") == (1,)


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_not_followed_with_the_credentials(running: RunningRegistry, status: int) -> None:
    host = running.url.removeprefix("http://")
    registry, _ = impatient(f"http://user:secret@{host}")
    running.registry.faults.append(status)
    with pytest.raises(RegistryError):
        registry.subjects()
    assert [path for _, path in running.registry.requests] == ["/subjects"]


@pytest.mark.parametrize(
    "answer", [b"<html>", b"7", b"{}", b"[1]", b'{"subjects": []}', b"[" * 100_000, b'"' + b"x" * (17 << 20) + b'"']
)
def test_an_answer_out_of_form_is_an_error_of_the_registry(running: RunningRegistry, answer: bytes) -> None:
    registry, _ = impatient(running.url)
    running.registry.faults.append(answer)
    with pytest.raises(RegistryError):
        registry.subjects()


@pytest.mark.parametrize("answer", [{}, {"schema": 1}, {"schema": "{"}, {"schema": "{}"}, {"schema": '"x"'}, []])
def test_a_schema_out_of_form_is_an_error(running: RunningRegistry, answer: object) -> None:
    registry, _ = impatient(running.url)
    running.registry.faults.append(json.dumps(answer).encode())
    with pytest.raises((RegistryError, SchemaError)):
        registry.schema(1)


def test_a_path_that_is_no_registry_is_told_from_what_is_not_registered(running: RunningRegistry) -> None:
    registry, _ = impatient(f"{running.url}/elsewhere")
    with pytest.raises(RegistryError, match="404") as refused:
        registry.schema(1)
    assert not isinstance(refused.value, NotRegistered)


def test_the_registrys_own_refusal_is_an_incompatible_schema(running: RunningRegistry) -> None:
    """Another client registered what ours has not seen: the registry's check decides."""
    registry, _ = impatient(running.url)
    registry.register_schema("s", record({"name": "a", "type": "long"}))
    store = HTTPStore(Rest(Address.parse(running.url)))
    with pytest.raises(Incompatible, match="incompatible with an earlier schema"):
        store.append("s", record({"name": "b", "type": "long"}).text, 1)
    with pytest.raises(SchemaError):
        store.append("s", "{}", 1)


def test_deleted_versions_leave_gaps(running: RunningRegistry) -> None:
    registry, _ = impatient(running.url)
    registry.set_compatibility("NONE")
    first, second, third = (registry.register_schema("s", record(name=name)) for name in "ABC")
    running.registry.answer("DELETE", "/subjects/s/versions/2", {}, None)
    fresh, _ = impatient(running.url)
    assert fresh.subject_versions("s") == (1, 3)
    assert fresh.version("s") == third
    assert fresh.version("s", 1) == first
    with pytest.raises(NotRegistered):
        fresh.version("s", 2)
    assert fresh.schema(second.schema_id) == second.schema


def test_schemas_of_other_types_are_refused_by_name(running: RunningRegistry) -> None:
    made = running.registry.answer("POST", "/subjects/p/versions", {}, {"schema": "{}", "schemaType": "JSON"})
    registry, _ = impatient(running.url)
    with pytest.raises(SchemaError, match="'JSON'"):
        registry.schema(made["id"])


def test_a_guid_is_looked_up(running: RunningRegistry) -> None:
    registry, _ = impatient(running.url)
    registry.register(widgets())
    guid = schema_guid(widgets().schema.text)
    assert running.registry.answer("GET", "/subjects/Widgets-value/versions/1", {}, None)["guid"] == str(guid)
    assert registry.schema_by_guid(guid).text == widgets().schema.text
    with pytest.raises(NotRegistered, match=str(UUID(int=7))):
        registry.schema_by_guid(UUID(int=7))


def test_a_registry_from_before_guids_knows_none(running: RunningRegistry) -> None:
    registry, _ = impatient(f"{running.url}/old")
    with pytest.raises(NotRegistered):
        registry.schema_by_guid(UUID(int=7))


def test_a_fingerprint_is_looked_for_among_a_subjects_versions(running: RunningRegistry) -> None:
    registry, _ = impatient(running.url)
    one, two = registry.register(widgets()), registry.register(widgets(PRICE))
    running.registry.answer("POST", "/subjects/Widgets-value/versions", {}, {"schema": "{}", "schemaType": "JSON"})
    for registered in (one, two):
        found = registry.schema_by_fingerprint(registered.schema.fingerprint, ["nothing", "Widgets-value"])
        assert found.fingerprint == registered.schema.fingerprint
    with pytest.raises(NotRegistered, match="0000000000000007"):
        registry.schema_by_fingerprint(7, ["Widgets-value"])


# credentials


def secretive(url: str, query: str = "", login: str = "") -> str:
    return url.replace("http://", f"http://{login}") + query


@pytest.mark.parametrize(
    "url",
    [
        lambda base: secretive(base, login="svc:pa%3Ass%2Fw%C3%B6rd%401@"),
        lambda base: secretive(base, "?user=svc&password_env=SR_PASSWORD"),
        lambda base: secretive(base, "?password_env=SR_PASSWORD", login="svc@"),
    ],
)
def test_a_user_is_told_by_basic_authentication(running: RunningRegistry, monkeypatch, url) -> None:
    monkeypatch.setenv("SR_PASSWORD", SECRET)
    running.registry.login = ("svc", SECRET)
    with open_registry(url(running.url)) as registry:
        assert registry.subjects() == ()


@pytest.mark.parametrize("query", ["?token=t0ken", "?token_env=SR_TOKEN"])
def test_a_token_is_told_by_bearer_authentication(running: RunningRegistry, monkeypatch, query: str) -> None:
    monkeypatch.setenv("SR_TOKEN", "t0ken")
    running.registry.token = "t0ken"  # noqa: S105 (made up)
    with open_registry(running.url + query) as registry:
        assert registry.subjects() == ()


def test_wrong_credentials_are_refused_without_being_shown(running: RunningRegistry, caplog) -> None:
    caplog.set_level("DEBUG")
    running.registry.login = ("svc", "right")
    address = Address.parse(secretive(running.url, login="svc:wr0ng@"))
    with pytest.raises(RegistryError, match="401") as refused:
        StoredRegistry(HTTPStore(Rest(address))).subjects()
    shown = f"{address!r} {refused.value!r} {refused.value} {refused.value.__cause__!r} {caplog.text}"
    assert "wr0ng" not in shown
    assert address.authorization.split()[1] not in shown


def test_an_unreachable_registry_is_named_without_its_secrets() -> None:
    url = "http://svc:wr0ng@127.0.0.1:9/?attempts=1"
    with open_registry(url) as registry, pytest.raises(RegistryUnavailable, match=r"http://127\.0\.0\.1:9 ") as error:
        registry.subjects()
    assert "wr0ng" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://h?tmeout=3",
        "http://h?timeout=0",
        "http://h?timeout=nan",
        "http://h?attempts=x",
        "http://u@h?token=t",
        "http://h?token_env=NOT_SET_ANYWHERE",
        "https://h?ca=/no/such/file",
        "http://h#fragment",
    ],
)
def test_a_wrong_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        open_registry(url)


# references

ADDRESS = {
    "type": "record",
    "name": "Address",
    "namespace": "com.shop",
    "fields": [{"name": "city", "type": {"type": "enum", "name": "City", "symbols": ["OSLO"]}}],
}
ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "com.shop.orders",
    "fields": [
        {"name": "ship", "type": "com.shop.Address"},
        {"name": "bill", "type": ["null", "com.shop.Address"], "default": None},
        {"name": "city", "type": "com.shop.City"},
    ],
}


def publish(registry: ConfluentRegistry, subject: str, schema: object, *references: tuple[str, str, int]) -> int:
    body = {
        "schema": json.dumps(schema),
        "references": [{"name": n, "subject": s, "version": v} for n, s, v in references],
    }
    return registry.answer("POST", f"/subjects/{subject}/versions", {}, body)["id"]


def test_referenced_schemas_are_written_out_where_they_are_used_first(running: RunningRegistry) -> None:
    publish(running.registry, "address", ADDRESS)
    order = publish(running.registry, "order", ORDER, ("com.shop.Address", "address", 1))
    events = publish(running.registry, "events", ["com.shop.orders.Order", "com.shop.Address"],
                     ("com.shop.orders.Order", "order", 1))  # fmt: skip
    registry, _ = impatient(running.url)
    whole = Schema.parse(
        {**ORDER, "fields": [{"name": "ship", "type": ADDRESS}, *ORDER["fields"][1:]]},
    )
    assert registry.schema(order).canonical == whole.canonical
    assert registry.schema(events).names.keys() == {"com.shop.orders.Order", "com.shop.Address", "com.shop.City"}


def test_a_reference_that_is_not_there_is_an_error() -> None:
    def nothing(subject: str, version: int) -> tuple[str, list]:
        raise SchemaError(f"no {subject} {version}")

    with pytest.raises(SchemaError):
        self_contained('"x"', [{"name": "x", "subject": "s", "version": 1}], nothing)
    for broken in ({}, {"subject": "s"}, {"subject": 1, "version": 1}, {"subject": "s", "version": "1"}):
        with pytest.raises(SchemaError):
            self_contained('"x"', [broken], nothing)


def test_references_without_end_are_refused() -> None:
    def next_one(subject: str, version: int) -> tuple[str, list]:
        return '"int"', [{"name": "x", "subject": subject, "version": version + 1}]

    with pytest.raises(SchemaError, match=str(MAX_REFERENCES)):
        self_contained('"x"', [{"name": "x", "subject": "s", "version": 1}], next_one)


def test_a_circle_of_references_ends() -> None:
    texts = {"a": '{"type": "record", "name": "a", "fields": [{"name": "b", "type": ["null", "b"]}]}'}
    texts["b"] = texts["a"].replace('"b"', '"t"').replace('"a"', '"b"').replace('["null", "t"]', '["null", "a"]')

    def find(subject: str, version: int) -> tuple[str, list]:
        return texts[subject], [{"subject": "b" if subject == "a" else "a", "version": 1}]

    assert Schema.parse(self_contained('"a"', [{"subject": "a", "version": 1}], find)).names.keys() == {"a", "b"}


LEAVES = st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["record", "enum", "array", "x.Y"])
KEYS = st.sampled_from(["type", "fields", "items", "name", "namespace"])


@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)))
def test_hostile_documents_are_written_out_or_refused(document: object) -> None:
    def find(_subject: str, _version: int) -> tuple[str, list]:
        return json.dumps(document), []

    text = json.dumps(document)
    with suppress(SchemaError):
        self_contained(text, [{"subject": "s", "version": 1}], find)


# beside Confluent's own client


@pytest.fixture
def client(running: RunningRegistry):
    with SchemaRegistryClient({"url": running.url}) as client:
        yield client


def test_confluents_client_and_ours_see_the_same_registry(running: RunningRegistry, client) -> None:
    registry, _ = impatient(running.url)
    registered = registry.register(widgets())
    theirs = client.get_latest_version("Widgets-value")
    assert (theirs.schema_id, theirs.version) == (registered.schema_id, 1)
    assert Schema.parse(theirs.schema.schema_str) == widgets().schema
    assert op.Topic.from_document(client.get_schema(registered.schema_id).schema_str) == widgets()

    schema = TheirSchema(record(PRICE).text, "AVRO")
    schema_id = client.register_schema("prices-value", schema)
    assert registry.schema(schema_id) == record(PRICE)
    assert registry.register_schema("prices-value", record(PRICE)).schema_id == schema_id
    assert client.lookup_schema("prices-value", schema).version == registry.version("prices-value").version
    assert tuple(client.get_subjects()) == registry.subjects()
    client.set_compatibility("prices-value", "FULL")
    assert registry.compatibility("prices-value") == "FULL"
    registry.set_compatibility("NONE", "prices-value")
    assert client.get_compatibility("prices-value") == "NONE"


def test_both_clients_get_the_same_refusal(running: RunningRegistry, client) -> None:
    registry, _ = impatient(running.url)
    registry.register_schema("s", record(PRICE))
    narrow = record({"name": "other", "type": "long"})
    with pytest.raises(SchemaRegistryError) as theirs:
        client.register_schema("s", TheirSchema(narrow.text, "AVRO"))
    assert theirs.value.http_status_code == 409
    with pytest.raises(Incompatible):
        registry.register_schema("s", narrow)
    with pytest.raises(SchemaRegistryError) as unknown:
        client.get_schema(4711)
    assert unknown.value.error_code == 40403


def test_what_confluents_serializer_writes_is_read(running: RunningRegistry, client) -> None:
    text = record({"name": "sid", "type": "string"}, PRICE).text
    serialize = AvroSerializer(client, text)
    value = serialize({"sid": "W1", "price": 2.5}, SerializationContext("Widgets", MessageField.VALUE))
    registry, _ = impatient(running.url)
    decoder = MessageDecoder(registry, None, reader=None, classes={})
    decoded = decoder.decode(Message("Widgets", 0, 0, 0, None, value, ()))
    assert decoded.value == {"sid": "W1", "price": 2.5}
    assert registry.version("Widgets-value").schema_id == decoded.schema_id


def test_many_threads_share_one_registry(running: RunningRegistry) -> None:
    registry, _ = impatient(running.url)
    ids = [registry.register_schema("s", record({**PRICE, "name": f"f{n}"})).schema_id for n in range(4)]
    fresh, _ = impatient(running.url)
    seen: list[str] = []
    threads = [threading.Thread(target=lambda n=n: seen.append(fresh.schema(ids[n % 4]).text)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 16
    assert len(set(seen)) == 4


def test_no_error_of_the_client_is_anothers(running: RunningRegistry) -> None:
    """Whatever the registry answers, what is raised is one of onepipe's errors."""
    registry, _ = impatient(running.url, attempts=1)
    for fault in ("drop", 400, 401, 403, 404, 409, 500, b"", b"null", b"[[]]", b"\xff"):
        for ask in (registry.subjects, lambda: registry.schema(1), lambda: registry.versions("x")):
            running.registry.faults[:] = [fault]
            with suppress(OnepipeError):
                ask()
