// The buyer's side: a scheme for any x402 client, and a fetch that pays.
import { blake3 } from "@noble/hashes/blake3.js";
import { x402Client, x402HTTPClient, type PaymentResponseContext } from "@x402/core/client";
import type {
  Network as NetworkName,
  PaymentPayloadContext,
  PaymentPayloadResult,
  PaymentRequired,
  PaymentRequirements,
  SchemeClientHooks,
  SchemeNetworkClient,
} from "@x402/core/types";
import { toHex, whole } from "./bytes.js";
import { EngineHttp, networkName, SCHEME, type Network, type Status } from "./engine.js";
import { BudgetError, PaymentInDoubtError, PaymentOverError, TallystickError } from "./errors.js";
import { base, Lanes, type Lane, type Payment } from "./lanes.js";
import { decimal, units, type Asset } from "./money.js";
import { memoryLanes, type LaneStore } from "./store.js";
import { signToken } from "./token.js";
import { AgentKey, channelId } from "./voucher.js";

/** The most that an agent signs in one asset, in decimals: `"0.01"`. Counted is what was signed, paid or not. */
export interface Budget {
  perPayment?: string;
  total?: string;
}

export interface AgentOptions {
  /** The agent's key, or its secret: 64 hexadecimal digits. */
  key: AgentKey | string | Uint8Array;
  /** The engine's base URL for HTTP. It is asked for the network, and for lanes whose last answer was lost. */
  facilitator?: string;
  /** Instead: the network, as the engine's operator tells of it. Never take it from a seller. */
  network?: Network;
  /** Where lanes are kept. In memory if nothing else is said; a file is in `@tallystick/x402/node`. */
  lanes?: LaneStore;
  /** By the asset's code. What is not named here has no bound but the engine's. */
  budget?: Record<string, Budget>;
  /** How many requests to one seller may be under way at once. 64 if nothing else is said. */
  maxLanes?: number;
  fetch?: typeof globalThis.fetch;
}

const PAYMENT_IDENTIFIER = "payment-identifier";
// A seller may ask for more, and does not get it: its payments are waited for no longer than this.
const SECONDS_MAX = 3_600;
// How often one request is paid for, or the same payment sent again, before the answer is given as it is.
const ATTEMPTS = 4;
const SAFE = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);
// Refusals after which the lane is taken up from what the engine holds, and the request paid once more.
const STALE = "stale_voucher";
const DRIFTED = new Set(["wrong_amount", STALE]);

/** Opens an agent: takes up its lanes, and asks the engine for the network. */
export async function agent(options: AgentOptions): Promise<Agent> {
  const engine = options.facilitator ? new EngineHttp(options.facilitator, options.fetch) : undefined;
  const network = options.network ?? (await engine?.network());
  if (!network) throw new TallystickError("an agent needs `facilitator`, its engine's URL, or `network`");
  const key = options.key instanceof AgentKey ? options.key : new AgentKey(options.key);
  const budget = new Map<number, { code: string; perPayment?: bigint | undefined; total?: bigint | undefined }>();
  for (const [code, { perPayment, total }] of Object.entries(options.budget ?? {})) {
    const asset = network.assets.find((one) => one.code === code);
    if (!asset) throw new TallystickError(`there is a budget for ${code}, an asset that the network does not have`);
    budget.set(asset.number, {
      code,
      perPayment: perPayment === undefined ? undefined : units(perPayment, asset),
      total: total === undefined ? undefined : units(total, asset),
    });
  }
  const ask = engine && (async (lanes: Lane[]) => {
    const ids = lanes.map((lane) => channelId(network.id, key.signer, lane));
    return engine.channels(ids, `Bearer ${signToken(key, key.signer, network.id)}`);
  });
  const owner = { network: network.id, signer: key.signer };
  const lanes = await Lanes.open(options.lanes ?? memoryLanes(), owner, { max: options.maxLanes ?? 64, ask });
  return new Agent(key, network, lanes, budget, engine, options.fetch ?? globalThis.fetch);
}

