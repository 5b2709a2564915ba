"""Every error of this package says what is wrong and what to do."""
from __future__ import annotations


class TallystickError(Exception):
    """Something is set, or was asked for, that cannot work."""


class BudgetError(TallystickError):
    """A budget of this agent does not allow the payment. Nothing was signed."""


class PaymentInDoubtError(TallystickError):
    """The answer to a paid request is lost, so nobody here knows whether it was paid. Send the request again with the same
    `payment_id`: it is the very same payment then, and charged once, whatever became of the first."""

    def __init__(self, text: str, payment_id: str) -> None:
        super().__init__(text)
        self.payment_id = payment_id
