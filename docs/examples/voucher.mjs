// A voucher, made with Node's own crypto and @noble/hashes. tests/js/vectors.mjs compares it with the published vectors.
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import { blake3 } from "@noble/hashes/blake3.js";

const context = new TextEncoder().encode("tallystick 2026-11 channel v1");

// Node takes a secret of 32 bytes only in this wrapping (PKCS#8).
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");

/** The key of an agent, from its secret of 32 bytes. */
export function agent(secret) {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, secret]), format: "der", type: "pkcs8" });
  const signer = Buffer.from(createPublicKey(key).export({ format: "jwk" }).x, "base64url");
  return { key, signer };
}

/** An integer, little endian. Whole amounts, lanes and times are BigInt: a number of JavaScript loses digits. */
function integer(value, bytes) {
  const buffer = Buffer.alloc(bytes);
  if (bytes === 4) buffer.writeUInt32LE(Number(value));
  else buffer.writeBigUInt64LE(BigInt.asUintN(64, value));
  return buffer;
}

/** The id of a channel. The option is `context`, as bytes: under any other name it is ignored, and the hash is another. */
export function channelId(network, signer, payee, asset, lane, expiresAt) {
  const channel = Buffer.concat([network, signer, payee, integer(asset, 4), integer(lane, 8), integer(expiresAt, 8)]);
  return Buffer.from(blake3(channel, { context }));
}

/** "This channel's total is now `cumulative`", signed: 160 bytes. */
export function voucher(network, { key, signer }, payee, asset, lane, expiresAt, cumulative) {
  const id = channelId(network, signer, payee, asset, lane, expiresAt);
  const message = Buffer.concat([Buffer.from([0x56, 0x01]), id, integer(cumulative, 8), integer(expiresAt, 8)]);
  return Buffer.concat([
    signer, payee, integer(asset, 4), integer(0, 4), integer(lane, 8), integer(expiresAt, 8), integer(cumulative, 8),
    sign(null, message, key),
  ]);
}
