"""Undelivered records: those that were not acknowledged, until somebody was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onepipe.errors import DeliveryError

if TYPE_CHECKING:
    from onepipe.publishing.receipt import Receipt


class Undelivered:
    """The receipts of records that were not acknowledged, and that nobody asked for yet. Thread-safe."""

    def __init__(self) -> None:
        self._receipts: dict[int, Receipt] = {}

    def add(self, receipt: Receipt) -> None:
        """Keep a receipt until somebody is told of it."""
        self._receipts[id(receipt)] = receipt

    def observed(self, receipt: Receipt) -> None:
        """Somebody asked this receipt, and so knows."""
        self._receipts.pop(id(receipt), None)

    def raise_all(self) -> None:
        """Tell of all that are left, at once.

        Raises:
            DeliveryError: there are some; says how many, and why the first was not delivered.
        """
        failed = list(self._receipts.values())
        self._receipts.clear()
        if not failed:
            return
        first = failed[0]
        raise DeliveryError(
            f"{len(failed)} records were not delivered, the first because: {first.error}",
            topic=first.topic,
            partition=first.partition,
            indeterminate=any(isinstance(r.error, DeliveryError) and r.error.indeterminate for r in failed),
            remedy="their receipts tell each one's reason; publish them again",
        ) from first.error
