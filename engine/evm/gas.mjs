// Measures the gas of one payout at 1, 10, 100 and 400 items and prints the table of
// docs/RAIL-EVM.md. Amounts are USDC-like (6 decimals, up to 1,000.00).
//
//   node gas.mjs
import { keccak256, toHex } from "viem";
import { fileURLToPath } from "node:url";
import { account, artifact, deploy, id, pack, send, startAnvil, sum } from "./anvil.mjs";

const owner = account(0);
/** Most that one transaction may ask for (EIP-7825). */
const GAS = 2n ** 24n;
let batches = 1;

const holder = (n) => keccak256(toHex(n)).slice(0, 42);
const amount = (n) => 1n + BigInt(keccak256(toHex(n + 1_000_000))) % 1_000_000_000n;
const items = (first, count) =>
  Array.from({ length: count }, (_, n) => [holder(first + n), amount(n)]);

async function pay(client, payout, list) {
  const args = [id(batches++), pack(list), sum(list)];
  return (await send(client, payout, "pay", args, owner, { gas: GAS })).gasUsed;
}

async function single(client, token) {
  const [[to, value]] = items(60_000, 1);
  await send(client, token, "mint", [owner.address, 10n * value], owner);
  const fresh = await send(client, token, "transfer", [to, value], owner);
  const existing = await send(client, token, "transfer", [to, value], owner);
  return { fresh: fresh.gasUsed, existing: existing.gasUsed };
}

/** A token of that name and a contract that holds plenty of it. */
async function funded(client, name, args) {
  const token = await deploy(client, name, args, owner);
  const payout = await deploy(client, "BatchPayout", [token.address], owner);
  await send(client, token, "mint", [payout.address, 10n ** 15n], owner);
  return { token, payout };
}

/** Gas of whole transactions: { single, rows: [{ count, existing, fresh }], refused } */
export async function measure(client) {
  const { token, payout } = await funded(client, "PlainToken", [6]);
  const rows = [];
  for (const [n, count] of [1, 10, 100, 400].entries()) {
    const list = items(n * 1_000, count);
    const fresh = await pay(client, payout, list);
    rows.push({ count, fresh, existing: await pay(client, payout, list) });
  }
  const other = await funded(client, "BlacklistToken", []);
  const list = items(50_000, 400);
  for (const [to] of list) await send(client, other.token, "setBlocked", [to, true], owner);
  const refused = await pay(client, other.payout, list);
  return { single: await single(client, token), rows, refused };
}

const shown = (gas) => gas.toLocaleString("en");

function print({ single: alone, rows, refused }) {
  console.log("| items | existing holder | new holder | whole transaction, existing / new |");
  console.log("|---|---|---|---|");
  console.log(`| plain \`transfer\` | ${shown(alone.existing)} | ${shown(alone.fresh)} | |`);
  for (const { count, existing, fresh } of rows) {
    const each = (gas) => shown(gas / BigInt(count));
    const whole = `${shown(existing)} / ${shown(fresh)}`;
    console.log(`| ${count} | ${each(existing)} | ${each(fresh)} | ${whole} |`);
  }
  console.log(`\n400 recipients that the token refuses: ${shown(refused / 400n)} gas each.`);
  console.log(`Compiler: solc ${artifact("BatchPayout").compiler.version}.`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { client, stop } = await startAnvil();
  try {
    print(await measure(client));
  } finally {
    stop();
  }
}
