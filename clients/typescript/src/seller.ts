// The seller's side: prices, and what the engine needs to know, for any x402 resource server.
import { HTTPFacilitatorClient, x402ResourceServer, type FacilitatorConfig } from "@x402/core/server";
import type {
  AssetAmount,
  Network as NetworkName,
  PaymentRequirements,
  Price,
  SchemeNetworkServer,
  SchemeServerHooks,
  SupportedKind,
} from "@x402/core/types";
import { EngineHttp, networkName, readNetwork, SCHEME, type Network } from "./engine.js";
import { TallystickError } from "./errors.js";
import { parsePrice, units, type Asset } from "./money.js";
import { Answers } from "./answers.js";
import { authorization, type Credential } from "./token.js";

export interface SellerOptions {
  /** The engine's base URL for HTTP. */
  facilitator: string;
  /** Who is paid: the party's id, 64 hexadecimal digits. */
  payTo: string;
  /** An API key, a token, or a key that signs one for each call; where the engine asks who calls. */
  credential?: Credential;
  /** The network, if it is known: the engine is not asked at start then, neither for it nor about the credential. */
  network?: Network;
  /** How many answers are kept in memory, to be given again when a buyer's request is repeated. 10,000 if not said. */
  answers?: number;
  /** How often an answer that is not kept is made again for one payment, when it is repeated. 7 if not said; 0: never. */
  repeats?: number;
  /** Where it is said at start that the engine does not take the credential. `console.error` if not said. */
  log?: (text: string) => void;
  /** How long a call to the engine may take, in milliseconds. x402's own 90 seconds if not said. */
  timeoutMs?: number;
}

type Hook<Name extends keyof SchemeServerHooks> = NonNullable<SchemeServerHooks[Name]>;
type VerifyContext = Parameters<Hook<"onAfterVerify">>[0];

/**
 * A seller: knows what x402's middleware must be given. Asks the engine for the network, and whether it takes the credential;
 * if it does not, it says so: every payment will be refused.
 */
export async function seller(options: SellerOptions): Promise<Seller> {
  if (!/^[0-9a-f]{64}$/.test(options.payTo)) throw new TallystickError("payTo is a party's id: 64 hexadecimal digits");
  if (options.network) return new Seller(options, options.network);
  const engine = new EngineHttp(options.facilitator);
  const network = await engine.network();
  const header = options.credential && (await authorization(options.credential, async () => network.id)());
  const wrong = await engine.wrongCredential(header);
  if (wrong) (options.log ?? console.error)(`no payment can be taken: ${wrong}`);
  return new Seller(options, network);
}

export class Seller {
  readonly network: Network;
  /** For `paymentMiddleware(routes, seller.server)`. Others' schemes may be registered with it, too. */
  readonly server: x402ResourceServer;
  readonly #payTo: string;

  constructor(options: SellerOptions, network: Network) {
    this.network = network;
    this.#payTo = options.payTo;
    this.server = new x402ResourceServer(facilitator(options, network));
    this.server.register(this.networkName, new TallystickScheme(network.assets, options.answers, options.repeats));
  }

  get networkName(): NetworkName {
    return networkName(this.network.id);
  }