type Limits = Map<number, { code: string; perPayment?: bigint | undefined; total?: bigint | undefined }>;

export class Agent implements SchemeNetworkClient {
  readonly scheme = SCHEME;
  readonly schemeHooks: SchemeClientHooks;
  readonly network: Network;
  readonly #key: AgentKey;
  readonly #lanes: Lanes;
  readonly #budget: Limits;
  readonly #engine: EngineHttp | undefined;
  readonly #fetch: typeof globalThis.fetch;
  /** By the identifier: what the answer to a payment is for. Two payments may have one voucher. */
  readonly #underway = new Map<string, Payment>();
  /** By the requirements that they answer: a payment to be sent again as it is, or a lane to sign on anew. */
  readonly #next = new WeakMap<object, { same: Payment } | { lane: Lane }>();
  readonly #ids = new WeakMap<object, string>();
  readonly #attempts = new WeakMap<object, number>();

  /** `agent` makes one. */
  constructor(
    key: AgentKey,
    network: Network,
    lanes: Lanes,
    budget: Limits,
    engine: EngineHttp | undefined,
    fetch: typeof globalThis.fetch,
  ) {
    this.#key = key;
    this.network = network;
    this.#lanes = lanes;
    this.#budget = budget;
    this.#engine = engine;
    this.#fetch = (input, init) => fetch(input, init);
    this.schemeHooks = { onPaymentResponse: (context) => this.#answered(context) };
  }

  /** The public key: 64 hexadecimal digits. */
  get signer(): string {
    return this.#key.signer;
  }

  /** What x402 calls the network. */
  get networkName(): NetworkName {
    return networkName(this.network.id);
  }

  /** What was signed in an asset so far, in decimals: what its budget counts. */
  signed(code: string): string {
    const asset = this.#asset(code);
    return decimal(this.#lanes.signed(asset.number), asset.scale);
  }

  /** What became of a payment: its transaction, as the seller's answer named it. */
  async status(transaction: string): Promise<Status> {
    if (!this.#engine) throw new TallystickError("to ask, an agent needs `facilitator`");
    return this.#engine.status(transaction, `Bearer ${signToken(this.#key, this.signer, this.network.id)}`);
  }

  /** Has a client of your own pay with this agent, and allows the network's assets there; other controls stay if given. */
  register<Client extends x402Client>(client: Client, controls: { allowedAssets?: true | SpendAsset[] } = {}): Client {
    client.register(this.networkName, this);
    const others = controls.allowedAssets ?? [];
    const allowedAssets = others === true ? others : [...others, ...this.spendControls()];
    client.setSpendControls({ ...controls, allowedAssets });
    return client;
  }

  /** What a client's `spendControls.allowedAssets` must hold: without it x402 refuses assets that it does not know. */
  spendControls(): SpendAsset[] {
    return this.network.assets.map(({ code, number }) => {
      const most = this.#budget.get(number)?.perPayment;
      const entry = { network: this.networkName, asset: code };
      return most === undefined ? entry : { ...entry, maxAmountPerPayment: most.toString() };
    });
  }

  /**
   * `fetch` that pays when it is asked to. A header `Idempotency-Key` of your own makes a repeated request the same payment,
   * also after a crash where lanes are in a file. Throws `BudgetError` before it signs too much, and `PaymentInDoubtError`
   * where an answer is lost and the request may not be sent again without you.
   */
  readonly fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init);
    const first = await this.#fetch(request.clone());
    if (first.status !== 402) return first;
    const http = new x402HTTPClient(this.register(new x402Client()));
    const body = await first.clone().json().catch(() => undefined);
    let required: PaymentRequired;
    try {
      required = http.getPaymentRequiredResponse((name) => first.headers.get(name), body);
    } catch {
      return first; // a 402 of some other kind
    }
    const name = request.headers.get("idempotency-key");
    if (name) for (const one of required.accepts) this.#ids.set(one, name);
    return this.#pay(http, request, required);
  };

  async #pay(http: x402HTTPClient, request: Request, required: PaymentRequired): Promise<Response> {
    for (let attempt = 1; ; attempt += 1) {
      const payload = await http.createPaymentPayload(required);
      const headers = http.encodePaymentSignatureHeader(payload);
      const send = () => {
        const paid = request.clone();
        for (const [name, value] of Object.entries(headers)) paid.headers.set(name, value);
        return this.#fetch(paid);
      };
      let answer: Response;
      try {
        answer = await send();
      } catch (error) {
        const payment = this.#underway.get(idOf(payload));
        if (!payment) throw error;
        if (attempt < ATTEMPTS && SAFE.has(request.method) && !request.signal.aborted) {
          this.#next.set(payload.accepted, { same: payment });
          await pause(attempt);
          continue;
        }
        this.#lanes.doubt(payment);
        const text = "the answer to a paid request is lost: resend() sends the very same payment, which is charged once";
        throw new PaymentInDoubtError(text, () => this.#resend(http, payload.accepted, payment, request, required), error);
      }
      const { recovered } = await http.processPaymentResult(payload, (name) => answer.headers.get(name), answer.status);
      if (!recovered) return answer;
      await answer.body?.cancel();
    }
  }

  #resend(http: x402HTTPClient, accepted: PaymentRequirements, payment: Payment, request: Request, required: PaymentRequired) {
    this.#attempts.delete(accepted);
    this.#next.set(accepted, { same: payment });
    return this.#pay(http, request, required);
  }

