// The demo of x402: an engine, a shop on Express, and three agents with budgets that call it CALLS times, side by side. Then the
// window is closed, a bank that the demo plays settles one leg each, and all books are compared: the agents', the shop's, the
// engine's. Usage: demo.mjs --engine PATH --dir DIR [--calls 30000]; `make demo-x402` runs it.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { decimal } from "@tallystick/x402";
import { Bank } from "./bank.mjs";

const { values: args } = parseArgs({ options: {
  engine: { type: "string" }, dir: { type: "string" }, calls: { type: "string", default: "30000" },
} });
if (!args.engine || !args.dir) throw new Error("usage: demo.mjs --engine PATH --dir DIR [--calls N]");
const ENGINE = resolve(args.engine), DIR = resolve(args.dir), EACH = Math.ceil(Number(args.calls) / 3);
const MARKER = join(DIR, ".tallystick-demo");
const PRICE = 100n, CENT = 10_000n, SCALE = 6, WAIT = 60_000, SIDE_BY_SIDE = "16";
const SHOP = "5a".repeat(32);
// What each may spend: the third one's budget, in the engine, ends at three fifths of what it wants.
const AGENTS = ["Alice", "Bob", "Carol"].map((name, at) => ({
  name, party: `a${at + 1}`.repeat(32), iban: ["DE02120300000000202051", "DE02500105170137075030", "DE02100500000054540402"][at],
  budget: BigInt(EACH) * PRICE * (at === 2 ? 3n : 10n) / (at === 2 ? 5n : 5n),
}));
const run = promisify(execFile);
const children = [];
const report = { calls: 3 * EACH, price: decimal(PRICE, SCALE), asset: "EUR" }, checks = [];
const started = performance.now();

function check(is, words) {
  checks.push({ is, words });
  if (!is) process.exitCode = 1;
}