  /** A route's configuration: `seller.price("0.0001 EUR")`. More of x402's fields may stand beside it. */
  price(price: Price, more: { payTo?: string; maxTimeoutSeconds?: number } = {}) {
    return { accepts: { scheme: SCHEME, network: this.networkName, payTo: this.#payTo, price, ...more } };
  }
}

/** A facilitator client of x402 that says to the engine who calls. */
export function facilitator(options: Pick<SellerOptions, "facilitator" | "credential" | "timeoutMs">, network?: Network) {
  const config: FacilitatorConfig = { url: options.facilitator };
  if (options.timeoutMs !== undefined) config.timeoutMs = options.timeoutMs;
  if (options.credential !== undefined) {
    const ask = async () => (network ??= await new EngineHttp(options.facilitator).network()).id;
    const header = authorization(options.credential, ask);
    config.createAuthHeaders = async () => {
      const headers = { authorization: await header() };
      return { verify: headers, settle: headers, supported: {} };
    };
  }
  return new HTTPFacilitatorClient(config);
}

/** The scheme `batch-settlement` on a Tallystick network, as x402's resource server takes it. */
export class TallystickScheme implements SchemeNetworkServer {
  readonly scheme = SCHEME;
  readonly defaultAssetTransferMethod = "default";
  readonly paymentFlows = { default: { supported: ["authorization"], default: "authorization" } } as const;
  readonly dynamicExtraFields = ["tallystick"];
  readonly schemeHooks: SchemeServerHooks;
  readonly #answers: Answers;
  /** What the engine said of a payment that it refused, until the 402 takes it along. */
  readonly #refused = new Map<string, Record<string, unknown>>();
  #assets: Asset[];

  /** Assets are learned from the facilitator if they are not given. */
  constructor(assets: Asset[] = [], answers?: number, repeats?: number) {
    this.#assets = assets;
    this.#answers = new Answers(answers, repeats);
    const failed = async ({ paymentPayload, transportContext }: { paymentPayload: { payload: object }; transportContext?: unknown }) =>
      this.#answers.failed(signatureOf(paymentPayload), transportContext);
    this.schemeHooks = {
      onAfterVerify: async (context) => this.#verified(context),
      onAfterSettle: async ({ result, paymentPayload, transportContext }) => {
        if (result.success) this.#answers.keep(signatureOf(paymentPayload), transportContext);
      },
      onSettleFailure: failed,
      onVerifiedPaymentCanceled: failed,
    };
  }

  validateFacilitatorSupport(network: NetworkName, kind: SupportedKind): string | void {
    const found = readNetwork(network, kind.extra);
    if (!found) return `the facilitator does not say which assets ${network} has`;
    this.#assets = found.assets;
  }

  async parsePrice(price: Price): Promise<AssetAmount> {
    if (typeof price === "object") {
      this.#asset(price.asset);
      return price;
    }
    const { amount, code } = parsePrice(price);
    const asset = this.#asset(code);
    const rise = units(amount, asset);
    if (rise === 0n) throw new TallystickError(`a price of ${price} is nothing: leave the route free`);
    return { asset: code, amount: rise.toString() };
  }

  getAssetDecimals(code: string): number | undefined {
    return this.#assets.find((one) => one.code === code)?.scale;
  }

  async enhancePaymentRequirements(required: PaymentRequirements, kind: SupportedKind): Promise<PaymentRequirements> {
    const asset = this.#asset(required.asset);
    const networkId = kind.extra?.["networkId"];
    const extra = { ...required.extra, networkId, assetNumber: asset.number, scale: asset.scale };
    return { ...required, extra };
  }

  async enrichPaymentRequiredResponse(context: Parameters<NonNullable<SchemeNetworkServer["enrichPaymentRequiredResponse"]>>[0]) {
    const signature = context.paymentPayload && signatureOf(context.paymentPayload);
    const said = signature ? this.#refused.get(signature) : undefined;
    if (!said) return;
    this.#refused.delete(signature ?? "");
    return context.requirements.map((one) => {
      const isPaid = one.scheme === SCHEME && one.network === context.paymentPayload?.accepted.network;
      return isPaid ? { ...one, extra: { ...one.extra, tallystick: said } } : one;
    });
  }

  async #verified({ result, paymentPayload, transportContext }: VerifyContext) {
    const signature = signatureOf(paymentPayload);
    const extra = result.extra as Record<string, unknown> | undefined;
    if (!result.isValid) {
      if (!extra) return;
      const { channel, charged, expected } = extra;
      const said = Object.entries({ channel, charged, expected, message: result.invalidMessage });
      this.#say(signature, Object.fromEntries(said.filter(([, value]) => value !== undefined)));
      return;
    }
    const turn = this.#answers.turn(signature, transportContext);
    if (turn === "make") return;
    // Settled here before, and still good: it is being repeated.
    if (typeof turn === "object") return { skipHandler: true as const, response: turn };
    const refusal = turn === "too often" ? tooOften(this.#answers.times) : OTHER_REQUEST;
    this.#say(signature, { message: refusal.message });
    return { abort: true as const, ...refusal };
  }

  /** Remembers what the 402 that follows is to say. */
  #say(signature: string, said: Record<string, unknown>): void {
    for (const old of this.#refused.keys()) {
      if (this.#refused.size < 1000) break;
      this.#refused.delete(old);
    }
    this.#refused.set(signature, said);
  }

  #asset(code: string): Asset {
    const asset = this.#assets.find((one) => one.code === code);
    if (asset) return asset;
    const known = this.#assets.map((one) => one.code).join(", ");
    throw new TallystickError(`the network has no asset ${code}; it has ${known || "none"}`);
  }
}

const OTHER_REQUEST = { reason: "invalid_payload", message: "this payment was for another request" };

function tooOften(times: number) {
  return { reason: "already_answered", message: `its answer is made ${times} times at most for one payment: pay anew` };
}

function signatureOf({ payload }: { payload: object }): string {
  const signature = (payload as Record<string, unknown>)["signature"];
  return typeof signature === "string" ? signature.toLowerCase() : "";
}
