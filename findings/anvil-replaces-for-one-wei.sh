#!/bin/sh
# anvil replaces a waiting transaction for one wei more.
#
# Guess:    a transaction that waits is replaced by one with the same nonce that offers 10 % more on
#           both fees, as go-ethereum asks by default (and Hardhat too). A node for tests holds the
#           same rule.
# Happens:  anvil looks at the maximum fee alone: 1 wei more is enough, even with half the tip; the
#           same maximum with twice the tip is refused.
# Versions: npm @foundry-rs/anvil 1.7.1, ethers 6.17.0 to sign. Seen 2026-11-28.
# Follows:  code that raises fees by 5 %, or the maximum alone, passes every test on anvil and stays
#           stuck on a live chain. Raise both fees by more than 10 %, and test that rule without a
#           node.
#
# Output seen:
#   ok: the first offer, 10 and 1 gwei: taken
#   ok: both fees +1 wei: taken
#   ok: maximum +2 wei, half the tip: taken
#   ok: the same maximum, twice the tip: -32003 replacement transaction underpriced
#   ok: what waits in the pool: maximum 10000000002, tip 500000000
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

const GWEI = 10n ** 9n;
const payer = Wallet.createRandom();

/** Offers the payer's transaction 0 at these fees; what the node says. */
async function offer(ask, most, tip) {
  const raw = await payer.signTransaction({
    type: 2, chainId: BigInt(await ask("eth_chainId")), nonce: 0,
    to: "0x" + "11".repeat(20), value: 5n,
    gasLimit: 21_000n, maxFeePerGas: most, maxPriorityFeePerGas: tip,
  });
  try {
    await ask("eth_sendRawTransaction", [raw]);
    return "taken";
  } catch (error) {
    return `${error.code} ${error.message.split(".")[0]}`;
  }
}

const anvil = await startAnvil("--no-mining");
try {
  const { ask } = anvil;
  await ask("anvil_setBalance", [payer.address, "0xde0b6b3a7640000"]);
  fact("the first offer, 10 and 1 gwei", "taken", await offer(ask, 10n * GWEI, GWEI));
  fact("both fees +1 wei", "taken", await offer(ask, 10n * GWEI + 1n, GWEI + 1n));
  fact("maximum +2 wei, half the tip", "taken", await offer(ask, 10n * GWEI + 2n, GWEI / 2n));
  fact("the same maximum, twice the tip", "-32003 replacement transaction underpriced",
    await offer(ask, 10n * GWEI + 2n, GWEI));
  const { pending } = await ask("txpool_content");
  const waits = Object.values(pending).flatMap((byNonce) => Object.values(byNonce));
  const fees = (tx) => `maximum ${Number(tx.maxFeePerGas)}, tip ${Number(tx.maxPriorityFeePerGas)}`;
  fact("what waits in the pool", "maximum 10000000002, tip 500000000", waits.map(fees).join("; "));
} finally {
  anvil.stop();
}
process.exitCode = changed ? 1 : 0;
END
node run.js
