// Lanes: an agent's channels to each payee, so that its requests run side by side.
//
// A lane is out for one payment at a time, since a voucher's total must be the engine's total plus exactly the price. What
// the engine holds is `held`, what was signed at most is `most`. When the answer to a payment is lost, its lane is in
// doubt: the engine is asked before it is used again. Lanes begin at random numbers, so that one which was begun by
// another process, or forgotten, is never met again.
//
// A payment is charged only while its channel's total is what it builds on (its total less its amount), and totals never
// fall. So of payments that build on one total of one lane, rivals, at most one is ever charged; and while that is still the
// total, each of them can be. That is what `isVoid` goes by.
import { TallystickError } from "./errors.js";
import type { LaneName, LaneStore, Line } from "./store.js";
import type { Channel } from "./voucher.js";

const DAY = 86_400n;
/** Channels live this long, rounded up to a whole day. */
const LIFE_DAYS = 7n;
/** How many payments are remembered by their identifiers, so that one which is asked for again is not made again. */
const REMEMBERED = 20_000;
/** Once this many lines were added, the store is written anew. */
const LINES = 100_000;

export interface Lane extends Channel {
  held: bigint;
  most: bigint;
  state: "free" | "out" | "doubt" | "left";
  last?: Payment;
}

/** One payment, under its identifier. */
export interface Payment {
  id: string;
  lane: Lane;
  amount: bigint;
  /** What the lane's total is once it is paid. */
  total: bigint;
  /** When an answer is waited for no longer, in milliseconds. */
  until: number;
  /** It was charged: the engine's answer to it said so. */
  paid?: boolean;
  /** It was not charged, and never can be. */
  void?: boolean;
}

/** What is known of a payment whose channel is over. */
export interface Over {
  paid: boolean;
  void: boolean;
}

/** The total that a payment builds on. */
export function base({ total, amount }: Payment): bigint {
  return total - amount;
}

/** Asks the engine what it holds for lanes. */
export type Ask = (lanes: Lane[]) => Promise<bigint[]>;

export interface LaneOptions {
  /** How many lanes to one payee at most. */
  max: number;
  ask?: Ask | undefined;
  now?: () => number;
}

export class Lanes {
  readonly #store: LaneStore;
  readonly #max: number;
  readonly #ask: Ask | undefined;
  readonly #now: () => number;
  readonly #pools = new Map<string, Lane[]>();
  readonly #payments = new Map<string, Payment>();
  readonly #waiting: (() => void)[] = [];
  readonly #gone = new Map<number, bigint>();
  readonly #over = new Map<string, Over>();
  #asking: Promise<void> | undefined;
  #lines = 0;

  private constructor(store: LaneStore, { max, ask, now = Date.now }: LaneOptions) {
    this.#store = store;
    this.#max = max;
    this.#ask = ask;
    this.#now = now;
  }