/** Waits for something that comes by itself. */
async function until(what, found) {
  const end = Date.now() + WAIT;
  for (;;) {
    const value = await found();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what} did not come to pass in ${WAIT / 1000} s; see ${DIR}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

function start(name, command, parameters, env = {}) {
  const log = openSync(join(DIR, `${name}.log`), "a");
  const child = spawn(command, parameters, { cwd: DIR, stdio: ["ignore", "pipe", log], env: { ...process.env, ...env } });
  child.stdout.setEncoding("utf8");
  children.push(child);
  return child;
}

async function output(child) {
  let text = "";
  for await (const part of child.stdout) text += part;
  if (child.exitCode === null) await once(child, "exit");
  if (child.exitCode) throw new Error(`a program ended with ${child.exitCode}; its log is in ${DIR}`);
  return text;
}

function prepare() {
  if (existsSync(DIR) && !existsSync(MARKER) && readdirSync(DIR).length) {
    throw new Error(`${DIR} was not made by a demo, so it stays as it is; name another --dir`);
  }
  rmSync(DIR, { recursive: true, force: true });
  mkdirSync(DIR, { recursive: true });
  writeFileSync(MARKER, "Made by examples/x402/demo.mjs, which removes this folder when it runs again.\n");
}

/** The engine, and what an operator types into it. */
async function engine() {
  const ready = join(DIR, "ready.json");
  const listen = ["--listen", "127.0.0.1:0", "--listen-http", "127.0.0.1:0"];
  const child = start("engine", ENGINE, ["serve", "--data-dir", join(DIR, "data"), ...listen, "--ready-file", ready]);
  await until("the start of the engine", () => existsSync(ready) || child.exitCode !== null);
  const { grpc, http } = JSON.parse(readFileSync(ready, "utf8"));
  const cli = async (...words) => {
    const { stdout } = await run(ENGINE, [...words, "--server", grpc, "--json"], { maxBuffer: 64 << 20 });
    return stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  };
  return { child, cli, url: `http://${http}` };
}

async function setUp(cli) {
  await cli("asset", "add", "--number", "978", "--code", "EUR", "--scale", String(SCALE), "--model", "multilateral");
  await cli("party", "add", "--id", SHOP, "--name", "Weather Shop", "--account", "iso20022:iban=DE89370400440532013000");
  for (const one of AGENTS) {
    await cli("party", "add", "--id", one.party, "--name", one.name, "--account", `iso20022:iban=${one.iban}`);
    await cli("limit", "set", "--party", one.party, "--asset", "978", String(BigInt(EACH) * PRICE * 2n));
    one.file = join(DIR, `${one.name}.key`);
    const [{ signer }] = await cli("voucher", "keygen", "--out", one.file);
    one.signer = signer;
    await cli("signer", "add", "--party", one.party, "--key", signer, "--budget", `978=${one.budget}/total`);
  }
}

/** All three at once; what each of them says of itself. */
async function call(facilitator, shop) {
  const begun = performance.now();
  await Promise.all(AGENTS.map(async (one) => {
    const child = start(one.name, process.execPath, [fileURLToPath(new URL("agent.mjs", import.meta.url))], {
      AGENT_KEY: one.file, FACILITATOR: facilitator, SHOP: `${shop}/weather`, COUNT: String(EACH), SIDE_BY_SIDE,
      LANES: join(DIR, `${one.name}.lanes`), BUDGET: "1000",
    });
    one.told = JSON.parse(await output(child));
  }));
  return (performance.now() - begun) / 1000;
}

/** Every book of who paid what, held against the others. */
async function compare(cli) {
  const told = readFileSync(join(DIR, "shop.jsonl"), "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const shop = new Map(told.map((line) => [line.transaction, line]));
  const [window] = await cli("window", "close");
  const rows = await cli("window", "obligations", String(window.number), "--asset", "978");
  const owed = new Map(rows.map((row) => [row.payer, BigInt(row.amount)]));
  let twice = 0, lost = 0, books = true;
  for (const one of AGENTS) {
    const paid = new Set(one.told.paid), sold = [...shop.values()].filter((line) => line.payer === one.party);
    twice += one.told.paid.length - paid.size;
    const atEngine = Number((owed.get(one.party) ?? 0n) / PRICE);
    // More at the engine than requests that were answered: some request was charged twice. Less: an answered one was lost.
    twice += Math.max(0, atEngine - paid.size);
    lost += Math.max(0, paid.size - atEngine) + [...paid].filter((transaction) => !shop.has(transaction)).length;
    const same = atEngine === paid.size && sold.length === paid.size && (owed.get(one.party) ?? 0n) % PRICE === 0n;
    books &&= same;
    check(same, `${one.name}: ${paid.size} paid calls in the agent's books, the shop's and the engine's`);
  }
  check(twice === 0, "no request was charged twice");
  check(lost === 0, "no payment that was answered is missing");
  Object.assign(report, { charged_twice: twice, lost, books_match: books, window: window.number, window_root: window.root });
  return owed;
}

/** A batch, approved, and the bank played until it has ended. */
async function settle(cli, owed) {
  const [batch] = await cli("batch", "create", "--window", String(report.window), "--asset", "978", "--rail", "iso20022");
  await cli("batch", "approve", batch.batch_id);
  const legs = await cli("leg", "list", batch.batch_id);
  const bank = new Bank(join(DIR, "data"), join(DIR, "bank")), paid = [];
  const payIns = legs.filter((leg) => owed.has(leg.from)).map((leg) => ({ key: leg.key, cents: BigInt(leg.amount) / CENT, from: leg.from }));
  await until("the list of who is to pay in", () => payIns.every(({ key }) => bank.asked().includes(key)));
  bank.paidIn(payIns);
  const ended = await until("the end of the batch", async () => {
    paid.push(...bank.work());
    const [now] = await cli("batch", "show", batch.batch_id);
    return ["settled", "settled_with_carry", "aborted"].includes(now.state.toLowerCase()) && now;
  });
  const sum = [...owed.values()].reduce((all, one) => all + one, 0n);
  check(ended.state.toLowerCase() === "settled", `the batch is settled: ${payIns.length} pay-ins, ${paid.length} pay-out`);
  check(payIns.length === AGENTS.length && paid.length === 1, "one leg each: the agents' owners pay in, the shop is paid");
  check(paid.reduce((all, { cents }) => all + cents, 0n) === sum / CENT, `the shop's leg is ${decimal(sum / CENT * CENT, SCALE)} EUR, what was owed`);
  Object.assign(report, {
    batch_id: batch.batch_id, batch_state: ended.state, pay_in_legs: payIns.length, pay_out_legs: paid.length, total: decimal(sum, SCALE),
  });
}

function show() {
  const count = (number) => number.toLocaleString("en-GB");
  const line = (name, text) => console.log(`  ${name.padEnd(18)} ${text}`);
  console.log("\nCalls");
  line("made", `${count(report.calls)} at ${report.price} EUR, by three agents, ${SIDE_BY_SIDE} at once each, in ${report.seconds.toFixed(1)} s`);
  line("paid", `${count(report.paid)} (each: asked, signed, verified, served, settled)`);
  line("refused", `${count(report.refused)}: ${Object.entries(report.refused_because).map(([why, often]) => `${why} ${count(often)}`).join(", ")}`);
  line("speed", `${count(report.requests_per_second)} calls a second`);
  line("latency, paid", `p50 ${report.p50_ms} ms, p99 ${report.p99_ms} ms, from the agent's first byte to the goods`);
  console.log("\nAgents");
  for (const one of report.agents) line(one.name, `paid ${count(one.paid)}, refused ${count(one.refused)}, spent ${one.spent} EUR of ${one.budget}`);
  console.log("\nSettlement, by a bank that this demo plays: the files are real, no money moved");
  line("window", `${report.window}, root ${report.window_root}`);
  line("legs", `${report.pay_in_legs} pay-ins and ${report.pay_out_legs} pay-out for ${count(report.paid)} payments`);
  line("batch", `${report.batch_state}: ${report.total} EUR`);
  console.log("\nChecked");
  for (const { is, words } of checks) console.log(`  ${is ? "ok " : "NO "} ${words}`);
  console.log(`\n  look: ${DIR} has report.json, shop.jsonl, bank/, the agents' lanes, logs and data/`);
}

function sum() {
  const times = AGENTS.flatMap((one) => one.told.times).sort((left, right) => left - right);
  const at = (share) => Math.round(10 * (times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0)) / 10;
  const because = {};
  for (const one of AGENTS) for (const [why, often] of Object.entries(one.told.refused)) because[why] = (because[why] ?? 0) + often;
  const refused = Object.values(because).reduce((all, one) => all + one, 0), paid = times.length;
  report.agents = AGENTS.map((one) => ({
    name: one.name, paid: one.told.paid.length, refused: Object.values(one.told.refused).reduce((all, often) => all + often, 0),
    spent: decimal(BigInt(one.told.paid.length) * PRICE, SCALE), budget: decimal(one.budget, SCALE),
  }));
  Object.assign(report, {
    paid, refused, refused_because: because, requests_per_second: Math.round((paid + refused) / report.seconds), p50_ms: at(0.5), p99_ms: at(0.99),
  });
  check(paid + refused === report.calls, "every call was answered");
  const [alice, bob, carol] = report.agents;
  check(alice.refused + bob.refused === 0 && carol.paid === Math.floor(Number(AGENTS[2].budget / PRICE)) && carol.refused > 0,
    "Carol's budget is used up to the last call, and the others' payments all went through");
}

try {
  prepare();
  const { child, cli, url } = await engine();
  await setUp(cli);
  const shop = start("shop", process.execPath, [fileURLToPath(new URL("shop.mjs", import.meta.url))],
    { FACILITATOR: url, SELLER: SHOP, PORT: "0", BOOKS: join(DIR, "shop.jsonl") });
  const [address] = await once(shop.stdout, "data");
  console.error(`Three agents call ${address.trim()}/weather ${3 * EACH} times`);
  report.seconds = await call(url, address.trim());
  shop.kill();
  await once(shop, "exit");
  sum();
  await settle(cli, await compare(cli));
  child.kill();
  await once(child, "exit");
  check(child.exitCode === 0, "the engine ended with exit code 0 when asked to");
  report.checks = checks.map(({ is, words }) => `${is ? "ok" : "NO"} ${words}`);
  report.demo_seconds = Math.round((performance.now() - started) / 100) / 10;
  writeFileSync(join(DIR, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
  show();
} finally {
  for (const child of children) if (child.exitCode === null) child.kill("SIGKILL");
}
