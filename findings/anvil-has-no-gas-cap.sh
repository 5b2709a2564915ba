#!/bin/sh
# anvil mines transactions that its own hardfork forbids: the gas cap is off unless a flag is given.
#
# Guess:    a node that says it runs the hardfork Osaka holds its rules. One of them (EIP-7825) is
#           that no transaction may have a gas limit above 2^24 = 16,777,216.
# Happens:  anvil takes and mines 16,777,217 and 20,000,000 while `anvil_nodeInfo` says Osaka. The
#           cap holds only with `--enable-tx-gas-limit`.
# Versions: npm @foundry-rs/anvil 1.7.1, ethers 6.17.0 to sign. Seen 2026-11-28.
# Follows:  a batch payout that is tested on anvil up to the block's 30 M gas is refused by a live
#           chain on the first busy day. Bound a transaction's gas yourself, and give the test node
#           the flag.
#
# Output seen:
#   ok: anvil says it runs: Osaka
#   ok: anvil, gas limit 16777216: mined
#   ok: anvil, gas limit 16777217: mined
#   ok: anvil, gas limit 20000000: mined
#   ok: anvil --enable-tx-gas-limit, gas limit 16777216: mined
#   ok: anvil --enable-tx-gas-limit, gas limit 16777217: refused, -32000
set -eu

cannot() { echo "cannot run here: $1" >&2; exit 2; }
for tool in node npm; do command -v $tool >/dev/null || cannot "no $tool"; done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir"
echo '{ "type": "module" }' >package.json
npm install --ignore-scripts --no-audit --no-fund @foundry-rs/anvil@1.7.1 ethers@6.17.0 >log 2>&1 ||
  { tail -5 log >&2; cannot "npm install failed"; }

cat >run.js <<'END'
import { spawn } from "node:child_process";
import { Wallet } from "ethers";

let changed = false;
function fact(name, stated, seen) {
  if (stated === seen) return console.log(`ok: ${name}: ${seen}`);
  changed = true;
  console.log(`CHANGED: ${name}: stated ${stated}, seen ${seen}`);
}

/** anvil on a free port of loopback: how to ask it, how to stop it. */
async function startAnvil(...flags) {
  const start = ["node_modules/@foundry-rs/anvil/bin.mjs", "--port", "0", ...flags];
  const node = spawn(process.execPath, start);
  const port = await new Promise((found, failed) => {
    let said = "";
    const late = setTimeout(() => failed(new Error("anvil is not ready")), 30_000);
    node.on("exit", () => failed(new Error(`anvil stopped: ${said}`)));
    for (const stream of [node.stdout, node.stderr]) {
      stream.on("data", (text) => {
        said += text;
        const match = said.match(/Listening on 127\.0\.0\.1:(\d+)/);
        if (match) found(match[1], clearTimeout(late));
      });
    }
  }).catch((error) => {
    node.kill();
    console.error(`cannot run here: ${error.message}`);
    process.exit(2);
  });
  const ask = async (method, params = []) => {
    const answer = await fetch(`http://127.0.0.1:${port}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
      signal: AbortSignal.timeout(20_000),
    });
    const { result, error } = await answer.json();
    if (error) throw Object.assign(new Error(error.message), { code: error.code });
    return result;
  };
  return { ask, stop: () => node.kill() };
}

/** Sends a transfer of a new account with this gas limit; whether it is mined. */
async function transfer(ask, gasLimit) {
  const payer = Wallet.createRandom();
  await ask("anvil_setBalance", [payer.address, "0xde0b6b3a7640000"]);
  const raw = await payer.signTransaction({
    type: 2, chainId: BigInt(await ask("eth_chainId")), nonce: 0,
    to: "0x" + "11".repeat(20), value: 5n,
    gasLimit, maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 10n ** 9n,
  });
  let hash;
  try {
    hash = await ask("eth_sendRawTransaction", [raw]);
  } catch (error) {
    return `refused, ${error.code}`;
  }
  for (let look = 0; look < 200; look += 1) {
    const receipt = await ask("eth_getTransactionReceipt", [hash]);
    if (receipt) return receipt.status === "0x1" ? "mined" : "failed";
    await new Promise((next) => setTimeout(next, 50));
  }
  return "not mined";
}

const free = await startAnvil("--hardfork", "osaka");
const capped = await startAnvil("--hardfork", "osaka", "--enable-tx-gas-limit");
try {
  fact("anvil says it runs", "Osaka", (await free.ask("anvil_nodeInfo")).hardFork);
  for (const gas of [16_777_216n, 16_777_217n, 20_000_000n]) {
    fact(`anvil, gas limit ${gas}`, "mined", await transfer(free.ask, gas));
  }
  for (const [gas, stated] of [[16_777_216n, "mined"], [16_777_217n, "refused, -32000"]]) {
    fact(`anvil --enable-tx-gas-limit, gas limit ${gas}`, stated,
      await transfer(capped.ask, gas));
  }
} finally {
  free.stop();
  capped.stop();
}
process.exitCode = changed ? 1 : 0;
END
node run.js
