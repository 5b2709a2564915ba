// What a seller gave for each payment: the answers, so that a repeated request gets the same and the work is not done twice; and
// how often, since an answer that is not kept is made again, and one payment does not buy any number of them.
import { blake3 } from "@noble/hashes/blake3.js";
import { toHex } from "./bytes.js";

interface Kept {
  request: string;
  body: unknown;
  contentType: string;
  bytes: number;
}

/** For which request a payment was, and how often its handler was let begin and did not fail. */
interface Served {
  request: string;
  times: number;
}

/** What is to be done for a payment that is good: give an answer again, make one, or refuse it. */
export type Turn = { body: unknown; contentType: string } | "make" | "other request" | "too often";

/** How often an answer is made again if nothing else is said: twice as often as our agents send a payment by themselves. */
export const REPEATS = 7;

const BYTES = 64 << 20;
const BODY = 1 << 20;
/** Of so many payments it is known for which request they were. */
const PAYMENTS = 50_000;

export class Answers {
  readonly #most: number;
  readonly #repeats: number;
  readonly #kept = new Map<string, Kept>();
  readonly #served = new Map<string, Served>();
  /** Requests whose handler was let begin: by the one thing of x402's that lasts as long as a request. */
  readonly #begun = new WeakSet<object>();
  #bytes = 0;

  constructor(most = 10_000, repeats = REPEATS) {
    this.#most = most;
    this.#repeats = repeats;
  }

  /** How often one payment may be answered. */
  get times(): number {
    return this.#repeats + 1;
  }

  /** A good payment has come with a request. What is not HTTP is always made. */
  turn(signature: string, transport: unknown): Turn {
    const { request, adapter } = requestOf(transport);
    if (!signature || !request || !adapter) return "make";
    const kept = this.#kept.get(signature);
    const served = this.#served.get(signature) ?? { request: kept?.request ?? request, times: 0 };
    if (served.request !== request) return "other request";
    if (kept) return { body: kept.body, contentType: kept.contentType };
    if (served.times > this.#repeats) return "too often";
    served.times += 1;
    this.#served.set(signature, served);
    this.#begun.add(adapter);
    for (const oldest of this.#served.keys()) {
      if (this.#served.size <= PAYMENTS) break;
      this.#served.delete(oldest);
    }
    return "make";
  }

  /** It came to nothing: the handler failed, or the payment was not made. It does not count. */
  failed(signature: string, transport: unknown): void {
    const { adapter } = requestOf(transport);
    const served = this.#served.get(signature);
    if (!adapter || !this.#begun.delete(adapter) || !served) return;
    served.times -= 1;
    if (served.times === 0) this.#served.delete(signature);
  }

  /** Keeps what was answered, if it can be given again as it was: JSON and HTML of up to 1 MiB. */
  keep(signature: string, transport: unknown): void {
    const { request } = requestOf(transport);
    const { responseBody, responseHeaders = {} } = (transport ?? {}) as {
      responseBody?: Uint8Array;
      responseHeaders?: Record<string, unknown>;
    };
    if (!signature || !request || !responseBody || responseBody.length > BODY || this.#kept.has(signature)) return;
    const type = Object.entries(responseHeaders).find(([name]) => name.toLowerCase() === "content-type")?.[1];
    const contentType = typeof type === "string" ? type : "application/json";
    const text = new TextDecoder().decode(responseBody);
    let body: unknown = text;
    if (contentType.includes("json")) {
      try {
        body = JSON.parse(text);
      } catch {
        return;
      }
    } else if (!contentType.includes("text/html")) return;
    this.#kept.set(signature, { request, body, contentType, bytes: responseBody.length });
    this.#bytes += responseBody.length;
    for (const [oldest, { bytes }] of this.#kept) {
      if (this.#kept.size <= this.#most && this.#bytes <= BYTES) break;
      this.#kept.delete(oldest);
      this.#bytes -= bytes;
    }
  }
}

/** Method and address of a request, hashed, where the transport is HTTP; and what is the same object from its begin to its end. */
function requestOf(transport: unknown): { request?: string | undefined; adapter?: object | undefined } {
  interface Request {
    method?: string;
    adapter?: { getUrl?(): string; getMethod?(): string };
  }
  const request = (transport as { request?: Request } | undefined)?.request;
  const adapter = request?.adapter, url = adapter?.getUrl?.();
  if (!url) return {};
  const text = new TextEncoder().encode(`${request?.method ?? adapter?.getMethod?.()} ${url}`);
  return { request: toHex(blake3(text)), adapter };
}
