"""Verdicts: what verification says of a topic, by hop and by hour, and each record that differs by name."""

from __future__ import annotations

import datetime as dt
import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs


class Hop(enum.StrEnum):
    """A step on a record's way; its figures compare what came out of the step before with what is in it."""

    PRODUCER = "producer"
    """What the application published, against what the log acknowledged to it."""
    LOG = "log"
    """What the log acknowledged, against what the archive read from it."""
    RAW = "raw"
    """What the archive read, against what the raw table's files hold now."""
    CLEAN = "clean"
    """What the raw table holds, against what the clean table says it stands for."""


class State(enum.StrEnum):
    """What is known of a hop or a bucket, from good to bad."""

    BALANCED = "balanced"
    """Counts and digests agree."""
    NOT_COVERED = "not covered"
    """Its writers leave no evidence, so nothing can be said."""
    OPEN = "open"
    """Something is still under way; what has settled agrees."""
    UNKNOWN = "unknown"
    """Evidence that should be there is missing."""
    ALTERED = "altered"
    """As many records as there should be, but not the same ones."""
    OVER = "over"
    """More records than there should be."""
    SHORT = "short"
    """Fewer records than there should be."""

    @property
    def is_fault(self) -> bool:
        """Whether records are known to differ."""
        return self in (State.ALTERED, State.OVER, State.SHORT)


def worst(states: Sequence[State]) -> State:
    """The worst of some states; balanced where there is none."""
    order = list(State)
    return max(states, key=order.index, default=State.BALANCED)


class Kind(enum.StrEnum):
    """How a record differs."""

    LOST = "lost"
    REPEATED = "repeated"
    ALTERED = "altered"


FAULT_STATES: Mapping[Kind, State] = {
    Kind.LOST: State.SHORT,
    Kind.REPEATED: State.OVER,
    Kind.ALTERED: State.ALTERED,
}


@attrs.frozen
class Acceptance:
    """That a finding is known, and alarms no longer; see `onepipe.audit.accepted`.

    Attributes:
        reason: why it was accepted.
        by: who accepted it.
        at: when.
    """

    reason: str
    by: str
    at: dt.datetime

    def __str__(self) -> str:
        return f"accepted {self.at:%Y-%m-%d} by {self.by}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """The acceptance as JSON value."""
        return {"reason": self.reason, "by": self.by, "at": self.at.isoformat()}


@attrs.frozen
class Finding:
    """One record that differs, by name.

    Attributes:
        kind: lost, repeated or altered.
        hop: where it happened.
        topic: name of the topic.
        partition: number of its partition.
        offset: its offset; of a repeated record, that of the repetition. None where no evidence tells it.
        identity: values of its identity by field, where a copy or a manifest tells them.
        writer: epoch of its writer, hexadecimal; None for foreign writers.
        sequence: its number among that writer's records of the partition.
        file: path in the lake of the file it is or was in, where it is a matter of a file.
        detail: what exactly differs, without values.
        log: identity of the log whose partition it is; None of a clean row.
        accepted: who accepted it, when and why; None where nobody did.
    """

    kind: Kind
    hop: Hop
    topic: str
    partition: int | None
    offset: int | None
    identity: Mapping[str, Any] | None
    writer: str | None = None
    sequence: int | None = None
    file: str | None = None
    detail: str = ""
    log: str | None = None
    accepted: Acceptance | None = None

    @property
    def place(self) -> str:
        """What happened, at which hop, and where, as text."""
        where = "" if self.partition is None else f", partition {self.partition}"
        offset = "" if self.offset is None else f", offset {self.offset}"
        return f"{self.kind} at the {self.hop} hop: {self.topic}{where}{offset}"

    @property
    def who(self) -> str:
        """The record's identity as text; where that is not known, its writer and sequence."""
        if self.identity:
            return ", ".join(f"{name}={_text(value)}" for name, value in self.identity.items())
        if self.writer is not None:
            return f"identity unknown, sequence {self.sequence} of writer {self.writer[:8]}"
        return "identity unknown"

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.place} ({self.who}){detail}"


@attrs.frozen
class Bucket:
    """Figures of one hour of message time.

    Attributes:
        hour: its beginning, UTC.
        expected: records the hop before says there are.
        found: records this hop holds.
        state: what follows from counts and digests.
    """

    hour: dt.datetime
    expected: int
    found: int
    state: State


@attrs.frozen
class DamagedFile:
    """A file of the lake that is not what was written.

    Attributes:
        path: path in the lake.
        why: what is wrong with it; reads on after "it".
    """

    path: str
    why: str


@attrs.frozen
class HopVerdict:
    """What is known of one hop.

    Attributes:
        hop: which.
        state: the worst of what was found.
        expected: records that should be there; None where no evidence tells.
        found: records that are there.
        in_flight: records on their way, neither there nor missing yet.
        notes: what else there is to say: tails of writers that died, evidence that is missing, …
        damaged: files of this hop that are not what was written.
    """

    hop: Hop
    state: State
    expected: int | None
    found: int
    in_flight: int = 0
    notes: tuple[str, ...] = ()
    damaged: tuple[DamagedFile, ...] = ()


