"""The ledger of a topic: which raw files were proved, which hours were found balanced, and which faults were accepted.

An appended record outlives what it speaks of: a sealed hour stays provable when the log has expired. Entries are small
files of JSON, named by their content, written once; nothing is changed or deleted.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from onepipe.audit.fault_key import FaultKey, fault_key, key_of
from onepipe.audit.verdict import Acceptance, Bucket, Finding, Kind, State, Verdict
from onepipe.errors import CorruptFile
from onepipe.lake.layout import content_hash, ledger

if TYPE_CHECKING:
    from onepipe.lake.storage import Storage

_FORMAT: Final = 1
_PROOFS: Final = "proofs"
_SEALS: Final = "seals"
_ACCEPTED: Final = "accepted"
_PLACE: Final = ("log", "partition", "offset", "writer", "sequence")


class Ledger:
    """Proofs, seals and accepted faults of one topic. Safe under several verifications at once."""

    def __init__(self, storage: Storage, topic: str) -> None:
        """Open the ledger of a topic."""
        self._storage = storage
        self._topic = topic

    def proved(self) -> set[str]:
        """Content hashes of the raw files that were proved."""
        return {content for entry in self._entries(_PROOFS) for content in entry["files"]}

    def add_proofs(self, contents: Sequence[str], at: dt.datetime) -> None:
        """Note that raw files were proved, by their content hashes."""
        if contents:
            self._append(_PROOFS, {"at": at.isoformat(), "files": sorted(contents)})

    def sealed(self) -> dict[dt.datetime, int]:
        """By hour, the records it was sealed with the last time."""
        return {
            dt.datetime.fromisoformat(hour): rows
            for entry in sorted(self._entries(_SEALS), key=lambda entry: str(entry["at"]))
            for hour, rows in entry["hours"].items()
        }

    def seal(self, verdict: Verdict) -> list[Bucket]:
        """Note the hours that a verdict found balanced, unless they are sealed with the same figures.

        Late records open an hour again: it is sealed anew with what it holds then.

        Returns:
            The hours that were sealed now.
        """
        sealed = self.sealed()
        fresh = [
            bucket
            for bucket in verdict.buckets
            if bucket.state is State.BALANCED and sealed.get(bucket.hour) != bucket.found
        ]
        if fresh and verdict.balanced:
            hours = {bucket.hour.isoformat(): bucket.found for bucket in fresh}
            self._append(_SEALS, {"at": verdict.at.isoformat(), "level": verdict.level, "hours": hours})
            return fresh
        return []

    def accepted(self) -> dict[FaultKey, Acceptance]:
        """Faults of the log's hop that were accepted, by what they are known again; of several the first one."""
        accepted: dict[FaultKey, Acceptance] = {}
        for entry in sorted(self._entries(_ACCEPTED), key=lambda entry: str(entry["at"])):
            acceptance = Acceptance(entry["reason"], entry["by"], dt.datetime.fromisoformat(entry["at"]))
            for fault in entry["findings"]:
                key = fault_key(Kind(fault["kind"]), *(fault[name] for name in _PLACE))
                if key is not None:
                    accepted.setdefault(key, acceptance)
        return accepted

    def accept(self, findings: Sequence[Finding], acceptance: Acceptance) -> None:
        """Note that findings of the log's hop were accepted."""
        told = [
            {"kind": each.kind.value, **{name: getattr(each, name) for name in _PLACE}}
            for each in sorted(findings, key=lambda finding: str(key_of(finding)))
        ]
        self._append(_ACCEPTED, {**acceptance.to_json(), "findings": told})

    def _entries(self, kind: str) -> list[dict[str, Any]]:
        """The readable entries of a kind; one whose content does not fit its name says nothing."""
        entries = []
        for file in list(self._storage.list(f"{ledger(self._topic)}/{kind}")):
            try:
                data = self._storage.read(file.path)
            except CorruptFile:
                continue
            if file.path.endswith(f"/{content_hash(data)}.json"):
                entry = json.loads(data)
                if entry["format"] == _FORMAT:
                    entries.append(entry)
        return entries

    def _append(self, kind: str, entry: dict[str, Any]) -> None:
        data = json.dumps({"format": _FORMAT, "topic": self._topic, **entry}, separators=(",", ":")).encode()
        self._storage.write_new(f"{ledger(self._topic)}/{kind}/{content_hash(data)}.json", data)
