// Bundles against the vectors that another program made.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { AgentKey, bundleMessage, packedBundle } from "@tallystick/x402";

const vectors = JSON.parse(readFileSync(new URL("../../../tests/vectors/bundles.json", import.meta.url), "utf8"));
const hex = (bytes) => Buffer.from(bytes).toString("hex");

for (const one of vectors.bundles) {
  test(`bundle: ${one.name}`, () => {
    const key = new AgentKey(one.signer_secret);
    const entries = one.entries.map((of) => ({
      channel: { payee: of.payee, asset: of.asset, lane: BigInt(of.lane), expiresAt: BigInt(of.expires_at) },
      cumulative: BigInt(of.cumulative),
    }));
    assert.equal(hex(bundleMessage(vectors.network_id, key.signer, entries)), one.message);
    assert.equal(hex(packedBundle(key, vectors.network_id, entries)), one.packed);
  });
}

test("without an entry, or with too many, there is no bundle", () => {
  const entry = { channel: { payee: "00".repeat(32), asset: 1, lane: 0n, expiresAt: 1n }, cumulative: 1n };
  for (const count of [0, 65]) {
    assert.throws(() => packedBundle(AgentKey.generate(), "11".repeat(32), Array(count).fill(entry)), /1 to 64/);
  }
});
