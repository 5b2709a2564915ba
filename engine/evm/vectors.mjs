// Writes vectors.json: calls, signed transactions and events as viem makes them. The engine's own
// encoder and decoder are compared with it; test/vectors.test.mjs compares viem with the file.
//
//   node vectors.mjs
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  concat, encodeAbiParameters, encodeErrorResult, encodeEventTopics, encodeFunctionData, keccak256,
  pad, toHex,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { artifact, pack, sum } from "./anvil.mjs";

const { abi } = artifact("BatchPayout");
const MOST = 2n ** 96n - 1n;
const hash = (text) => keccak256(toHex(text));
const address = (text) => hash(text).slice(0, 42);
const number = (text, most) => 1n + (BigInt(hash(text)) % most);

/** [name, key, chain, nonce, tip, max fee, gas, items] */
const CASES = [
  ["one item", 1, 1, 0, 0n, 1n, 385_000, 1],
  ["two items", 2, 8453, 1, 1_000_000n, 30_000_000n, 420_000, 2],
  ["nonce 127", 3, 31337, 127, 1n, 127n, 21_000, 3],
  ["nonce 128", 4, 31337, 128, 128n, 128n, 16_777_216, 3],
  ["nonce 256", 5, 137, 256, 255n, 256n, 500_000, 5],
  ["large nonce", 6, 42161, 4_294_967_296, 2n ** 40n, 2n ** 41n, 500_000, 8],
  ["large chain", 7, 1_313_161_554, 9, 10n ** 14n, 10n ** 14n, 9_000_000, 33],
  ["a full chunk", 8, 8453, 77, 1_500_000_000n, 99_000_000_000n, 14_350_000, 400],
];

async function transaction([name, key, chainId, nonce, tip, maxFee, gas, count]) {
  const privateKey = hash(`key ${key}`);
  const account = privateKeyToAccount(privateKey);
  const contract = address(`contract ${name}`);
  const id = hash(`id ${name}`);
  const items = Array.from({ length: count }, (_, n) => [
    address(`${name} to ${n}`), n === 1 ? MOST : number(`${name} amount ${n}`, 10n ** 12n),
  ]);
  const data = encodeFunctionData({
    abi, functionName: "pay", args: [id, pack(items), sum(items)],
  });
  const raw = await account.signTransaction({
    type: "eip1559", chainId, nonce, maxPriorityFeePerGas: tip, maxFeePerGas: maxFee, gas,
    to: contract, value: 0n, data,
  });
  const text = (value) => value.toString();
  return {
    name, key: privateKey, from: account.address.toLowerCase(), chain_id: text(chainId),
    nonce: text(nonce), tip: text(tip), max_fee: text(maxFee), gas: text(gas), contract, id,
    items: items.map(([to, amount]) => [to, text(amount)]), data, raw, hash: keccak256(raw),
  };
}

/** Answers that a token gave, and how a failed item tells them. */
function answers() {
  const error = (text) => encodeErrorResult({
    abi: [{ type: "error", name: "Error", inputs: [{ type: "string" }] }],
    errorName: "Error", args: [text],
  });
  const long = "a reason that is longer than what an event of a failed item repeats of it, alas";
  const panic = concat(["0x4e487b71", pad("0x11", { size: 32 })]);
  const custom = concat(["0x01020304", pad("0x05", { size: 32 }), pad("0x06", { size: 32 })]);
  return [
    ["0x", "no reason given, or more gas needed than an item has"],
    [toHex("own address"), "own address: the recipient is the contract or the token itself"],
    [pad("0x00", { size: 32 }), "the token answered false"],
    [error("Pausable: paused"), "Pausable: paused"],
    [error("line\none \u00e9"), "line?one ??"],
    [error(long).slice(0, 2 + 2 * 128), `${long.slice(0, 60)}...`],
    [panic, "panic 0x11"],
    [custom, `error 0x01020304${"0".repeat(63)}5...`],
    ["0xabcd", "error 0xabcd"],
  ];
}

/** The events of one payment: which items failed, and with what answer. */
function events({ id, items, contract }, failed) {
  const log = (eventName, data) => ({
    address: contract, topics: encodeEventTopics({ abi, eventName, args: { batchId: id } }), data,
  });
  const failures = failed.map(([index, answer]) => {
    const [to, amount] = items[index];
    const types = ["uint256", "address", "uint256", "bytes"].map((type) => ({ type }));
    return log("Failed", encodeAbiParameters(types, [BigInt(index), to, BigInt(amount), answer]));
  });
  const isFailed = (index) => failed.some(([other]) => other === index);
  const moved = items.filter((_, index) => !isFailed(index));
  const types = Array.from({ length: 3 }, () => ({ type: "uint256" }));
  const counts = [moved.length, failed.length].map(BigInt);
  const total = moved.reduce((total, [, amount]) => total + BigInt(amount), 0n);
  return [...failures, log("Paid", encodeAbiParameters(types, [...counts, total]))];
}

/** What vectors.json must be. */
export async function vectors() {
  const transactions = [];
  for (const one of CASES) transactions.push(await transaction(one));
  const chunk = transactions.find(({ name }) => name === "large chain");
  const told = answers();
  const failed = told.map(([answer], n) => [3 * n, answer]);
  const reverted = [
    ["AlreadyPaid", [chunk.id, 7n], "the chunk was paid already"],
    ["Underfunded", [5n, 6n],
      "the contract holds 5 token units and needs 6; send it the rest"],
    ["NotOwner", [chunk.contract],
      "the key does not own the contract; give the engine the owner's key"],
    ["ControlSum", [1n, 2n], "the contract reverts: the control sum does not match"],
    ["ItemsLength", [33n], "the contract reverts: the items have a wrong length"],
  ].map(([errorName, args, text]) => [encodeErrorResult({ abi, errorName, args }), text]);
  const receipt = { chunk: chunk.name, failed: told.map(([, text], n) => [3 * n, text]) };
  receipt.logs = events(chunk, failed);
  const all = { made_by: "viem", transactions, answers: told, reverted, receipt };
  return `${JSON.stringify(all, null, 1)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL("./vectors.json", import.meta.url), await vectors());
}

/** The committed file. */
export const committed = () =>
  readFileSync(new URL("./vectors.json", import.meta.url), "utf8");