  /** Signs a payment: what x402 clients call. */
  async createPaymentPayload(
    version: number,
    required: PaymentRequirements,
    context?: PaymentPayloadContext,
  ): Promise<PaymentPayloadResult> {
    const { asset, amount } = this.#check(version, required);
    const next = this.#next.get(required);
    this.#next.delete(required);
    const named = this.#ids.get(required);
    const known = next && "same" in next ? next.same : named ? this.#remembered(named, required, asset, amount) : undefined;
    const seconds = Math.min(required.maxTimeoutSeconds, SECONDS_MAX);
    let payment: Payment;
    if (known) {
      payment = known;
      this.#lanes.again(known, seconds);
    } else {
      const again = next && "lane" in next ? next.lane : undefined;
      const id = named ? this.#unused(named) : `tly_${toHex(crypto.getRandomValues(new Uint8Array(16)))}`;
      const allow = (more: bigint) => this.#allow(asset, amount, more);
      payment = await this.#lanes.take(required.payTo, asset.number, amount, id, seconds, allow, again);
    }
    const voucher = this.#key.voucher(this.network.id, payment.lane, payment.total);
    this.#underway.set(payment.id, payment);
    return {
      x402Version: version,
      payload: { ...voucher },
      extensions: { [PAYMENT_IDENTIFIER]: identifier(payment.id, context?.extensions) },
    };
  }

  /** Closes the lanes' store. Payments under way are in doubt then. */
  async close(): Promise<void> {
    await this.#lanes.close();
  }

