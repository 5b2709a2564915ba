// The example's vouchers are the published ones, byte for byte: node tests/js/vectors.mjs
import assert from "node:assert/strict";
import fs from "node:fs";
import { agent, channelId, voucher } from "../../docs/examples/voucher.mjs";

const bytes = (hex) => Buffer.from(hex, "hex");
const file = JSON.parse(fs.readFileSync(new URL("../vectors/vouchers.json", import.meta.url), "utf8"));
const network = bytes(file.network_id);
assert.ok(file.vouchers.length > 3, "there are vectors");
for (const one of file.vouchers) {
  const key = agent(bytes(one.signer_secret));
  assert.equal(key.signer.toString("hex"), one.signer, one.name);
  const channel = [bytes(one.payee), one.asset, BigInt(one.lane), BigInt(one.expires_at)];
  assert.equal(channelId(network, key.signer, ...channel).toString("hex"), one.channel_id, one.name);
  assert.equal(voucher(network, key, ...channel, BigInt(one.cumulative)).toString("hex"), one.packed, one.name);
}
console.log(`js: ${file.vouchers.length} vouchers are those of the published vectors`);
