// Where an agent's lanes are kept. A file is in `@tallystick/x402/node`; this is what any of them must do.

/** One thing that happened to a lane, as it is kept: one line of JSON. */
export type Line =
  /** A payment was signed: the lane's total is `total` if the seller hands it in. `most` where more was signed before. */
  | { sign: string; at: LaneName; amount: string; total: string; most?: string; paid?: boolean; void?: boolean }
  /** The engine holds `held` for the lane; by its answer to the payment `paid`. */
  | { held: string; at: LaneName; paid?: string }
  /** This payment was not charged, and never can be. */
  | { void: string }
  /** Of a payment whose channel is over: its request is not paid anew, unless it was not charged. */
  | { over: string; paid?: true; void?: true }
  /** What was signed on channels that are over, in units of an asset: budgets go on counting it. */
  | { gone: string; asset: number };

/** Payee, asset, expiry, lane. */
export type LaneName = [payee: string, asset: number, expiresAt: string, lane: string];

/** The Python package keeps the same lines: one goes on where the other stopped. */
export interface LaneStore {
  /** For whom the lanes are kept: another key or network is another file. Takes the store for this process alone. */
  open(owner: { network: string; signer: string }): Promise<Line[]>;
  /** Resolves once the line is durable: a voucher leaves only then. */
  append(line: Line): Promise<void>;
  /** May be lost in a crash: it can be asked for again. */
  note(line: Line): void;
  /** Keeps these lines in place of all others. */
  rewrite(lines: Line[]): Promise<void>;
  close(): Promise<void>;
}

/** Keeps nothing: after a crash new lanes are begun, and what the old ones were paid stays paid. For a try-out. */
export function memoryLanes(): LaneStore {
  return {
    open: async () => [],
    append: async () => {},
    note: () => {},
    rewrite: async () => {},
    close: async () => {},
  };
}