  #asset(code: string): Asset {
    const asset = this.network.assets.find((one) => one.code === code);
    if (!asset) throw new TallystickError(`the network has no asset ${code}`);
    return asset;
  }

  /** Whether it can be paid at all. What a seller says of an asset must be what the engine says of it. */
  #check(version: number, { scheme, network, asset: code, amount, payTo, extra }: PaymentRequirements) {
    if (version !== 2 || scheme !== SCHEME || network !== this.networkName) {
      throw new TallystickError(`this agent pays x402 version 2, ${SCHEME}, on ${this.networkName} only`);
    }
    const asset = this.#asset(code);
    const says = { networkId: this.network.id, assetNumber: asset.number, scale: asset.scale };
    for (const [name, value] of Object.entries(says)) {
      if (extra?.[name] !== undefined && extra[name] !== value) {
        throw new TallystickError(`the seller says ${name} ${String(extra[name])}, the engine ${value}: not paid`);
      }
    }
    if (!/^[0-9a-f]{64}$/.test(payTo)) throw new TallystickError(`payTo is no party: ${payTo.slice(0, 80)}`);
    const rise = whole(amount);
    if (!rise) throw new TallystickError(`amount is no whole number above 0: ${amount.slice(0, 80)}`);
    return { asset, amount: rise };
  }

  /** The payment that was made for this request before, to be sent as it was. */
  #remembered(name: string, required: PaymentRequirements, asset: Asset, amount: bigint): Payment | undefined {
    let id = numbered(name, 1);
    // One that is void is followed by another, under the next name.
    for (let at = 2; this.#isKnown(numbered(name, at)); at += 1) id = numbered(name, at);
    const payment = this.#lanes.payment(id), over = this.#lanes.over(id);
    if (over?.void || (!payment && !over) || (payment && this.#lanes.isVoid(payment))) return undefined;
    // It may have been charged as long as its channel lasted, and the engine has forgotten that channel.
    if (!payment || payment.lane.expiresAt * 1000n <= BigInt(Date.now())) {
      throw new PaymentOverError(name, (payment ?? over)?.paid ?? false);
    }
    const { lane } = payment;
    if (lane.payee !== required.payTo || lane.asset !== asset.number || payment.amount !== amount) {
      throw new TallystickError(`the key ${name} belongs to another payment: use one for each request`);
    }
    return payment;
  }

  #unused(name: string): string {
    for (let at = 1; ; at += 1) {
      const id = numbered(name, at);
      if (!this.#isKnown(id)) return id;
    }
  }

  #isKnown(id: string): boolean {
    return this.#lanes.payment(id) !== undefined || this.#lanes.over(id) !== undefined;
  }

  #allow({ number, code, scale }: Asset, amount: bigint, more: bigint): void {
    const limits = this.#budget.get(number);
    if (limits?.perPayment !== undefined && amount > limits.perPayment) {
      const text = `${decimal(amount, scale)} ${code} is more than this agent may pay at once`;
      throw new BudgetError(`${text}, ${decimal(limits.perPayment, scale)}: nothing was signed`);
    }
    const signed = this.#lanes.signed(number);
    if (limits?.total !== undefined && signed + more > limits.total) {
      const text = `the budget of ${decimal(limits.total, scale)} ${code} is used up: ${decimal(signed, scale)} was signed`;
      throw new BudgetError(`${text}, and ${decimal(more, scale)} more would be; raise it to go on`);
    }
  }

  /** An answer has come to a payment. Says whether the request is to be paid once more, or the same payment sent again. */
  async #answered({ paymentPayload, requirements, settleResponse, paymentRequired }: PaymentResponseContext) {
    const payment = this.#underway.get(idOf(paymentPayload));
    if (!payment) return;
    this.#underway.delete(payment.id);
    if (settleResponse?.success) {
      this.#lanes.paid(payment);
      return;
    }
    const attempt = (this.#attempts.get(requirements) ?? 0) + 1;
    this.#attempts.set(requirements, attempt);
    const reason = settleResponse?.errorReason ?? paymentRequired?.error ?? "";
    const told = settleResponse?.extra ?? extraOf(paymentRequired);
    const { lane } = payment;
    const held = await this.#held(payment, told, paymentRequired !== undefined);
    if (held !== undefined) this.#lanes.learn(lane, held);
    const isDrifted = DRIFTED.has(reason) && held !== undefined;
    // Without its channel an answer is not the engine's own word.
    const isLost = settleResponse ? told?.["channel"] === undefined : lane.held >= payment.total && !paymentRequired;
    if (attempt < ATTEMPTS && lane.state !== "left") {
      // To send the very same payment again is always safe: it is charged once. It may be called stale or wrong while the
      // channel stands where it builds on: another one's charge was under way.
      if (isLost || (isDrifted && lane.held <= base(payment))) {
        this.#next.set(requirements, { same: payment });
        this.#lanes.again(payment, SECONDS_MAX);
        await pause(attempt);
        return { recovered: true as const };
      }
      if (isDrifted && this.#lanes.isVoid(payment, reason === STALE)) {
        if (this.#lanes.keep(payment)) this.#next.set(requirements, { lane });
        return { recovered: true as const };
      }
    }
    if (held !== undefined) this.#lanes.known(payment, held);
    else this.#lanes.doubt(payment);
    return;
  }

  /** What the engine holds of the payment's lane: asked of it, or else as the seller hands on what it said. */
  async #held(payment: Payment, told: Record<string, unknown> | undefined, isUnsettled: boolean): Promise<bigint | undefined> {
    const { lane } = payment;
    const asked = await this.#lanes.held(lane);
    if (asked !== undefined) return asked;
    const charged = whole(told?.["charged"]);
    const isOurs = told?.["channel"] === channelId(this.network.id, this.signer, lane);
    if (charged === undefined || !isOurs) return isUnsettled ? lane.held : undefined;
    // More than was ever signed here cannot be our doing: do not sign on top of it.
    if (charged <= lane.most) return charged;
    this.#lanes.leave(lane);
    return undefined;
  }
}

