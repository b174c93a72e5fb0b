"""Accepting findings: faults of the log that nothing can mend alarm no longer, once someone has said why.

What a log lost stays lost, so that a topic would be short for ever. Whoever has looked at the findings accepts exactly
these, with a reason that the ledger keeps. Each later verdict shows them with it, and its state follows from whatever
is beyond them. Only faults of the log's hop are accepted: files can be restored, and clean tables made anew.
"""

from __future__ import annotations

import datetime as dt
import getpass
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from onepipe.audit.fault_key import key_of
from onepipe.audit.ledger import Ledger
from onepipe.audit.verdict import Acceptance, Finding, Hop, Kind, Verdict
from onepipe.errors import ConfigurationError

if TYPE_CHECKING:
    from onepipe.lake import Lake

_MOST_REASON: Final = 1000


def accept(
    lake: Lake,
    what: Verdict | Iterable[Finding],
    *,
    reason: str,
    by: str | None = None,
    at: dt.datetime | None = None,
) -> tuple[Finding, ...]:
    """Accept findings: note in the lake's ledger who did, when and why.

    Args:
        lake: whose ledger to write.
        what: a verdict, all of whose findings are accepted, or some findings.
        reason: why they are accepted; 1 to 1000 characters.
        by: who accepts them; the name of the process's user where None.
        at: when; the wall clock's present moment where None.

    Returns:
        The findings that were accepted now; those that had been accepted before are left as they are.

    Raises:
        ConfigurationError: no reason, nothing that is a finding, or one that cannot be accepted; nothing is noted then.
    """
    acceptance = Acceptance(_reason(reason), by or _user(), at or dt.datetime.now(dt.UTC))
    wanted = [_acceptable(finding) for finding in _findings(what) if finding.accepted is None]
    accepted: list[Finding] = []
    for topic in dict.fromkeys(finding.topic for finding in wanted):
        ledger = Ledger(lake.storage, topic)
        known = ledger.accepted()
        fresh = [each for each in wanted if each.topic == topic and key_of(each) not in known]
        if fresh:
            ledger.accept(fresh, acceptance)
        accepted += fresh
    return tuple(accepted)


def findings_in(document: Any) -> list[Finding]:
    """The findings in a verdict's JSON value, as far as accepting them needs.

    Raises:
        ConfigurationError: it is no such value.
    """
    try:
        return [_finding(each) for each in document["findings"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError("this is no verdict as JSON", remedy="onepipe verify TOPIC --json") from error


def _finding(document: Mapping[str, Any]) -> Finding:
    names = ("topic", "partition", "offset", "identity", "writer", "sequence", "log")
    accepted = document["accepted"]
    numbers = (document[name] for name in ("partition", "offset", "sequence"))
    texts = (document[name] for name in ("writer", "log"))
    if not isinstance(document["topic"], str) or not all(isinstance(each, str | None) for each in texts):
        raise ValueError("text wanted")
    if not all(isinstance(each, int | None) for each in numbers):
        raise ValueError("numbers wanted")
    return Finding(
        Kind(document["kind"]),
        Hop(document["hop"]),
        **{name: document[name] for name in names},
        accepted=accepted and Acceptance(**{**accepted, "at": dt.datetime.fromisoformat(accepted["at"])}),
    )


def _findings(what: Verdict | Iterable[Finding]) -> tuple[Finding, ...]:
    findings = what.findings if isinstance(what, Verdict) else what
    if isinstance(findings, Iterable):
        found = tuple(findings)
        if all(isinstance(each, Finding) for each in found):
            return found
    raise ConfigurationError(f"{type(what).__name__} is neither a verdict nor findings", remedy="pipe.verify(…)")


def _acceptable(finding: Finding) -> Finding:
    if finding.hop is not Hop.LOG:
        mend = "restore its file from a copy of the lake" if finding.hop is Hop.RAW else "dedup with rebuild=True"
        raise ConfigurationError(
            f"a record {finding.kind} at the {finding.hop} hop is not accepted, as that can be mended",
            topic=finding.topic,
            partition=finding.partition,
            offset=finding.offset,
            remedy=mend,
        )
    if key_of(finding) is None:
        message = f"a record {finding.kind} without log and place cannot be known again"
        raise ConfigurationError(message, topic=finding.topic, remedy="give findings of a verdict")
    return finding


def _reason(reason: object) -> str:
    if not isinstance(reason, str) or not 0 < len(reason.strip()) <= _MOST_REASON:
        raise ConfigurationError(f"the reason is a text of 1 to {_MOST_REASON} characters", remedy='reason="…"')
    return reason.strip()


def _user() -> str:
    """The name of the process's user, as far as the system knows it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # what it raises differs between releases of Python
        return "unknown"
