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


class PaymentOverError(TallystickError):
    """The request of this key was paid, or may have been, on a channel that has expired since. Nobody can be asked about it
    any more, so it is not paid again: look into the seller's books or your statement, and take another key to pay once
    more."""

    def __init__(self, key: str, paid: bool) -> None:
        what = "was paid" if paid else "may have been paid"
        hint = "" if paid else ", and nobody can be asked about it any more: look into the seller's books or your statement"
        super().__init__(f"the request {key} {what}, on a channel that has expired since{hint}. It is not paid again; to pay "
                         "once more take another key")
        self.paid = paid
