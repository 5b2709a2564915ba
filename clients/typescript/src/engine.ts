// What is asked of an engine over HTTP, beside /verify and /settle, which the x402 packages ask themselves.
import { whole } from "./bytes.js";
import { TallystickError } from "./errors.js";
import type { Asset } from "./money.js";

export const SCHEME = "batch-settlement";

/** A network as `/supported` tells of it. */
export interface Network {
  /** 64 hexadecimal digits. */
  id: string;
  assets: Asset[];
}

/** What x402 calls a network: `tallystick:` and the first 32 digits of its id. */
export function networkName(id: string): `tallystick:${string}` {
  return `tallystick:${id.slice(0, 32)}`;
}

/** What became of a payment. */
export interface Status {
  state: "settled" | "not_seen" | "unknown";
  [more: string]: unknown;
}

type Fetch = typeof globalThis.fetch;

/** How many channels are asked for at once, at most. */
const CHANNELS = 256;
const TIMEOUT = 30_000;
/** How long an engine that is starting is waited for. */
const START = 20_000;

export class EngineHttp {
  readonly url: string;
  readonly #fetch: Fetch;

  constructor(url: string, fetch: Fetch = globalThis.fetch) {
    this.url = url.replace(/\/+$/, "");
    // A browser's `fetch` may be nobody's method.
    this.#fetch = (input, init) => fetch(input, init);
  }

  /** The network that this engine clears, and its assets. Needs no key. Waits while the engine starts. */
  async network(): Promise<Network> {
    const until = Date.now() + START;
    let answer = await this.#send("/supported");
    while (answer.status === 503 && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      answer = await this.#send("/supported");
    }
    const { kinds } = (await this.#read(answer)) as { kinds?: unknown };
    for (const kind of Array.isArray(kinds) ? kinds : []) {
      const network = kind?.scheme === SCHEME ? readNetwork(kind.network, kind.extra) : undefined;
      if (network) return network;
    }
    throw new TallystickError(`${this.url} is no Tallystick engine: /supported names no network of its kind`);
  }

  /** The durable totals of channels, in the order in which they were asked for; 0 where nothing was ever credited. */
  async channels(ids: string[], authorization: string): Promise<bigint[]> {
    const totals: bigint[] = [];
    for (let first = 0; first < ids.length; first += CHANNELS) {
      const channels = ids.slice(first, first + CHANNELS);
      const answer = (await this.#ask("/channels", authorization, { channels })) as { channels?: unknown };
      const rows = Array.isArray(answer.channels) ? answer.channels : [];
      for (const [at, id] of channels.entries()) {
        const charged = rows[at]?.channel === id ? whole(rows[at].charged) : undefined;
        if (charged === undefined) throw new TallystickError(`${this.url}/channels gave no total for ${id}`);
        totals.push(charged);
      }
    }
    return totals;
  }

  /** What became of a payment: by its identifier, or by `CHANNEL:CUMULATIVE`. */
  async status(payment: string, authorization: string): Promise<Status> {
    return (await this.#ask(`/status/${encodeURI(payment)}`, authorization)) as Status;
  }

  /** What is wrong with who calls, as the engine says: it is asked to verify nothing. Undefined if it takes the caller. */
  async wrongCredential(authorization: string | undefined): Promise<string | undefined> {
    const answer = await this.#send("/verify", authorization, {});
    const text = await answer.text();
    if (answer.status !== 401 && answer.status !== 403) return undefined;
    const who = authorization ? "does not take the credential" : "asks who calls, and no credential is set";
    let why: unknown = text.slice(0, 300);
    try {
      why = (JSON.parse(text) as { error?: unknown }).error ?? why;
    } catch {
      // As it came.
    }
    return `the engine at ${this.url} ${who} (${answer.status}): ${String(why)}`;
  }

  async #ask(path: string, authorization?: string, body?: object): Promise<object> {
    return this.#read(await this.#send(path, authorization, body));
  }

  async #send(path: string, authorization?: string, body?: object): Promise<Response> {
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (authorization) headers["authorization"] = authorization;
    const url = `${this.url}${path}`;
    // A channel's id tells nothing, and no answer may come from a cache.
    try {
      return await this.#fetch(url, {
        method: body ? "POST" : "GET",
        headers,
        cache: "no-store",
        signal: AbortSignal.timeout(TIMEOUT),
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
    } catch (error) {
      const { message, cause } = error as Error;
      const why = (cause as Error | undefined)?.message || message;
      const text = `${url} does not answer (${why}): is the engine running there, with \`listen_http\`?`;
      throw new TallystickError(text, { cause: error });
    }
  }

  async #read(answer: Response): Promise<object> {
    const { url, status } = answer;
    const text = await answer.text();
    if (!answer.ok) throw new TallystickError(`${url} answered ${status}: ${text.slice(0, 300)}`);
    try {
      return JSON.parse(text) as object;
    } catch {
      throw new TallystickError(`${url} answered something that is no JSON: ${text.slice(0, 100)}`);
    }
  }
}

/** A network from what a kind of `/supported` says, if it is one of ours and whole. */
export function readNetwork(name: unknown, extra: unknown): Network | undefined {
  const { networkId, assets } = (extra ?? {}) as { networkId?: unknown; assets?: unknown };
  if (typeof networkId !== "string" || !/^[0-9a-f]{64}$/.test(networkId)) return undefined;
  if (name !== networkName(networkId) || !Array.isArray(assets)) return undefined;
  const isAsset = (asset: Partial<Asset> | null) =>
    typeof asset?.code === "string" && Number.isInteger(asset.number) && Number.isInteger(asset.scale);
  return assets.every(isAsset) ? { id: networkId, assets: assets as Asset[] } : undefined;
}
