"""A schema registry that speaks Confluent's protocol over HTTP, for tests: in memory, with faults to inject.

It keeps what the protocol says, and nothing of onepipe's declarations: ids for the whole registry, versions that are
never used again, soft and hard deletes, references, levels, GUIDs, error codes, media types.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping, Sequence
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import attrs

from onepipe.errors import SchemaError
from onepipe.registry.references import self_contained
from onepipe.schema.compatibility import Level, check
from onepipe.schema.model import Schema

MEDIA_TYPES = (
    "application/vnd.schemaregistry.v1+json",
    "application/vnd.schemaregistry+json",
    "application/json",
)


class Error(Exception):
    """An answer that is no success: HTTP status, error code, message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@attrs.frozen
class Stored:
    """A schema with what it refers to: (name, subject, version)."""

    text: str
    kind: str = "AVRO"
    references: tuple[tuple[str, str, int], ...] = ()

    @property
    def guid(self) -> str:
        """MD5 of the schema's UTF-8, then of each reference its name, subject and version in 4 bytes."""
        digest = md5(self.text.encode(), usedforsecurity=False)
        for name, subject, version in self.references:
            digest.update(name.encode() + subject.encode() + version.to_bytes(4, "big"))
        return str(UUID(bytes=digest.digest()))

    def document(self) -> dict[str, Any]:
        made: dict[str, Any] = {"schema": self.text, "guid": self.guid}
        if self.kind != "AVRO":
            made["schemaType"] = self.kind
        if self.references:
            made["references"] = [
                {"name": name, "subject": subject, "version": version} for name, subject, version in self.references
            ]
        return made


