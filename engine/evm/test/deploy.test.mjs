// deploy.mjs, as an operator runs it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { bytesToHex } from "viem";
import { account, artifact, deploy, startAnvil } from "../anvil.mjs";

const script = fileURLToPath(new URL("../deploy.mjs", import.meta.url));
const owner = account(0);
let node, folder;

before(async () => {
  node = await startAnvil();
  folder = mkdtempSync(join(tmpdir(), "evm-"));
  writeFileSync(join(folder, "key"), bytesToHex(owner.getHdKey().privateKey), { mode: 0o600 });
});
after(() => {
  node.stop();
  rmSync(folder, { recursive: true });
});

const run = (token, ...more) => promisify(execFile)(process.execPath, [
  script, "--rpc", node.url, "--key-file", join(folder, "key"), "--token", token, ...more,
]);

test("deploys the committed contract and prints its settings", async () => {
  const token = await deploy(node.client, "PlainToken", [9], owner);
  const { stdout } = await run(token.address, "--max-fee-gwei", "50");
  const settings = [...stdout.matchAll(/^(\w+) = "(.*)"$/gm)];
  const said = Object.fromEntries(settings.map(([, name, value]) => [name, value]));
  assert.deepEqual(Object.keys(said), ["chain_id", "contract", "token", "decimals"]);
  assert.match(stdout, /^\[clearing\.evm\]$/m);
  assert.equal(said.chain_id, "31337");
  assert.equal(said.token.toLowerCase(), token.address.toLowerCase());
  assert.equal(said.decimals, "9");
  const { abi } = artifact("BatchPayout");
  const read = (functionName) =>
    node.client.readContract({ address: said.contract, abi, functionName });
  assert.equal(await read("owner"), owner.address);
  assert.equal(await read("token"), said.token);
});

test("sends nothing when the token does not answer", async () => {
  const count = () => node.client.getTransactionCount({ address: owner.address });
  const before = await count();
  await assert.rejects(run(account(3).address));
  assert.equal(await count(), before);
});
