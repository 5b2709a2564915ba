// How lanes are written, wherever they are kept: one write after another, and the lines of one moment together.
import type { LaneStore, Line } from "./store.js";

interface Waiting {
  line: Line;
  /** For who waits until it is durable; the others are told nothing. */
  done?: (error?: unknown) => void;
}

/** A store owns how its lines are read and written; this owns when, and what a write that failed leads to. */
export abstract class QueuedLanes implements LaneStore {
  /** Lines that are written together when their turn comes: until then more may join them. */
  #open: Waiting[] | undefined;
  #writing: Promise<void> = Promise.resolve();
  #failed: unknown;

  abstract open(owner: { network: string; signer: string }): Promise<Line[]>;
  /** Writes lines behind all others; durably if they are to last. */
  protected abstract add(lines: Line[], lasting: boolean): Promise<void>;
  /** Writes these in place of all others, durably. */
  protected abstract replace(lines: Line[]): Promise<void>;
  /** Nothing is written any more: gives back what is held. May come twice. */
  protected abstract release(): Promise<void>;

  append(line: Line): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#push({ line, done: (error) => (error === undefined ? resolve() : reject(error)) });
    });
  }

  note(line: Line): void {
    this.#push({ line });
  }

  rewrite(lines: Line[]): Promise<void> {
    // What waits to be written is in these lines; who waits for it waits for them. What comes from now on is behind them.
    const waiting = this.#open?.splice(0) ?? [];
    this.#open = undefined;
    return this.#next(waiting, () => this.replace(lines));
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.release();
  }

  /** From now on nothing is written, and nothing is paid: what is on the disk nobody knows. */
  protected fail(error: unknown): void {
    this.#failed ??= error;
  }

  #push(one: Waiting): void {
    if (this.#open) {
      this.#open.push(one);
      return;
    }
    const batch = (this.#open = [one]);
    const write = async () => {
      if (batch.length) await this.add(batch.map(({ line }) => line), batch.some(({ done }) => done));
    };
    // Who waits is told; there is nobody else.
    this.#next(batch, write).catch(() => {});
  }

  /** Writes once what was to be written before is; tells whoever waits for it. */
  async #next(waiting: Waiting[], write: () => Promise<void>): Promise<void> {
    const done = this.#writing.then(async () => {
      if (this.#open === waiting) this.#open = undefined;
      if (this.#failed !== undefined) throw this.#failed;
      try {
        await write();
      } catch (error) {
        this.fail(error);
        throw error;
      }
    });
    this.#writing = done.catch(() => {});
    try {
      await done;
      waiting.forEach((one) => one.done?.());
    } catch (error) {
      waiting.forEach((one) => one.done?.(error));
      throw error;
    }
  }
}
