"""A proxy in front of an HTTP server that loses answers, cuts connections, refuses and holds requests when told to."""

from __future__ import annotations

import enum
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

_CONTROL: Final = "/-control"
_SLOW_DOWN: Final = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Fault(enum.Enum):
    """What happens to a request."""

    LOSE_ANSWER = "the server does it, and the connection is cut before the answer"
    SLOW_DOWN = "it is answered with 503 SlowDown, and the server does not see it"
    CUT_REQUEST = "the connection is cut in the middle of the request's body, on both sides"
    CUT_ANSWER = "the connection is cut in the middle of the answer's body"
    HOLD = "it waits until it is let go, and is then done"


@attrs.define
class Rule:
    """A fault for the next requests of a kind.

    Attributes:
        fault: what happens to them.
        method: their method.
        path: what their path holds.
        times: how many more of them.
        skip: how many of them go through before that.
    """

    fault: Fault
    method: str
    path: str
    times: int
    skip: int


class FaultyProxy:
    """A running proxy, in a process of its own: a client may keep this one's threads from running while it waits.

    Attributes:
        endpoint: URL of the proxy.
    """

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self._port = port

    def inject(self, fault: Fault, method: str, path: str = "", *, times: int = 1, skip: int = 0) -> None:
        """Let a fault befall the next requests of a method whose path holds `path`."""
        self._tell({"inject": [fault.name, method, path, times, skip]})

    def wait_for_held(self, count: int, seconds: float = 120.0) -> None:
        """Wait until so many requests are held."""
        deadline = time.monotonic() + seconds
        while (held := int(self._tell({"wait": count})["held"])) < count:
            assert time.monotonic() < deadline, f"{held} requests are held, not {count}"

    def let_go(self) -> None:
        """Let go the requests that are held, and hold no more."""
        self._tell({"let_go": True})

    @property
    def left(self) -> int:
        """How many faults have not happened yet."""
        return int(self._tell({})["left"])

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method and path of each request, in order of arrival."""
        return [(method, path) for method, path in self._tell({})["requests"]]

    def count(self, method: str, path: str) -> int:
        """How many requests of a method came whose path holds `path`."""
        return sum(found == method and path in at for found, at in self.requests)

    def _tell(self, message: dict[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("POST", _CONTROL, json.dumps(message))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer


@contextmanager
def faulty_proxy(behind: str) -> Iterator[FaultyProxy]:
    """A proxy in front of the server at a URL."""
    command = [sys.executable, str(Path(__file__)), behind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield FaultyProxy(int(process.stdout.readline()))
        finally:
            process.kill()


class _Faults:
    """What is to happen to requests, and which there were."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self._rules: list[Rule] = []
        self._held = 0
        self._let_go = threading.Event()
        self._lock = threading.Condition()

    def told(self, message: dict[str, Any]) -> dict[str, Any]:
        """Do what a message says; what is left to happen, which requests there were, and how many are held."""
        with self._lock:
            if "inject" in message:
                fault, *rest = message["inject"]
                self._rules.append(Rule(Fault[fault], *rest))
            if "let_go" in message:
                self._rules = [rule for rule in self._rules if rule.fault is not Fault.HOLD]
                self._let_go.set()
                self._let_go, self._held = threading.Event(), 0
            if "wait" in message:
                self._lock.wait_for(lambda: self._held >= message["wait"], timeout=1.0)
            left = sum(rule.times for rule in self._rules)
            return {"left": left, "requests": self.requests, "held": self._held}

    def hold(self) -> None:
        """Wait until requests that are held are let go."""
        with self._lock:
            self._held += 1
            self._lock.notify_all()
            let_go = self._let_go
        let_go.wait()

    def fault(self, method: str, path: str) -> Fault | None:
        """What is to happen to a request."""
        with self._lock:
            self.requests.append((method, path))
            for rule in self._rules:
                if rule.method == method and rule.path in path and rule.times:
                    if rule.skip:
                        rule.skip -= 1
                        return None
                    rule.times -= 1
                    return rule.fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = behind
        self.faults = _Faults()

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def handle_request(self) -> None:
        assert isinstance(self.server, _Server)
        length = int(self.headers.get("Content-Length") or 0)
        if self.path == _CONTROL:
            self._answer(200, [], json.dumps(self.server.faults.told(json.loads(self.rfile.read(length)))).encode())
            return
        fault = self.server.faults.fault(self.command, self.path)
        if fault is Fault.CUT_REQUEST:
            self._cut_request(self.server.behind, length)
            return
        body = self.rfile.read(length)
        if fault is Fault.HOLD:
            self.server.faults.hold()
        if fault is Fault.SLOW_DOWN:
            self._answer(503, [("Content-Type", "application/xml")], _SLOW_DOWN)
            return
        try:
            status, headers, answer = self._forward(self.server.behind, body)
        except OSError:  # the server is down
            self._cut()
            return
        if fault is Fault.LOSE_ANSWER:
            self._cut()
        else:
            self._answer(status, headers, answer, cut=fault is Fault.CUT_ANSWER)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_request  # noqa: N815  (http.server's names)

    def _forward(self, behind: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(urlsplit(behind).netloc, timeout=30)
        try:
            self._put_head(connection)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _put_head(self, connection: http.client.HTTPConnection) -> None:
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("expect", "connection"):
                connection.putheader(name, value)

    def _cut_request(self, behind: str, length: int) -> None:
        connection = http.client.HTTPConnection(urlsplit(behind).netloc, timeout=30)
        try:
            self._put_head(connection)
            connection.endheaders(self.rfile.read(length // 2))
        finally:
            connection.close()
            self._cut()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        said = {name.lower(): value for name, value in headers}.get("content-length", str(len(body)))
        self.send_header("Content-Length", said if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self._cut()

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    with _Server(sys.argv[1]) as running:
        print(running.server_port, flush=True)  # noqa: T201  (the parent reads it)
        running.serve_forever()
