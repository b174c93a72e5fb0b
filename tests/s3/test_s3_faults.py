"""Between a lake and its store: answers lost after success, refusals, connections cut."""

from __future__ import annotations

import pytest
from faulty_proxy import Fault
from storage_contract import LARGE, data_path, publish

from onepipe.errors import CommitConflict, LakeError
from onepipe.lake.storage import open_storage

pytestmark = pytest.mark.s3


@pytest.fixture
def storage(url, proxy):
    """A storage that has made its first contact."""
    storage = open_storage(url)
    storage.write_new("first", b"")
    return storage


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.SLOW_DOWN, Fault.CUT_REQUEST])
def test_a_write_whose_request_or_answer_is_lost_is_made_once_and_is_no_conflict(storage, proxy, fault, data, times):
    path = data_path(data)
    proxy.inject(fault, "PUT", path, times=times)
    publish(storage, path, data)
    assert proxy.left == 0
    assert proxy.count("PUT", path) >= times + 1  # a server under load may make it more
    assert storage.read(path) == data


def test_a_write_whose_answer_is_lost_does_not_pass_for_another_writers(storage, proxy):
    storage.write_new("a", b"y")
    proxy.inject(Fault.LOSE_ANSWER, "PUT", "/a")
    with pytest.raises(CommitConflict):
        storage.write_new("a", b"x")
    assert storage.read("a") == b"y"


def test_an_upload_that_broke_off_for_good_leaves_nothing(url, proxy, monkeypatch):
    monkeypatch.setattr("onepipe.lake.s3.objects._ATTEMPTS", 2)
    storage = open_storage(url)
    proxy.inject(Fault.CUT_REQUEST, "PUT", "/a", times=2)
    with pytest.raises(LakeError, match="cannot be reached, or does not answer"):
        storage.write_new("a", LARGE)
    assert not storage.exists("a")
    assert [file.path for file in storage.list()] == ["conditional-writes"]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.SLOW_DOWN, Fault.CUT_ANSWER])
def test_a_read_goes_on_where_it_broke_off(storage, proxy, fault, times):
    path = data_path(LARGE)
    storage.write_new(path, LARGE)
    proxy.inject(fault, "GET", path, times=times)
    assert storage.read(path) == LARGE
    proxy.inject(fault, "GET", path, times=times)
    with storage.open(path) as file:
        assert file.read() == LARGE
    proxy.inject(fault, "GET", path, times=times)
    with storage.copies() as copies, open(*copies.local([path]), "rb") as copy:  # noqa: PTH123  (it is one path)
        assert copy.read() == LARGE
    assert proxy.left == 0


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.SLOW_DOWN])
def test_listing_asking_and_deleting_outlive_faults(storage, proxy, fault):
    storage.write_new("d/a", b"x")
    for method, path, act in (
        ("GET", "list-type", lambda: [file.path for file in storage.list("d")] == ["d/a"]),
        ("HEAD", "d/a", lambda: storage.exists("d/a")),
        ("DELETE", "d/a", lambda: storage.delete("d/a") is None),
    ):
        proxy.inject(fault, method, path, times=2)
        assert act()
    assert proxy.left == 0
    assert not storage.exists("d/a")
