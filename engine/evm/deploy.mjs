// Deploys BatchPayout for one token and prints the settings that go with it.
//
//   node deploy.mjs --rpc URL --key-file FILE --token 0x... [--max-fee-gwei N]
//
// FILE holds the private key of the engine's own address, 64 hexadecimal digits: it pays for the
// deployment and owns the contract. Nothing is sent before the token has answered.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import {
  createPublicClient, createWalletClient, getAddress, http, parseAbi, parseGwei,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";

/** How long to wait for the deployment to be mined. */
const WAIT_MILLIS = 600_000;
const TOKEN = parseAbi([
  "function decimals() view returns (uint8)",
  "function balanceOf(address) view returns (uint256)",
]);

function options() {
  const text = { type: "string" };
  const { values } = parseArgs({
    options: { rpc: text, "key-file": text, token: text, "max-fee-gwei": text },
  });
  for (const name of ["rpc", "key-file", "token"]) {
    if (!values[name]) throw new Error(`--${name} is missing`);
  }
  return values;
}

function readKey(path) {
  const digits = readFileSync(path, "utf8").trim().replace(/^0x/, "");
  if (!/^[0-9a-fA-F]{64}$/.test(digits)) throw new Error(`${path} holds no key of 64 hex digits`);
  return privateKeyToAccount(`0x${digits}`);
}

async function main() {
  const { rpc, token, "key-file": keyFile, "max-fee-gwei": maxFee } = options();
  const account = readKey(keyFile);
  const transport = http(rpc);
  const reader = createPublicClient({ transport });
  const chainId = await reader.getChainId();
  const address = getAddress(token);
  const decimals = await reader.readContract({ address, abi: TOKEN, functionName: "decimals" });
  const holder = [account.address];
  await reader.readContract({ address, abi: TOKEN, functionName: "balanceOf", args: holder });

  const artifact = new URL("./BatchPayout.json", import.meta.url);
  const { abi, bytecode } = JSON.parse(readFileSync(artifact, "utf8"));
  const chain = { id: chainId, name: `chain ${chainId}`, rpcUrls: { default: { http: [rpc] } } };
  chain.nativeCurrency = { name: "coin", symbol: "COIN", decimals: 18 };
  const writer = createWalletClient({ account, chain, transport });
  const fees = maxFee ? { maxFeePerGas: parseGwei(maxFee) } : {};
  const hash = await writer.deployContract({ abi, bytecode, args: [address], ...fees });
  console.error(`deploying from ${account.address} on chain ${chainId}: transaction ${hash}`);
  const receipt = await reader.waitForTransactionReceipt({ hash, timeout: WAIT_MILLIS });
  if (receipt.status !== "success") throw new Error(`the deployment ${hash} reverted`);

  const contract = getAddress(receipt.contractAddress);
  const read = (functionName) => reader.readContract({ address: contract, abi, functionName });
  const [owner, paysToken] = [await read("owner"), await read("token")];
  if (owner !== account.address || paysToken !== address) throw new Error("not what was deployed");
  console.log("[clearing.evm]");
  console.log(`chain_id = "${chainId}"`);
  console.log(`contract = "${contract}"`);
  console.log(`token = "${address}"`);
  console.log(`decimals = "${decimals}"`);
}

await main();
