"""The SQL store: several processes at once, killed ones, forks, forms of other releases, and what is not there."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from onepipe.errors import ConfigurationError, MissingDependency, RegistryError, RegistryUnavailable
from onepipe.registry import Level, open_registry
from onepipe.registry.sql import FORMAT, SQLStore
from onepipe.schema.model import Schema

spawn = multiprocessing.get_context("spawn")


def schema(number):
    return Schema.parse({"type": "record", "name": f"R{number}", "fields": []})


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/registry.db"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def any_url(request):
    return request.getfixturevalue("url" if request.param == "sqlite" else "postgresql_url")


def _register(url, start, numbers, results):
    with open_registry(url) as registry:
        start.wait()
        found = [registry.register_schema(f"subject{n % 2}", schema(n)) for n in numbers]
        results.put([(r.schema_id, r.subject, r.version, r.schema.text) for r in found])


@pytest.mark.slow
def test_processes_that_register_at_once_agree_on_ids_and_versions(any_url):
    with open_registry(any_url) as registry:
        registry.set_compatibility(Level.NONE)
    start, results = spawn.Barrier(4), spawn.Queue()
    orders = [range(20), range(19, -1, -1), [*range(10, 20), *range(10)], range(20)]
    processes = [spawn.Process(target=_register, args=(any_url, start, list(order), results)) for order in orders]
    for process in processes:
        process.start()
    found = [registered for _ in processes for registered in results.get(timeout=60)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(set(found)) == len({schema_id for schema_id, *_ in found}) == 20
    with open_registry(any_url) as registry:
        assert [registry.subject_versions(f"subject{n}") for n in (0, 1)] == [tuple(range(1, 11))] * 2


@pytest.mark.slow
def test_processes_that_create_one_registry_at_once_create_it_once(any_url):
    start, results = spawn.Barrier(4), spawn.Queue()
    processes = [spawn.Process(target=_create, args=(any_url, start, results)) for _ in range(4)]
    for process in processes:
        process.start()
    assert {results.get(timeout=60) for _ in processes} == {1}
    for process in processes:
        process.join(60)


def _create(url, start, results):
    start.wait()
    with open_registry(url) as registry:
        results.put(registry.register_schema("s", schema(0)).schema_id)


KILLED = """
import os, signal, sys
import sqlalchemy as sa
from onepipe.registry.sql import SQLStore

store = SQLStore(sys.argv[1])
store.append("s", '"int"', 0)

@sa.event.listens_for(store._engine, "before_cursor_execute")
def kill(connection, cursor, statement, *rest):
    if statement.startswith("INSERT INTO onepipe_versions"):
        os.kill(os.getpid(), signal.SIGKILL)

