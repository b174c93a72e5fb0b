"""By what a fault of the log's hop is known again in a later verification.

It rests on nothing that depends on how much is known: a lost record is known by its writer and sequence, as its offset
may be learned later; any other fault by its offset. A fault that turns into one of another kind is another fault.
"""

from __future__ import annotations

from typing import TypeAlias

from onepipe.audit.verdict import Finding, Kind

FaultKey: TypeAlias = tuple[Kind, str, int, str | None, int]
"""What makes two faults of one log's hop the same: kind, log, partition, writer and sequence, or None and offset."""


def fault_key(
    kind: Kind, log: str | None, partition: int | None, offset: int | None, writer: str | None, sequence: int | None
) -> FaultKey | None:
    """By what a fault is known again; None where too little is known of it.

    Args:
        kind: how the record differs.
        log: identity of the log.
        partition: number of its partition.
        offset: its offset, where known.
        writer: epoch of its writer, hexadecimal, where known.
        sequence: its number among that writer's records of the partition.
    """
    if log is None or partition is None:
        return None
    if kind is Kind.LOST and writer is not None and sequence is not None:
        return kind, log, partition, writer, sequence
    return None if offset is None else (kind, log, partition, None, offset)


def key_of(finding: Finding) -> FaultKey | None:
    """By what a finding is known again; None where too little is known of it."""
    return fault_key(finding.kind, finding.log, finding.partition, finding.offset, finding.writer, finding.sequence)
