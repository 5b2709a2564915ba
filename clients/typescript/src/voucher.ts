// Vouchers: what is hashed, signed and sent. tests/vectors/vouchers.json holds examples of every field.
import { ed25519 } from "@noble/curves/ed25519.js";
import { blake3 } from "@noble/hashes/blake3.js";
import { fromHex, integer, join, toHex } from "./bytes.js";

// The option's name is `context`: @noble/hashes ignores any other, and the hash would be a plain one.
const context = new TextEncoder().encode("tallystick 2026-11 channel v1");
const VOUCHER = Uint8Array.of(0x56, 0x01);

/** A channel without its signer: whom it pays, in what, which of several in parallel, and until when. */
export interface Channel {
  /** The party that is paid: 64 hexadecimal digits. */
  payee: string;
  /** The asset's number in the engine. */
  asset: number;
  lane: bigint;
  /** Unix seconds. Another expiry is another channel, whose total starts at 0. */
  expiresAt: bigint;
}

/** A voucher as the payload of an x402 payment carries it. */
export interface VoucherJson {
  signer: string;
  payee: string;
  asset: number;
  lane: string;
  expiresAt: number;
  cumulative: string;
  signature: string;
}

/** An agent's key: what signs vouchers. */
export class AgentKey {
  readonly #secret: Uint8Array;
  /** The public key, 64 hexadecimal digits: what `tallystick signer add` takes. */
  readonly signer: string;

  /** From the secret: 32 bytes, or 64 hexadecimal digits as `tallystick voucher keygen` writes them. */
  constructor(secret: string | Uint8Array) {
    const given = typeof secret === "string" ? fromHex(secret.trim(), 32, "an agent's key") : secret;
    // Also where nothing was given, as from a variable of the environment that is not set.
    if (given?.length !== 32) throw new TypeError("an agent's key must be 64 hexadecimal digits, or 32 bytes");
    this.#secret = given.slice();
    this.signer = toHex(ed25519.getPublicKey(this.#secret));
  }

  /** A new key, from the system's own source of chance. */
  static generate(): AgentKey {
    return new AgentKey(ed25519.utils.randomSecretKey());
  }

  /** The signature of a message, 64 bytes. */
  sign(message: Uint8Array): Uint8Array {
    return ed25519.sign(message, this.#secret);
  }

  /** The voucher "this channel's total is now `cumulative`". The same one each time it is asked for. */
  voucher(network: string, channel: Channel, cumulative: bigint): VoucherJson {
    const id = channelId(network, this.signer, channel);
    return {
      signer: this.signer,
      payee: channel.payee,
      asset: channel.asset,
      lane: channel.lane.toString(),
      expiresAt: Number(channel.expiresAt),
      cumulative: cumulative.toString(),
      signature: toHex(this.sign(message(id, cumulative, channel.expiresAt))),
    };
  }
}

/** The id of a channel, 64 hexadecimal digits. */
export function channelId(network: string, signer: string, channel: Channel): string {
  const bytes = join(
    fromHex(network, 32, "the network id"),
    fromHex(signer, 32, "the signer"),
    fromHex(channel.payee, 32, "the payee"),
    integer(BigInt(channel.asset), 4),
    integer(channel.lane, 8),
    integer(channel.expiresAt, 8),
  );
  return toHex(blake3(bytes, { context }));
}

/** What is signed. */
export function message(channel: string, cumulative: bigint, expiresAt: bigint): Uint8Array {
  return join(VOUCHER, fromHex(channel, 32, "the channel id"), integer(cumulative, 8), integer(expiresAt, 8));
}

/** A voucher's 160 bytes, as frames of the gRPC stream hold it. */
export function packed(voucher: VoucherJson): Uint8Array {
  return join(
    fromHex(voucher.signer, 32, "the signer"),
    fromHex(voucher.payee, 32, "the payee"),
    integer(BigInt(voucher.asset), 4),
    integer(0n, 4),
    integer(BigInt(voucher.lane), 8),
    integer(BigInt(voucher.expiresAt), 8),
    integer(BigInt(voucher.cumulative), 8),
    fromHex(voucher.signature, 64, "the signature"),
  );
}