store.append("s", '"string"', 1)
"""


def test_a_process_killed_while_it_registers_leaves_nothing_half_registered(url, tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, url], check=False)
    assert killed.returncode == -signal.SIGKILL
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        assert connection.execute("SELECT text FROM onepipe_schemas").fetchall() == [('"int"',)]
        assert connection.execute("SELECT count(*) FROM onepipe_versions").fetchone() == (1,)
    connection.close()
    store = SQLStore(url)
    assert store.append("s", '"string"', 1) == (2, 2)
    store.close()


def test_what_was_registered_is_there_when_it_is_opened_again(any_url):
    with open_registry(any_url) as registry:
        registered = registry.register_schema("s", schema(1))
        registry.set_compatibility(Level.FULL, "s")
    with open_registry(any_url) as registry:
        assert registry.version("s") == registered
        assert registry.schema(registered.schema_id) == schema(1)
        assert registry.compatibility("s") is Level.FULL


def test_two_handles_see_what_the_other_registers(any_url):
    with open_registry(any_url) as one, open_registry(any_url) as two:
        registered = one.register_schema("s", schema(1))
        assert two.version("s") == registered
        assert two.schema(registered.schema_id) == schema(1)
        two.set_compatibility(Level.NONE, "s")
        assert one.register_schema("s", schema(2)).version == 2
        assert two.subject_versions("s") == (1, 2)


def test_an_append_that_was_overtaken_adds_nothing(any_url):
    one, two = SQLStore(any_url), SQLStore(any_url)
    assert one.append("s", '"int"', 0) == (1, 1)
    assert two.append("s", '"long"', 0) is None
    assert two.append("s", '"int"', 0) == (1, 1)
    assert two.append("s", '"long"', 1) == (2, 2)
    assert one.append("s", '"float"', 5) is None
    assert one.versions("s") == [(1, 1), (2, 2)]
    assert one.text(3) is None
    one.close()
    two.close()


def test_a_registry_of_a_later_form_is_refused_with_the_remedy(url, tmp_path):
    open_registry(url).close()
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.execute("UPDATE onepipe_format SET format = ?", (FORMAT + 1,))
    connection.close()
    with pytest.raises(RegistryError, match="upgrade onepipe"):
        open_registry(url)


def test_a_forked_child_registers_through_connections_of_its_own(any_url):
    with open_registry(any_url) as registry:
        registry.register_schema("s", schema(1))
        registry.set_compatibility(Level.NONE)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = 0 if registry.register_schema("s", schema(2)).version == 2 else 2
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        assert registry.register_schema("s", schema(3)).version == 3


def test_a_file_that_is_no_database_is_said_without_a_traceback_of_the_driver(tmp_path):
    (tmp_path / "registry.db").write_bytes(b"not a database" * 100)
    with pytest.raises(RegistryError, match=r"registry\.db failed: file is not a database"):
        open_registry(f"sqlite:///{tmp_path}/registry.db")


def test_a_folder_that_is_not_there_makes_the_registry_unavailable(tmp_path):
    with pytest.raises(RegistryUnavailable, match="unable to open database file"):
        open_registry(f"sqlite:///{tmp_path}/none/registry.db")


def test_a_lock_held_too_long_makes_the_registry_unavailable_and_readers_go_on(url, tmp_path):
    store = SQLStore(url, busy_timeout=0.05)
    store.append("s", '"int"', 0)
    other = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RegistryUnavailable, match="locked"):
        store.append("s", '"long"', 1)
    assert store.versions("s") == [(1, 1)]
    other.execute("ROLLBACK")
    other.close()
    assert store.append("s", '"long"', 1) == (2, 2)
    store.close()


def test_the_database_itself_refuses_a_version_of_an_unknown_schema(url):
    store = SQLStore(url)
    with pytest.raises(RegistryError, match="FOREIGN KEY"), store._engine.begin() as connection, store._errors():
        connection.exec_driver_sql("INSERT INTO onepipe_versions VALUES ('s', 1, 99)")
    store.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memroy://", "did you mean 'memory'"),
        ("memory", "no registry is opened"),
        ("", "no registry is opened"),
        ("mysql://host/db", "no registry is opened"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite+nothing:///x.db", "no database driver"),
        ("postgresql://host:port/db", "not of the form"),
    ],
)
def test_a_wrong_url_is_refused_with_the_remedy(url, message):
    with pytest.raises(ConfigurationError, match=message):
        open_registry(url)


def test_a_password_is_never_said(monkeypatch):
    pytest.importorskip("psycopg", reason="PostgreSQL's driver psycopg is not installed")
    with pytest.raises(RegistryUnavailable) as caught:
        open_registry("postgresql://user:secret@127.0.0.1:1/db?connect_timeout=1")
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_without_sqlalchemy_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("sqlalchemy", "onepipe.registry."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(MissingDependency, match=r"onepipe\[sql\]"):
        open_registry("sqlite:///registry.db")


def test_a_registry_in_memory_needs_no_sqlalchemy():
    code = "import sys; from onepipe.registry import open_registry; open_registry('memory://'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "onepipe.registry.stored" in loaded.stdout
    assert "sqlalchemy" not in loaded.stdout