@attrs.frozen
class Equation:
    """What became of every record: `published == stored + superseded + repeated + quarantined + in_flight + accepted`.

    Each record of the raw table counts once. Where faults are found, what was removed is missing on the right, and
    what is there twice counts twice.

    Attributes:
        published: records that the log acknowledged to their writers, and those that are there without; None where
            evidence does not tell all of them, as where others than onepipe write.
        stored: rows of the clean table, deleted ones included, for which the raw table holds an arrival; of a topic
            that is not merged, the raw table's good rows.
        superseded: different records and deletes of an identity beyond the first.
        repeated: rows that repeat an earlier one of their identity, digest for digest; None where no row was read to
            tell them, as at the level "accounted" where all is well: `superseded` holds them then.
        quarantined: rows that are kept with an error, and not merged.
        in_flight: records that were acknowledged and not archived yet, or archived and not merged yet.
        accepted: records that the log lost, less those it repeated, as far as these faults were accepted.
    """

    published: int | None
    stored: int
    superseded: int
    repeated: int | None
    quarantined: int
    in_flight: int
    accepted: int = 0

    @property
    def accounted(self) -> int:
        """The sum of the right side."""
        fates = self.stored, self.superseded, self.repeated or 0, self.quarantined, self.in_flight, self.accepted
        return sum(fates)

    @property
    def difference(self) -> int | None:
        """How many more records were published than are accounted for; None where it is unknown how many were."""
        return None if self.published is None else self.published - self.accounted

    @property
    def state(self) -> State:
        """Balanced unless the equation is known not to hold."""
        if not self.difference:
            return State.BALANCED
        return State.SHORT if self.difference > 0 else State.OVER

    def to_json(self) -> dict[str, Any]:
        """The equation as JSON value."""
        return {**attrs.asdict(self), "difference": self.difference}

    def __str__(self) -> str:
        published = "unknown" if self.published is None else f"{self.published:,}"
        beyond = [f"superseded {self.superseded:,}", f"repeated {self.repeated or 0:,}"]
        if self.repeated is None:
            beyond = [f"superseded or repeated {self.superseded:,}"]
        terms = [
            f"stored {self.stored:,}",
            *beyond,
            f"quarantined {self.quarantined:,}",
            f"in flight {self.in_flight:,}",
        ]
        if self.accepted:
            terms.append(f"accepted {self.accepted:,}")
        text = f"published {published} = {' + '.join(terms)}"
        if not self.difference:
            return text
        return f"{text}; does not hold: {abs(self.difference):,} too {'few' if self.difference > 0 else 'many'}"


@attrs.frozen
class Verdict:
    """What verification says of a topic.

    Attributes:
        topic: name of the topic.
        level: how deep it looked: "accounted", "proved" or "deep".
        at: when.
        hops: by hop, in order.
        findings: every record that differs, in order of hop, partition and offset.
        buckets: by hour of message time, what the log acknowledged against what the raw table holds.
        figures: counts by name: `raw_rows`, `quarantined` among them, and of a topic that is merged `clean_rows`.
        equation: what became of every record.
    """

    topic: str
    level: str
    at: dt.datetime
    hops: tuple[HopVerdict, ...]
    findings: tuple[Finding, ...]
    buckets: tuple[Bucket, ...]
    figures: Mapping[str, int]
    equation: Equation

    @property
    def state(self) -> State:
        """The worst of the hops and the equation; not covered where no evidence tells what the log should hold.

        A producer's hop that is not covered counts only where the log's is not covered either.
        """
        covered = any(hop.hop is Hop.LOG and hop.state is not State.NOT_COVERED for hop in self.hops)
        hops = [hop for hop in self.hops if not (covered and hop.state is State.NOT_COVERED)]
        return worst([*(hop.state for hop in hops), self.equation.state])

    @property
    def accepted(self) -> int:
        """How many findings were accepted; they stay among the findings, and no state follows from them."""
        return sum(finding.accepted is not None for finding in self.findings)

    @property
    def balanced(self) -> bool:
        """Whether the log's hop is covered, and all that is covered is balanced but for what was accepted."""
        return self.state is State.BALANCED

    @property
    def sound(self) -> bool:
        """Whether nothing is known to be wrong but what was accepted: no record differs, and no file is damaged.

        So it is for balanced topics, those that are not covered, and those of which something is open or unknown.
        """
        return not self.state.is_fault

    def faults(self, hop: Hop) -> dict[Kind, int]:
        """By kind, in the order of `Kind`, how many records differ at a hop."""
        kinds = Counter(finding.kind for finding in self.findings if finding.hop is hop)
        return {kind: kinds[kind] for kind in Kind}

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON value."""
        return {
            "topic": self.topic,
            "verdict": self.state.value,
            "level": self.level,
            "at": self.at.isoformat(),
            "hops": [self._hop_json(hop) for hop in self.hops],
            "findings": [_finding_json(finding) for finding in self.findings],
            "buckets": [{**attrs.asdict(b), "hour": b.hour.isoformat()} for b in self.buckets],
            "figures": dict(self.figures),
            "equation": self.equation.to_json(),
        }

    def _hop_json(self, hop: HopVerdict) -> dict[str, Any]:
        return {**attrs.asdict(hop), "faults": {kind.value: count for kind, count in self.faults(hop.hop).items()}}

    def __str__(self) -> str:
        from onepipe.audit.report import text_report

        return text_report(self)

    def _repr_html_(self) -> str:
        from onepipe.audit.report_html import html_report

        return html_report(self)


def _finding_json(finding: Finding) -> dict[str, Any]:
    identity = finding.identity and {name: _text(value) for name, value in finding.identity.items()}
    accepted = finding.accepted and finding.accepted.to_json()
    return {**attrs.asdict(finding, recurse=False), "identity": identity, "accepted": accepted}


def _text(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)
