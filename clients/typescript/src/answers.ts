// The answers that a seller gave to paid requests, so that a repeated one gets the same, and the work is not done twice.

interface Kept {
  request: string;
  body: unknown;
  contentType: string;
  bytes: number;
}

const BYTES = 64 << 20;
const BODY = 1 << 20;

export class Answers {
  readonly #most: number;
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  constructor(most = 10_000) {
    this.#most = most;
  }

  /** Keeps what was answered, if it can be given again as it was: JSON and HTML of up to 1 MiB. */
  keep(signature: string, transport: unknown): void {
    const request = requestOf(transport);
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

  /** What was answered to this payment; `other` if that was another request. */
  find(signature: string, transport: unknown): { body: unknown; contentType: string } | "other" | undefined {
    const kept = this.#kept.get(signature);
    if (!kept) return undefined;
    return kept.request === requestOf(transport) ? { body: kept.body, contentType: kept.contentType } : "other";
  }
}

/** Method and address of a request, where the transport is HTTP. */
function requestOf(transport: unknown): string | undefined {
  interface Request {
    method?: string;
    adapter?: { getUrl?(): string; getMethod?(): string };
  }
  const request = (transport as { request?: Request } | undefined)?.request;
  const url = request?.adapter?.getUrl?.();
  return url && `${request?.method ?? request?.adapter?.getMethod?.()} ${url}`;
}
