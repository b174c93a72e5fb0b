from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from storage_contract import LARGE, StorageContract, data_path, publish

from onepipe.errors import CommitConflict, ConfigurationError, CorruptFile, LakeError
from onepipe.lake.s3 import objects
from onepipe.lake.storage import open_storage

pytestmark = pytest.mark.s3


class TestS3Storage(StorageContract):
    @pytest.fixture
    def open_another(self, url):
        return lambda: open_storage(url)


class TestS3StorageOfAWholeBucket(StorageContract):
    @pytest.fixture
    def open_another(self, bucket):
        return lambda: open_storage(f"s3://{bucket}")


def keys(store, bucket):
    return {found["Key"] for found in store.client().list_objects_v2(Bucket=bucket).get("Contents", ())}


def test_every_key_is_below_the_prefix(store, bucket, url):
    storage = open_storage(url)
    storage.write_new("a/b", b"x")
    publish(storage, data_path(b"y"), b"y")
    assert keys(store, bucket) == {f"company/lake/{path}" for path in ("conditional-writes", "a/b", data_path(b"y"))}


def test_a_neighbour_whose_name_begins_alike_is_not_seen(store, bucket, url):
    store.client().put_object(Bucket=bucket, Key="company/lakeside/a", Body=b"x")
    storage = open_storage(url)
    assert list(storage.list()) == []
    assert not storage.exists("side/a")


def test_listing_goes_on_over_pages(store, bucket, url, proxy):
    client, storage = store.client(), open_storage(url)
    for number in range(1100):
        client.put_object(Bucket=bucket, Key=f"company/lake/d/{number:05}", Body=b"x")
    assert [file.path for file in storage.list("d")] == [f"d/{number:05}" for number in range(1100)]
    assert proxy.count("GET", "prefix=company%2Flake%2Fd%2F") == 2


def test_a_folder_that_a_console_made_is_no_file(store, bucket, url):
    store.client().put_object(Bucket=bucket, Key="company/lake/d/", Body=b"")
    assert list(open_storage(url).list()) == []


def test_reading_the_end_of_a_file_fetches_little_of_it(url, proxy):
    storage = open_storage(url)
    storage.write_new("a", LARGE)
    before = len(proxy.requests)
    with storage.open("a") as file:
        file.seek(-1000, 2)
        assert file.read() == LARGE[-1000:]
    assert [method for method, _ in proxy.requests[before:]] == ["HEAD", "GET"]


def test_reading_a_file_from_front_to_back_takes_few_requests(url, proxy):
    storage = open_storage(url)
    storage.write_new("a", LARGE)
    before = proxy.count("GET", "/a")
    with storage.open("a") as file:
        assert b"".join(iter(lambda: file.read(10_000), b"")) == LARGE
    assert proxy.count("GET", "/a") - before <= 8


def test_a_copy_that_is_at_hand_is_not_fetched_again(url, proxy):
    storage, path = open_storage(url), data_path(LARGE)
    publish(storage, path, LARGE)
    for user in (storage, open_storage(url)):
        with user.copies() as copies:
            copies.local([path])
    assert proxy.count("GET", path) == 0


def test_the_storage_is_read_as_it_is_now_whatever_copies_there_are(store, bucket, url):
    storage, path = open_storage(url), data_path(LARGE)
    publish(storage, path, LARGE)
    store.client().put_object(Bucket=bucket, Key=f"company/lake/{path}", Body=b"other")
    assert storage.read(path) == b"other"
    with storage.open(path) as file:
        assert file.read() == b"other"


def test_writing_and_fetching_a_large_file_takes_little_memory(url, tmp_path):
    data = LARGE * 10
    path = data_path(data)
    storage, elsewhere = open_storage(url), open_storage(f"{url}?cache={tmp_path}/elsewhere")
    assert not storage.exists("first")
    assert not elsewhere.exists("first")
    with storage.temporary() as temporary:
        temporary.write_bytes(data)
        tracemalloc.start()
        storage.publish(temporary, path)
    with elsewhere.copies() as copies:
        assert Path(*copies.local([path])).stat().st_size == len(data)
    with storage.open(path) as file:
        while file.read(1 << 20):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(data) / 2


def test_a_store_that_overwrites_what_it_was_told_not_to_is_refused(store, url, monkeypatch):
    real = objects.Objects._connect

    def forgetful(self):
        client, credentials = real(self)
        put = client.put_object
        client.put_object = lambda IfNoneMatch, **request: put(**request)  # noqa: N803  (boto3's name)
        return client, credentials

    monkeypatch.setattr(objects.Objects, "_connect", forgetful)
    storage = open_storage(url)
    with pytest.raises(ConfigurationError, match="overwrites what is there"):
        storage.write_new("a", b"x")
    assert not storage.exists("a")


def test_a_bucket_that_is_not_there_is_named(store):
    storage = open_storage("s3://onepipe-is-not-there/lake")
    for action in (lambda: storage.read("a"), lambda: list(storage.list()), lambda: storage.write_new("a", b"")):
        with pytest.raises(LakeError, match=r"bucket onepipe-is-not-there at http.*no such bucket"):
            action()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong-secret", "denied|credentials are refused"),
        ("AWS_ACCESS_KEY_ID", "nobody", "refused"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9", "http://127.0.0.1:9 cannot be reached"),
        ("AWS_ENDPOINT_URL_S3", "nonsense", "endpoint is no URL"),
        ("AWS_ENDPOINT_URL_S3", "http://store.example:9000", "not encrypted"),
        ("AWS_PROFILE", "nobody", "no such profile"),
    ],
)
def test_settings_that_are_wrong_are_said_with_a_remedy(store, url, monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    with pytest.raises((LakeError, ConfigurationError), match=message) as raised:
        open_storage(url).write_new("a", b"x")
    assert raised.value.remedy
    assert store.secret_key not in f"{raised.value!r} {raised.value}"
    assert "wrong-secret" not in f"{raised.value!r} {raised.value}"


def test_credentials_that_are_missing_are_said_so(store, url, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError, match="no credentials") as raised:
        open_storage(url).exists("a")
    assert "AWS_ACCESS_KEY_ID" in raised.value.remedy


def test_the_url_may_name_the_endpoint(store, bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    storage = open_storage(f"s3://{bucket}/x?endpoint={store.endpoint}&region=us-east-1")
    storage.write_new("a", b"x")
    assert storage.read("a") == b"x"


def test_nothing_shows_credentials(store, url):
    storage = open_storage(url)
    storage.write_new("a", b"x")
    assert store.secret_key in storage.options.values()
    assert store.secret_key not in repr(storage)
    assert store.access_key not in repr(storage)


def test_a_file_that_is_deleted_while_it_is_read_is_missing(url):
    storage = open_storage(url)
    storage.write_new("a", LARGE)
    with storage.open("a") as file:
        file.read(10)
        storage.delete("a")
        with pytest.raises(CorruptFile, match="a is missing"):
            file.read()


def test_a_write_that_finds_its_own_name_deleted_meanwhile_is_made(url, monkeypatch):
    storage, other = open_storage(url), open_storage(url)
    other.write_new("a", b"y")
    stream = objects.Objects.stream

    def deleted_first(self, path, *rest):
        other.delete(path)
        return stream(self, path, *rest)

    monkeypatch.setattr(objects.Objects, "stream", deleted_first)
    storage.write_new("a", b"x")
    monkeypatch.undo()
    with pytest.raises(CommitConflict):
        other.write_new("a", b"y")
