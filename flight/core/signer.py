"""Signs receipts: opens the receipt key, says what became of it, and seals each receipt before it is journalled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flight.core.moment import Moment
from flight.core.reporter import Reporter
from flight.errors import KeyRefused
from flight.store.receipt_key import ReceiptKey
from spacelink.receipts import NO_KEY_ID, NO_SIGNATURE, signed_bytes


class Signer:
    """Without a key receipts go out unsigned, and an event says so: an answer is worth more than its seal."""

    def __init__(self, data: Path) -> None:
        self._key: ReceiptKey | None = None
        self._aside: str | None = None
        self._trouble = ""
        try:
            self._key, self._aside = ReceiptKey.open(data)
        except KeyRefused as refusal:
            self._trouble = str(refusal)

    def start(self, reporter: Reporter, now: Moment) -> None:
        """The events of the start."""
        if self._key is not None and self._aside is not None:
            said = {"file": self._aside, "key_id": self._key.id.hex()}
            reporter.event("store.receipt_key_replaced", said, now)
        elif self._key is None:
            reporter.event("store.receipt_key_missing", {"detail": self._trouble.removesuffix(".")}, now)

    def seal(self, receipt: Mapping[str, Any]) -> dict[str, Any]:
        """The receipt with key id and signature; both zeros where nobody can sign."""
        if self._key is not None:
            for _ in range(2):  # the key's id is signed too, and changes when the key is read again
                word = {**receipt, "key_id": self._key.id}
                signature = self._key.sign(signed_bytes({**word, "signature": NO_SIGNATURE}))
                if signature is not None and word["key_id"] == self._key.id:
                    return {**word, "signature": signature}
        return {**receipt, "key_id": NO_KEY_ID, "signature": NO_SIGNATURE}