/** 0.1, 0.4, 1.6 seconds: what is lost is often back by then. */
function pause(attempt: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 25 * 4 ** attempt));
}

/** An entry of x402's spend controls. */
export interface SpendAsset {
  network: NetworkName;
  asset: string;
  maxAmountPerPayment?: string;
}

/** What a seller's `/verify` was told, as our server side hands it on. */
function extraOf(required: PaymentRequired | undefined): Record<string, unknown> | undefined {
  const found = required?.accepts.find((one) => one.scheme === SCHEME && one.extra?.["tallystick"]);
  return found?.extra["tallystick"] as Record<string, unknown> | undefined;
}

/** The identifier under which a payment was made. */
function idOf({ extensions }: { extensions?: Record<string, unknown> }): string {
  const { info } = (extensions?.[PAYMENT_IDENTIFIER] ?? {}) as { info?: { id?: unknown } };
  return typeof info?.id === "string" ? info.id : "";
}

/** Why the payment for this answer was refused, in words; undefined if it was not. x402 says it in headers alone. */
export function whyRefused(answer: Response): string | undefined {
  const read = (name: string): Record<string, unknown> | undefined => {
    try {
      const bytes = Uint8Array.from(atob(answer.headers.get(name) ?? ""), (one) => one.charCodeAt(0));
      return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    } catch {
      return undefined;
    }
  };
  const settled = read("payment-response");
  const required = settled || answer.status !== 402 ? undefined : read("payment-required");
  const reason = settled?.["errorReason"] ?? required?.["error"];
  if (typeof reason !== "string") return undefined;
  const message = settled?.["errorMessage"] ?? extraOf(required as unknown as PaymentRequired | undefined)?.["message"];
  return typeof message === "string" ? `${reason}: ${message}` : reason;
}

/** The extension as x402 has it. If the seller declares it, its own fields are kept by the client. */
function identifier(id: string, declared: Record<string, unknown> | undefined): object {
  const info = { required: false, id };
  if (declared && PAYMENT_IDENTIFIER in declared) return { info };
  const text = { type: "string", minLength: 16, maxLength: 128, pattern: "^[a-zA-Z0-9_-]+$" };
  return {
    info,
    schema: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      properties: { required: { type: "boolean" }, id: text },
      required: ["required"],
    },
  };
}

/** A caller's own key as a payment identifier: 16 to 128 characters, in the letters that there may be. */
function numbered(name: string, at: number): string {
  const plain = /^[A-Za-z0-9_-]{13,118}$/.test(name) ? name : `k${toHex(blake3(new TextEncoder().encode(name)))}`;
  return `${plain}-${at}`.padEnd(16, "_");
}