class ConfluentRegistry:
    """What the registry knows, and the answers it gives. Thread-safe.

    Attributes:
        requests: method and path of every request, in order.
        headers: the headers of every request, in order.
        faults: answers to give instead of the next ones: HTTP statuses, bytes to send as they are, or "drop" to close
            the connection without an answer.
        login: user and password to ask for, or None.
        token: bearer token to ask for, or None.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.requests: list[tuple[str, str]] = []
        self.headers: list[Mapping[str, str]] = []
        self.faults: list[int | str | bytes] = []
        self.login: tuple[str, str] | None = None
        self.token: str | None = None
        self._schemas: dict[int, Stored] = {}
        self._ids: dict[Stored, int] = {}
        self._subjects: dict[str, dict[int, int]] = {}
        self._deleted: set[tuple[str, int]] = set()
        self._levels: dict[str, str] = {}
        self._last: dict[str, int] = {}

    def answer(  # noqa: C901 (one case for each endpoint)
        self, method: str, path: str, query: Mapping[str, str], body: Any
    ) -> Any:
        """The JSON value of an answer; raises Error."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        with self.lock:
            match method, parts:
                case "GET", ["schemas", "types"]:
                    return ["JSON", "PROTOBUF", "AVRO"]
                case "GET", ["schemas", "ids", number]:
                    return self._by_id(number).document()
                case "GET", ["schemas", "ids", number, "schema"]:
                    return json.loads(self._by_id(number).text)
                case "GET", ["schemas", "ids", number, "subjects"]:
                    return sorted({place["subject"] for place in self._places(number, query)})
                case "GET", ["schemas", "ids", number, "versions"]:
                    return self._places(number, query)
                case "GET", ["schemas", "guids", guid]:
                    return self._by_guid(guid).document()
                case "GET", ["schemas", "guids", guid, "ids"]:
                    return [{"context": ".", "id": id_} for id_, s in self._schemas.items() if s.guid == guid]
                case "GET", ["contexts"]:
                    return ["."]
                case _, ["subjects", *rest]:
                    return self._subject(method, rest, query, body)
                case _, ["config", *rest] if len(rest) < 2:
                    return self._config(method, rest[0] if rest else "", query, body)
                case "GET", ["mode", *_]:
                    return {"mode": "READWRITE"}
                case "POST", ["compatibility", "subjects", subject, "versions", *rest]:
                    return self._compatible(subject, rest[0] if rest else None, query, body)
        raise Error(404, 404, "HTTP 404 Not Found")

    def _by_id(self, number: str) -> Stored:
        found = self._schemas.get(int(number))
        if found is None:
            raise Error(404, 40403, "Schema not found")
        return found

    def _by_guid(self, guid: str) -> Stored:
        for stored in self._schemas.values():
            if stored.guid == guid:
                return stored
        raise Error(404, 40403, "Schema not found")

    def _places(self, number: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        self._by_id(number)
        return [
            {"subject": subject, "version": version}
            for subject in sorted(self._subjects)
            for version in self._versions(subject, query)
            if self._subjects[subject][version] == int(number)
        ]

    def _versions(self, subject: str, query: Mapping[str, str]) -> list[int]:
        deleted = query.get("deleted") == "true"
        return [v for v in sorted(self._subjects.get(subject, {})) if deleted or (subject, v) not in self._deleted]

    def _required(self, subject: str, query: Mapping[str, str]) -> list[int]:
        versions = self._versions(subject, query)
        if not versions:
            raise Error(404, 40401, f"Subject '{subject}' not found.")
        return versions

    def _subject(self, method: str, parts: list[str], query: Mapping[str, str], body: Any) -> Any:
        match method, parts:
            case "GET", []:
                prefix = query.get("subjectPrefix", "")
                names = sorted(name for name in self._subjects if self._versions(name, query))
                return [name for name in names if name.startswith(prefix)]
            case "GET", [subject, "versions"]:
                return self._required(subject, query)
            case "GET", [subject, "versions", version]:
                return self._version(subject, version, query)
            case "GET", [subject, "versions", version, "schema"]:
                return json.loads(self._version(subject, version, query)["schema"])
            case "GET", [subject, "versions", version, "referencedby"]:
                number = self._version(subject, version, query)["version"]
                wanted = (subject, number)
                return [i for i, s in self._schemas.items() if wanted in [ref[1:] for ref in s.references]]
            case "POST", [subject]:
                return self._lookup(subject, query, body)
            case "POST", [subject, "versions"]:
                return self._register(subject, body)
            case "DELETE", [subject]:
                return self._delete(subject, self._required(subject, {"deleted": "true"}), query)
            case "DELETE", [subject, "versions", version]:
                number = self._version(subject, version, {"deleted": "true"})["version"]
                return self._delete(subject, [number], query)[0]
        raise Error(405, 405, "HTTP 405 Method Not Allowed")

    def _version(self, subject: str, version: str, query: Mapping[str, str]) -> dict[str, Any]:
        versions = self._required(subject, query)
        if version in ("latest", "-1"):
            number = versions[-1]
        elif not version.isdigit() or not 1 <= int(version) < 1 << 31:
            raise Error(422, 42202, f"The specified version '{version}' is not a valid version id.")
        else:
            number = int(version)
        if number not in versions:
            raise Error(404, 40402, f"Version {number} not found.")
        schema_id = self._subjects[subject][number]
        return {"subject": subject, "version": number, "id": schema_id, **self._schemas[schema_id].document()}

    def _given(self, body: Any) -> Stored:
        if not isinstance(body, dict) or not isinstance(body.get("schema"), str):
            raise Error(422, 42201, "Empty schema")
        references = tuple((r["name"], r["subject"], r["version"]) for r in body.get("references") or [])
        stored = Stored(body["schema"], body.get("schemaType", "AVRO"), references)
        if stored.kind == "AVRO":
            self._parsed(stored)
        return stored

    def _parsed(self, stored: Stored) -> Schema:
        references = [{"subject": subject, "version": version} for _name, subject, version in stored.references]
        try:
            return Schema.parse(self_contained(stored.text, references, self._found))
        except SchemaError as error:
            raise Error(422, 42201, f"Invalid schema: {error}") from error

    def _found(self, subject: str, version: int) -> tuple[str, Sequence[Mapping[str, Any]]]:
        found = self._version(subject, str(version), {"deleted": "true"})
        return found["schema"], found.get("references", [])

    def _lookup(self, subject: str, query: Mapping[str, str], body: Any) -> dict[str, Any]:
        versions = self._required(subject, query)
        schema_id = self._ids.get(self._given(body))
        for version in reversed(versions):
            if self._subjects[subject][version] == schema_id:
                return self._version(subject, str(version), query)
        raise Error(404, 40403, "Schema not found")

    def _register(self, subject: str, body: Any) -> dict[str, Any]:
        stored = self._given(body)
        versions = self._subjects.setdefault(subject, {})
        schema_id = self._ids.get(stored)
        if schema_id is None or schema_id not in [versions[v] for v in self._versions(subject, {})]:
            problems = self._problems(subject, stored, [versions[v] for v in self._versions(subject, {})])
            if problems:
                raise Error(409, 409, f"Schema being registered is incompatible with an earlier schema: {problems}")
            schema_id = self._ids.setdefault(stored, len(self._ids) + 1)
            self._schemas[schema_id] = stored
            self._last[subject] = self._last.get(subject, 0) + 1
            versions[self._last[subject]] = schema_id
        return {"id": schema_id, **stored.document()}

    def _problems(self, subject: str, stored: Stored, ids: Sequence[int], *, every: bool = False) -> list[str]:
        level = Level(self._levels.get(subject) or self._levels.get("") or "BACKWARD")
        if stored.kind != "AVRO" or not ids:
            return []
        compared = ids if level.transitive or every else ids[-1:]
        earlier = [self._parsed(self._schemas[schema_id]) for schema_id in compared]
        return [str(p) for p in check(level, self._parsed(stored), earlier, [str(n) for n in range(len(earlier))])]

    def _delete(self, subject: str, versions: Sequence[int], query: Mapping[str, str]) -> list[int]:
        for version in versions:
            if query.get("permanent") == "true":
                if (subject, version) not in self._deleted:
                    raise Error(404, 40405, f"Subject '{subject}' was not deleted first")
                del self._subjects[subject][version]
                self._deleted.discard((subject, version))
            else:
                self._deleted.add((subject, version))
        return list(versions)

    def _config(self, method: str, subject: str, query: Mapping[str, str], body: Any) -> Any:
        if method == "PUT":
            level = str(body.get("compatibility"))
            if level not in list(Level):
                raise Error(422, 42203, "Invalid compatibility level")
            self._levels[subject] = level
            return {"compatibility": level}
        found = self._levels.get(subject)
        if found is None and (not subject or query.get("defaultToGlobal") == "true"):
            found = self._levels.get("", "BACKWARD")
        if found is None:
            raise Error(404, 40408, f"Subject '{subject}' does not have subject-level compatibility configured")
        if method == "DELETE":
            self._levels.pop(subject, None)
        return {"compatibilityLevel": found}

    def _compatible(self, subject: str, version: str | None, query: Mapping[str, str], body: Any) -> Any:
        stored = self._given(body)
        numbers = self._versions(subject, {})
        if version is not None:
            numbers = [self._version(subject, version, {})["version"]]
        ids = [self._subjects[subject][number] for number in numbers]
        problems = self._problems(subject, stored, ids, every=version is not None)
        return {"is_compatible": not problems, **({"messages": problems} if query.get("verbose") == "true" else {})}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: ConfluentRegistry

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's word)
        del format, args

    def _serve(self) -> None:
        registry = self.registry
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with registry.lock:
            registry.requests.append((self.command, self.path))
            registry.headers.append(dict(self.headers))
            fault = registry.faults.pop(0) if registry.faults else None
        if fault == "drop":
            self.close_connection = True
            return
        if isinstance(fault, bytes):
            self._send(200, fault)
            return
        try:
            if isinstance(fault, int):
                raise Error(fault, fault * 100 + 1, "injected")
            self._require_media_types()
            self._require_login()
            url = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            status, answer = 200, registry.answer(self.command, url.path, query, json.loads(body) if body else None)
        except Error as error:
            status, answer = error.status, {"error_code": error.code, "message": error.message}
        self._send(status, json.dumps(answer).encode())

    def _require_media_types(self) -> None:
        accepted = [each.split(";")[0].strip() for each in self.headers.get("Accept", "*/*").split(",")]
        if not any(each in (*MEDIA_TYPES, "*/*") for each in accepted):
            raise Error(406, 406, "HTTP 406 Not Acceptable")
        kind = self.headers.get("Content-Type")
        if kind is not None and kind.split(";")[0] not in (*MEDIA_TYPES, "application/octet-stream"):
            raise Error(415, 415, "HTTP 415 Unsupported Media Type")

    def _require_login(self) -> None:
        given = self.headers.get("Authorization")
        wanted = None
        if self.registry.login is not None:
            wanted = "Basic " + base64.b64encode(":".join(self.registry.login).encode()).decode()
        if self.registry.token is not None:
            wanted = f"Bearer {self.registry.token}"
        if given != wanted and wanted is not None:
            raise Error(401, 40101, "User not authenticated")

    def _send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", MEDIA_TYPES[0])
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 (the base class's names)


class RunningRegistry:
    """A registry that listens, and stops at the end of a `with`.

    Attributes:
        registry: what it knows.
        url: where it listens.
    """

    def __init__(self) -> None:
        self.registry = ConfluentRegistry()
        self._listen(0)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _listen(self, port: int) -> None:
        handler = type("Handler", (_Handler,), {"registry": self.registry})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._stopped = False

    def stop(self) -> None:
        """Stop listening: whoever asks is refused the connection."""
        if not self._stopped:
            self._stopped = True
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def start_again(self) -> None:
        """Listen again where it did, with what it knows."""
        assert self._stopped
        self._listen(self._server.server_address[1])
        self._thread.start()

    def __enter__(self) -> RunningRegistry:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()
