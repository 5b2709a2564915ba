// A real node of one's own for tests and measurements: starts anvil on a free port, deploys, sends.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  concat, createTestClient, http, pad, publicActions, toHex, walletActions,
} from "viem";
import { mnemonicToAccount } from "viem/accounts";
import { foundry } from "viem/chains";

const here = dirname(fileURLToPath(import.meta.url));
/** How long anvil may take to say that it listens. */
const START_MILLIS = 20_000;
/** The accounts that anvil funds: its own well-known test words. */
const MNEMONIC = "test test test test test test test test test test test junk";

/** anvil's binary lies in a package of its own for each platform. */
export function anvilBinary() {
  const arch = { x64: "amd64", arm64: "arm64" }[process.arch];
  const packageName = `anvil-${process.platform}-${arch}`;
  const path = join(here, "node_modules", "@foundry-rs", packageName, "bin", "anvil");
  if (!existsSync(path)) throw new Error(`no anvil at ${path}: run engine/evm/setup`);
  return path;
}

/** Starts anvil; the result has a client that can do everything, and `stop`. */
export async function startAnvil(args = []) {
  const child = spawn(anvilBinary(), ["--port", "0", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const url = await new Promise((resolve, reject) => {
    let text = "";
    const timer = setTimeout(() => reject(new Error("anvil did not start")), START_MILLIS);
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`anvil ended with ${code}`)));
    child.stdout.on("data", (piece) => {
      text += piece;
      const listening = /Listening on (\S+)/.exec(text);
      if (!listening) return;
      clearTimeout(timer);
      text = "";
      resolve(`http://${listening[1]}`);
    });
  });
  const client = createTestClient({
    mode: "anvil", chain: foundry, transport: http(url), pollingInterval: 20,
  }).extend(publicActions).extend(walletActions);
  return { url, client, stop: () => child.kill("SIGKILL") };
}

/** The n-th funded account. */
export const account = (n) => mnemonicToAccount(MNEMONIC, { addressIndex: n });

/** A committed or built artifact. */
export function artifact(name) {
  const file = name === "BatchPayout" ? "BatchPayout.json" : `build/${name}.json`;
  return JSON.parse(readFileSync(join(here, file), "utf8"));
}

/** Deploys a contract; returns { address, abi }. */
export async function deploy(client, name, args, from) {
  const { abi, bytecode } = artifact(name);
  const hash = await client.deployContract({ abi, bytecode, args, account: from });
  const receipt = await client.waitForTransactionReceipt({ hash });
  if (receipt.status !== "success") throw new Error(`${name} was not deployed`);
  return { address: receipt.contractAddress, abi };
}

/** Calls a function in a transaction and waits for it; throws if it reverts. */
export async function send(client, contract, functionName, args, from, more = {}) {
  const call = { ...contract, functionName, args, account: from, ...more };
  const hash = await client.writeContract(call);
  const receipt = await client.waitForTransactionReceipt({ hash });
  if (receipt.status !== "success") throw new Error(`${functionName} reverted in its block`);
  return receipt;
}

/** Packs [address, amount] pairs: 20 bytes and 12 bytes each. */
export const pack = (items) =>
  concat(items.flatMap(([to, amount]) => [to, toHex(amount, { size: 12 })]));

export const sum = (items) => items.reduce((total, [, amount]) => total + amount, 0n);

/** A batch id out of a small number. */
export const id = (number) => pad(toHex(number), { size: 32 });

/** Recipient n: an address that nobody has the key of. */
export const recipient = (n) => pad(toHex(0xa000_0000_0000n + BigInt(n)), { size: 20 });
