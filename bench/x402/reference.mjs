// A facilitator of the reference SDK (npm @x402/core) for our scheme, with everything in memory: what `make bench-x402`
// compares the engine with. On Express, as the SDK's own examples are. It checks each signature, holds every channel's
// total, and takes a payment only if it raises that total by the amount asked for. Nothing is durable, nothing is
// netted, there are no limits and no receipts. Signatures are checked by @noble/curves, which the SDK's own schemes stand on
// through viem; with `openssl` by what is the fastest that Node has. PLAIN=1: node:http in Express's place.
// Usage: node reference.mjs NETWORK [openssl]. Prints HOST:PORT, and ends when its standard input does.
import { createPublicKey, verify } from "node:crypto";
import { createServer } from "node:http";
import { ed25519 } from "@noble/curves/ed25519.js";
import { blake3 } from "@noble/hashes/blake3.js";
import { x402Facilitator } from "@x402/core/facilitator";
import express from "express";

const context = new TextEncoder().encode("tallystick 2026-11 channel v1");
const network = process.argv[2];
const openssl = process.argv[3] === "openssl";

/** Channels by what they are, and by their id. Keys and ids are computed once for each channel. */
class Store {
  #named = new Map();
  #channels = new Map();

  channel({ signer, payee, asset, lane, expiresAt }, networkId) {
    const name = `${networkId} ${signer} ${payee} ${asset} ${lane} ${expiresAt}`;
    let channel = this.#named.get(name);
    if (channel === undefined) {
      const bytes = Buffer.alloc(116);
      bytes.write(networkId + signer + payee, 0, "hex");
      bytes.writeUInt32LE(asset, 96);
      bytes.writeBigUInt64LE(BigInt(lane), 100);
      bytes.writeBigInt64LE(BigInt(expiresAt), 108);
      const id = Buffer.from(blake3(bytes, { context }));
      const x = Buffer.from(signer, "hex").toString("base64url");
      const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
      channel = { id, hex: id.toString("hex"), key, raw: Buffer.from(signer, "hex"), total: 0n };
      this.#named.set(name, channel);
      this.#channels.set(channel.hex, channel);
    }
    return channel;
  }

  charged(id) {
    const channel = this.#channels.get(id);
    return { channel: id, known: channel !== undefined, charged: String(channel?.total ?? 0n) };
  }
}

/** Our scheme, as the SDK wants one. */
class BatchSettlement {
  scheme = "batch-settlement";
  caipFamily = "tallystick:*";
  #store;

  constructor(store) {
    this.#store = store;
  }

  getExtra() {
    return undefined;
  }

  getSigners() {
    return [];
  }

  /** Why it is no good, or nothing. */
  #wrong(voucher, channel, requirements) {
    const total = BigInt(voucher.cumulative);
    if (voucher.payee !== requirements.payTo) return "invalid_payload";
    if (voucher.expiresAt * 1000 <= Date.now()) return "expired_voucher";
    if (total <= channel.total) return "stale_voucher";
    if (total - channel.total !== BigInt(requirements.amount)) return "wrong_amount";
    const message = Buffer.alloc(50);
    message.writeUInt16LE(0x0156, 0);
    channel.id.copy(message, 2);
    message.writeBigUInt64LE(total, 34);
    message.writeBigInt64LE(BigInt(voucher.expiresAt), 42);
    const signature = Buffer.from(voucher.signature, "hex");
    const good = openssl
      ? verify(null, message, channel.key, signature)
      : ed25519.verify(signature, message, channel.raw, { zip215: false });
    return good ? undefined : "bad_signature";
  }

  async verify({ payload }, requirements) {
    const channel = this.#store.channel(payload, requirements.extra.networkId);
    const invalidReason = this.#wrong(payload, channel, requirements);
    const extra = { channel: channel.hex, charged: String(channel.total) };
    if (invalidReason) return { isValid: false, invalidReason, payer: payload.signer, extra };
    return { isValid: true, payer: payload.signer, extra };
  }

  /** Checks all of it once more, as the SDK's own schemes do: nobody must ask /verify before. */
  async settle({ payload }, requirements) {
    const channel = this.#store.channel(payload, requirements.extra.networkId);
    const errorReason = this.#wrong(payload, channel, requirements);
    const payer = payload.signer;
    if (errorReason) return { success: false, errorReason, payer, transaction: "", network: requirements.network };
    channel.total = BigInt(payload.cumulative);
    const charged = String(channel.total);
    return {
      success: true,
      payer,
      transaction: `${channel.hex}:${charged}`,
      network: requirements.network,
      amount: requirements.amount,
      extra: { channel: channel.hex, charged },
    };
  }
}

const store = new Store();
const facilitator = new x402Facilitator().register(network, new BatchSettlement(store));
const answers = {
  "/verify": (asked) => facilitator.verify(asked.paymentPayload, asked.paymentRequirements),
  "/settle": (asked) => facilitator.settle(asked.paymentPayload, asked.paymentRequirements),
  "/channels": (asked) => ({ channels: asked.channels.map((id) => store.charged(id)) }),
};

function onExpress() {
  const app = express();
  app.use(express.json());
  app.get("/supported", (_, answer) => answer.json(facilitator.getSupported()));
  for (const [path, give] of Object.entries(answers)) {
    app.post(path, async (request, answer) => answer.json(await give(request.body)));
  }
  return createServer(app);
}

function plain() {
  return createServer((request, answer) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", async () => {
      const give = answers[request.url];
      const text = give ? JSON.stringify(await give(JSON.parse(Buffer.concat(pieces)))) : "{}";
      answer.writeHead(give ? 200 : 404, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
      answer.end(text);
    });
  });
}

const server = process.env.PLAIN === "1" ? plain() : onExpress();
// Buyers who are through with the warm-up wait for the others.
server.keepAliveTimeout = 0;
server.listen(0, "127.0.0.1", () => console.log(`127.0.0.1:${server.address().port}`));
process.stdin.resume().on("end", () => process.exit(0));
