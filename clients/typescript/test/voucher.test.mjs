// Vouchers against the vectors that other programs made.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { AgentKey, channelId, message, packed, signToken } from "@tallystick/x402";
import { NodeAgentKey } from "@tallystick/x402/node";
import { verify, createPublicKey } from "node:crypto";

const vectors = JSON.parse(readFileSync(new URL("../../../tests/vectors/vouchers.json", import.meta.url), "utf8"));
const hex = (bytes) => Buffer.from(bytes).toString("hex");

for (const one of vectors.vouchers) {
  test(`vector: ${one.name}`, () => {
    const key = new AgentKey(one.signer_secret);
    const channel = { payee: one.payee, asset: one.asset, lane: BigInt(one.lane), expiresAt: BigInt(one.expires_at) };
    assert.equal(key.signer, one.signer);
    assert.equal(channelId(vectors.network_id, one.signer, channel), one.channel_id);
    const total = BigInt(one.cumulative);
    assert.equal(hex(message(one.channel_id, total, channel.expiresAt)), one.message);
    const voucher = key.voucher(vectors.network_id, channel, total);
    assert.equal(voucher.signature, one.signature);
    assert.deepEqual(new NodeAgentKey(one.signer_secret).voucher(vectors.network_id, channel, total), voucher);
    // A number of JSON holds no larger expiry; the engine allows none.
    if (Number.isSafeInteger(voucher.expiresAt)) assert.equal(hex(packed(voucher)), one.packed);
  });
}

test("what does not fit is refused, not cut off", () => {
  const key = AgentKey.generate();
  const channel = { payee: "00".repeat(32), asset: 1, lane: 0n, expiresAt: 1n };
  assert.throws(() => key.voucher("11".repeat(32), channel, 1n << 64n), /does not fit/);
  assert.throws(() => key.voucher("11".repeat(31), channel, 1n), /network id must be 64/);
  for (const wrong of ["abc", undefined, new Uint8Array(31)]) assert.throws(() => new AgentKey(wrong), /64 hexadecimal digits/);
});

test("a token is what docs/ACCESS.md says, and OpenSSL verifies it", () => {
  const key = AgentKey.generate();
  const [head, body, signature] = signToken(key, "fac-a", "22".repeat(32), 1_700_000_000_999).split(".");
  const parse = (part) => JSON.parse(Buffer.from(part, "base64url"));
  assert.deepEqual(parse(head), { alg: "EdDSA", typ: "JWT" });
  assert.deepEqual(parse(body), { sub: "fac-a", aud: "22".repeat(32), iat: 1_700_000_000, exp: 1_700_000_060 });
  const x = Buffer.from(key.signer, "hex").toString("base64url");
  const known = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  assert.ok(verify(null, Buffer.from(`${head}.${body}`), known, Buffer.from(signature, "base64url")));
});
