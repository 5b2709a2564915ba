// What needs a browser: lanes in IndexedDB, for one tab at a time.
import { TallystickError } from "./errors.js";
import { QueuedLanes } from "./queue.js";
import type { LaneStore, Line } from "./store.js";

/** How long a tab that is just closing, or a page that is loaded anew, is waited for, in milliseconds. */
const LOCK_WAIT = 3_000;
const LINES = "lines", OWNER = "owner";

/**
 * Lanes in this browser, under a name of your own: they outlast a reload and a crash. A payment is on the disk before it
 * leaves; payments of one moment share one write. One tab or worker at a time: the others are told. Another key or network
 * needs another name.
 *
 * A browser may throw away what a page keeps when its disk is full, unless `navigator.storage.persist()` was granted, and does
 * when a person clears the page's data: new lanes are begun then, and what was signed before no budget of the page counts.
 */
export function browserLanes(name = "agent"): LaneStore {
  return new BrowserLanes(name);
}

class BrowserLanes extends QueuedLanes {
  readonly #name: string;
  #base: IDBDatabase | undefined;
  #release: (() => void) | undefined;

  constructor(name: string) {
    super();
    this.#name = `tallystick lanes: ${name}`;
  }

  async open(owner: { network: string; signer: string }): Promise<Line[]> {
    await this.#lock();
    try {
      const base = (this.#base = await opened(this.#name));
      // Another page that deletes it, or a newer package, would wait for this one for ever.
      base.onversionchange = () => {
        this.fail(new TallystickError(`${this.#name} is being deleted or changed elsewhere`));
        base.close();
      };
      base.onclose = () => this.fail(new TallystickError(`${this.#name} was closed by the browser`));
      const mine = JSON.stringify({ tallystick: "lanes 1", network: owner.network, signer: owner.signer });
      const [lines, [whose]] = await this.#transact("readwrite", (lines, owners) => {
        owners.add(mine, OWNER).onerror = (event) => event.preventDefault(); // there is one
        return [lines.getAll(), owners.getAll()] as const;
      });
      if (whose !== mine) {
        throw new TallystickError(`${this.#name} keeps the lanes of another key or network: give each a name of its own`);
      }
      return lines as Line[];
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  protected async add(lines: Line[], lasting: boolean): Promise<void> {
    const durability = lasting ? "strict" : "relaxed";
    await this.#transact("readwrite", (kept) => (lines.forEach((line) => kept.add(line)), []), durability);
  }

  protected async replace(lines: Line[]): Promise<void> {
    await this.#transact("readwrite", (kept) => {
      kept.clear();
      lines.forEach((line) => kept.add(line));
      return [];
    });
  }

  protected async release(): Promise<void> {
    this.#base?.close();
    this.#base = undefined;
    this.#release?.();
    this.#release = undefined;
  }

  /** Takes the lock; the browser gives it back when the tab is gone, however that ends. */
  async #lock(): Promise<void> {
    if (typeof indexedDB === "undefined" || !globalThis.navigator?.locks) {
      throw new TallystickError("browserLanes needs IndexedDB and Web Locks: a page over https or on localhost");
    }
    let held: (() => void) | undefined, refused: ((error: unknown) => void) | undefined;
    const taken = new Promise<void>((resolve, reject) => ([held, refused] = [resolve, reject]));
    const signal = AbortSignal.timeout(LOCK_WAIT);
    const holding = navigator.locks.request(this.#name, { signal }, () => {
      held?.();
      return new Promise<void>((resolve) => (this.#release = resolve));
    });
    // It ends by `close`. By itself where nobody had it in time, or where somebody stole it.
    holding.catch((error: unknown) => {
      const text = `${this.#name} is used by another tab or worker: pay from that one, or give each a name of its own`;
      const wrong = new TallystickError(text, { cause: error });
      refused?.(wrong);
      this.fail(wrong);
    });
    await taken;
  }

  /** Runs requests in one transaction; resolves with their results once it is on the disk. */
  #transact<Requests extends readonly IDBRequest[]>(
    mode: IDBTransactionMode,
    run: (lines: IDBObjectStore, owners: IDBObjectStore) => Requests,
    durability: IDBTransactionDurability = "strict",
  ): Promise<{ [At in keyof Requests]: Requests[At] extends IDBRequest<infer Result> ? Result : never }> {
    return new Promise((resolve, reject) => {
      if (!this.#base) throw new TallystickError(`${this.#name} is closed`);
      const transaction = this.#base.transaction([LINES, OWNER], mode, { durability });
      const requests = run(transaction.objectStore(LINES), transaction.objectStore(OWNER));
      transaction.oncomplete = () => resolve(requests.map((request) => request.result) as never);
      transaction.onabort = () => reject(transaction.error ?? new TallystickError(`${this.#name} cannot be written`));
    });
  }
}

function opened(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(LINES, { autoIncrement: true });
      request.result.createObjectStore(OWNER);
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new TallystickError(`${name} is open elsewhere in an older form`));
  });
}