  /** Takes up what is kept. Lanes whose last payment has no known end are in doubt. */
  static async open(store: LaneStore, owner: { network: string; signer: string }, options: LaneOptions): Promise<Lanes> {
    const lanes = new Lanes(store, options);
    for (const line of await store.open(owner)) lanes.#replay(line);
    lanes.#forgetExpired();
    await store.rewrite(lanes.#snapshot());
    return lanes;
  }

  /** What was signed in an asset, over all lanes: what sellers could hand in, so what a budget counts. */
  signed(asset: number): bigint {
    let sum = this.#gone.get(asset) ?? 0n;
    for (const pool of this.#pools.values()) {
      for (const lane of pool) if (lane.asset === asset) sum += lane.most;
    }
    return sum;
  }

  /** The payment of this identifier, if it is remembered. */
  payment(id: string): Payment | undefined {
    return this.#payments.get(id);
  }

  /** What is known of a payment whose channel is over, if it is remembered. */
  over(id: string): Over | undefined {
    return this.#over.get(id);
  }

  /**
   * A lane to a payee, its next payment made durable. `allow` is asked how much more would be signed, at the moment when
   * that is certain; it throws if it must not be.
   */
  async take(
    payee: string,
    asset: number,
    amount: bigint,
    id: string,
    seconds: number,
    allow: (more: bigint) => void,
    again?: Lane,
  ): Promise<Payment> {
    const lane = again ?? (await this.#free(payee, asset, seconds));
    const total = lane.held + amount;
    const most = total > lane.most ? total : lane.most;
    try {
      if (total >> 64n) throw new TallystickError("the lane's total would not fit into 64 bits: choose another payee");
      allow(most - lane.most);
    } catch (error) {
      lane.state = "free";
      this.#wake();
      throw error;
    }
    const payment = { id, lane, amount, total, until: this.#now() + (seconds + 30) * 1000 };
    lane.most = most;
    lane.last = payment;
    this.#remember(payment);
    try {
      await this.#append(signLine(payment));
    } catch (error) {
      // Perhaps it is kept, perhaps not: nothing left either way.
      this.#payments.delete(id);
      lane.state = "free";
      this.#wake();
      throw error;
    }
    return payment;
  }

  /** The payment is being sent again, the very same. */
  again(payment: Payment, seconds: number): void {
    payment.until = this.#now() + (seconds + 30) * 1000;
    this.keep(payment);
  }

  /** Keeps the payment's lane out for what follows it, if no other payment has taken it. */
  keep(payment: Payment): boolean {
    if (payment.lane.last !== payment || payment.lane.state === "left") return false;
    payment.lane.state = "out";
    return true;
  }

  /** The engine holds this much for a lane. */
  learn(lane: Lane, held: bigint): void {
    if (held > lane.held) lane.held = held;
    if (held > lane.most) lane.most = held;
  }

  /** What is known now: the engine holds `held` for the payment's lane, which is free with that. */
  known(payment: Payment, held: bigint): void {
    this.learn(payment.lane, held);
    this.#freeAgain(payment, {});
  }

  /** The payment was charged: the engine's answer to it said so. */
  paid(payment: Payment): void {
    payment.paid = true;
    this.learn(payment.lane, payment.total);
    this.#freeAgain(payment, { paid: payment.id });
  }

  /**
   * Whether it is certain that the payment was not charged and never can be, so that its request may be paid anew.
   * `isRefused`: the engine has just answered `stale_voucher` to it, so nothing was charged under its identifier.
   */
  isVoid(payment: Payment, isRefused = false): boolean {
    if (payment.void || !this.#cannotCount(payment, isRefused)) return payment.void ?? false;
    payment.void = true;
    this.#note({ void: payment.id });
    return true;
  }

  #cannotCount(payment: Payment, isRefused: boolean): boolean {
    const { lane } = payment;
    // While the total is what it builds on, a copy of it that is still on its way can be charged.
    if (payment.void || payment.paid || lane.held <= base(payment)) return payment.void ?? false;
    const rivals = [...this.#payments.values()].filter(
      (one) => one !== payment && one.lane === lane && base(one) === base(payment),
    );
    // The total passed what it builds on without reaching it, or by a rival. Where only the engine's answer, which a seller
    // hands on, says that it was a rival: one must be left that it can have been, so that of several that are called stale,
    // one is never paid anew.
    return (
      lane.held < payment.total ||
      rivals.some((one) => one.paid) ||
      (isRefused && rivals.some((one) => !one.void && one.total <= lane.held))
    );
  }

  /** Nobody knows what became of the payment. */
  doubt({ lane, id }: Payment): void {
    if (lane.last?.id === id && lane.state !== "left") lane.state = "doubt";
    this.#wake();
  }

  /** The lane is never used again: somebody else pays on it, or says so. */
  leave(lane: Lane): void {
    lane.state = "left";
    this.#wake();
  }

  /** Asks what the engine holds of one lane. Undefined where it cannot be asked. */
  async held(lane: Lane): Promise<bigint | undefined> {
    try {
      return (await this.#ask?.([lane]))?.[0];
    } catch {
      return undefined;
    }
  }

  /** Asks after all lanes in doubt, once at a time. */
  settleDoubts(): Promise<void> {
    this.#asking ??= this.#askDoubts().finally(() => {
      this.#asking = undefined;
      this.#wake();
    });
    return this.#asking;
  }

  /** How many lanes there are in each state. */
  count(): Record<Lane["state"], number> {
    const count = { free: 0, out: 0, doubt: 0, left: 0 };
    for (const pool of this.#pools.values()) for (const lane of pool) count[lane.state] += 1;
    return count;
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  #freeAgain(payment: Payment, more: { paid?: string }): void {
    const { lane } = payment;
    // A lane that is out for another payment by now stays out.
    const isOver = lane.last === payment && lane.state !== "left";
    if (isOver) lane.state = "free";
    if (isOver || more.paid) this.#note({ held: lane.held.toString(), at: nameOf(lane), ...more });
    this.#wake();
  }

  async #free(payee: string, asset: number, seconds: number): Promise<Lane> {
    for (;;) {
      const pool = this.#pool(payee, asset, seconds);
      // The one used last: few lanes stay few.
      const free = pool.lanes.findLast((lane) => lane.state === "free");
      if (free) {
        free.state = "out";
        return free;
      }
      this.#giveUpWaiting();
      const inDoubt = pool.lanes.some((lane) => lane.state === "doubt");
      const used = pool.lanes.filter((lane) => lane.state !== "left").length;
      if (inDoubt && this.#ask && used >= this.#max) {
        await this.settleDoubts();
        if (pool.lanes.some((lane) => lane.state === "free")) continue;
      } else if (inDoubt && this.#ask) {
        void this.settleDoubts();
      }
      // Lanes in doubt that nobody can be asked about do not count: they are over when they expire.
      const busy = this.#ask ? used : pool.lanes.filter((lane) => lane.state === "out").length;
      if (busy < this.#max) {
        const lane: Lane = { payee, asset, expiresAt: pool.expiresAt, lane: random(), held: 0n, most: 0n, state: "out" };
        pool.lanes.push(lane);
        return lane;
      }
      await this.#room();
    }
  }

  /** The lanes that last long enough; new ones where there are none. */
  #pool(payee: string, asset: number, seconds: number): { lanes: Lane[]; expiresAt: bigint } {
    const now = BigInt(Math.floor(this.#now() / 1000));
    const enough = now + BigInt(seconds) + 120n;
    let best: bigint | undefined;
    for (const [first] of this.#pools.values()) {
      if (first?.payee !== payee || first.asset !== asset || first.expiresAt < enough) continue;
      if (best === undefined || first.expiresAt > best) best = first.expiresAt;
    }
    const expiresAt = best ?? (now / DAY + LIFE_DAYS + 1n) * DAY;
    const key = `${payee} ${asset} ${expiresAt}`;
    let lanes = this.#pools.get(key);
    if (!lanes) this.#pools.set(key, (lanes = []));
    return { lanes, expiresAt };
  }

  /** Payments whose answer never came: their lanes are in doubt. */
  #giveUpWaiting(): void {
    const now = this.#now();
    for (const pool of this.#pools.values()) {
      for (const lane of pool) if (lane.state === "out" && lane.last && lane.last.until < now) lane.state = "doubt";
    }
  }

  async #askDoubts(): Promise<void> {
    const lanes = [...this.#pools.values()].flat().filter((lane) => lane.state === "doubt");
    if (!this.#ask || !lanes.length) return;
    let held: bigint[];
    try {
      held = await this.#ask(lanes);
    } catch {
      return; // they stay in doubt
    }
    lanes.forEach((lane, at) => {
      if (lane.state === "doubt" && lane.last) this.known(lane.last, held[at] ?? lane.held);
    });
  }

  /** Waits until a lane may have come back, or an answer is waited for no longer. */
  async #room(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      timer = setTimeout(resolve, 1000);
    });
    clearTimeout(timer);
  }

