// Every error of this package says what is wrong and what to do.

/** Something is set, or was asked for, that cannot work. */
export class TallystickError extends Error {
  override name = "TallystickError";
}

/** A budget of this agent does not allow the payment. Nothing was signed. */
export class BudgetError extends TallystickError {
  override name = "BudgetError";
}

/**
 * The answer to a paid request is lost, so nobody here knows whether it was paid. `resend()` sends the very same
 * payment once more: it is charged once, whatever became of the first.
 */
export class PaymentInDoubtError extends TallystickError {
  override name = "PaymentInDoubtError";
  readonly resend: () => Promise<Response>;

  constructor(message: string, resend: () => Promise<Response>, cause: unknown) {
    super(message, { cause });
    this.resend = resend;
  }
}

/**
 * The request of this key was paid, or may have been, on a channel that has expired since. Nobody can be asked about it any
 * more, so it is not paid again: look into the seller's books or your statement, and take another key to pay once more.
 */
export class PaymentOverError extends TallystickError {
  override name = "PaymentOverError";
  /** Whether it is known that it was paid. */
  readonly paid: boolean;

  constructor(key: string, paid: boolean) {
    const what = paid ? "was paid" : "may have been paid";
    const hint = paid ? "" : ", and nobody can be asked about it any more: look into the seller's books or your statement";
    super(`the request ${key} ${what}, on a channel that has expired since${hint}. It is not paid again; to pay once more take another key`);
    this.paid = paid;
  }
}
