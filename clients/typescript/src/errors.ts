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