  #wake(): void {
    this.#waiting.splice(0).forEach((resolve) => resolve());
  }

  #remember(payment: Payment): void {
    this.#payments.set(payment.id, payment);
    if (this.#payments.size <= REMEMBERED) return;
    for (const [id, old] of this.#payments) {
      if (old.lane.last === old) continue; // what a lane begins with after a crash
      this.#payments.delete(id);
      return;
    }
  }

  async #append(line: Line): Promise<void> {
    this.#lines += 1;
    if (this.#lines > LINES) {
      this.#lines = 0;
      this.#forgetExpired();
      await this.#store.rewrite(this.#snapshot());
      return; // the snapshot holds the line
    }
    await this.#store.append(line);
  }

  #note(line: Line): void {
    this.#lines += 1;
    this.#store.note(line);
  }

  #replay(line: Line): void {
    if ("gone" in line) {
      this.#gone.set(line.asset, (this.#gone.get(line.asset) ?? 0n) + BigInt(line.gone));
      return;
    }
    if ("over" in line) {
      this.#keepOver(line.over, { paid: line.paid ?? false, void: line.void ?? false });
      return;
    }
    if (!("at" in line)) {
      const payment = this.#payments.get(line.void);
      if (payment) payment.void = true;
      return;
    }
    const lane = this.#named(line.at);
    if ("held" in line) {
      this.learn(lane, BigInt(line.held));
      const paid = this.#payments.get(line.paid ?? "");
      if (paid) paid.paid = true;
      // One that was told of late, behind another payment's, says nothing of that one.
      if (line.paid === undefined || !lane.last || lane.last.id === line.paid) lane.state = "free";
      return;
    }
    const total = BigInt(line.total), most = BigInt(line.most ?? line.total);
    if (most > lane.most) lane.most = most;
    lane.state = "doubt";
    const { paid = false, void: isVoid = false } = line;
    lane.last = { id: line.sign, lane, amount: BigInt(line.amount), total, until: 0, paid, void: isVoid };
    this.#remember(lane.last);
  }

  #named([payee, asset, expires, number]: LaneName): Lane {
    const expiresAt = BigInt(expires), lane = BigInt(number);
    const key = `${payee} ${asset} ${expiresAt}`;
    let pool = this.#pools.get(key);
    if (!pool) this.#pools.set(key, (pool = []));
    let found = pool.find((one) => one.lane === lane);
    if (!found) pool.push((found = { payee, asset, expiresAt, lane, held: 0n, most: 0n, state: "free" }));
    return found;
  }

  #forgetExpired(): void {
    const now = BigInt(Math.floor(this.#now() / 1000));
    for (const [key, pool] of this.#pools) {
      const [first] = pool;
      if (first && first.expiresAt > now) continue;
      this.#pools.delete(key);
      for (const lane of pool) this.#gone.set(lane.asset, (this.#gone.get(lane.asset) ?? 0n) + lane.most);
      const over = [...this.#payments.values()].filter(({ lane }) => pool.includes(lane));
      const ends = over.map((one) => ({ paid: one.paid ?? false, void: this.#cannotCount(one, false) }));
      over.forEach(({ id }, at) => {
        this.#payments.delete(id);
        const end = ends[at];
        // Nobody asks for one without a name of its own once it has an end.
        if (end && !(isUnnamed(id) && (end.paid || end.void))) this.#keepOver(id, end);
      });
    }
  }

  #keepOver(id: string, end: Over): void {
    this.#over.set(id, end);
    for (const [oldest] of this.#over) {
      if (this.#over.size <= REMEMBERED) return;
      this.#over.delete(oldest);
    }
  }

  /** Everything that must be kept, as few lines as can be. */
  #snapshot(): Line[] {
    const lines: Line[] = [...this.#gone].map(([asset, gone]) => ({ gone: gone.toString(), asset }));
    for (const [over, end] of this.#over) {
      lines.push({ over, ...(end.paid ? { paid: true } : {}), ...(end.void ? { void: true } : {}) });
    }
    // Payments that are remembered come in the order in which they were made; a lane's newest is its last.
    for (const payment of this.#payments.values()) lines.push(signLine(payment));
    for (const lane of [...this.#pools.values()].flat()) {
      if (lane.state === "free") lines.push({ held: lane.held.toString(), at: nameOf(lane) });
      else if (lane.held > 0n) lines.splice(this.#gone.size, 0, { held: lane.held.toString(), at: nameOf(lane) });
    }
    return lines;
  }
}

/** Whether an identifier was made by chance, for a request without a key of its own. */
function isUnnamed(id: string): boolean {
  return /^tly_[0-9a-f]{32}$/.test(id);
}

function signLine({ id, lane, amount, total, paid, void: isVoid }: Payment): Line {
  const line: Line = { sign: id, at: nameOf(lane), amount: amount.toString(), total: total.toString() };
  if (lane.most > total) line.most = lane.most.toString();
  if (paid) line.paid = true;
  if (isVoid) line.void = true;
  return line;
}

function nameOf({ payee, asset, expiresAt, lane }: Lane): LaneName {
  return [payee, asset, expiresAt.toString(), lane.toString()];
}

function random(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0] ?? 0n;
}
