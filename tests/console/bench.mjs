// How fast pages are seen, and what they hold, with a large ledger behind them: WINDOWS windows, PARTIES parties, a batch of
// LEGS legs. `make bench-console`, or `run.sh bench`; PAGES=leg,now: these alone. With CONSOLE_BENCH_DIR the ledger is kept
// there, and used again. The last line is JSON. Exit code 1 where a page is slower than a person waits, or holds more than a
// phone has.
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { Desk, launch } from "./desk.mjs";
import { EUR } from "./story.mjs";
import { World } from "./world.mjs";

const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const WINDOWS = number("WINDOWS", 1_000), PARTIES = number("PARTIES", 100_000), LEGS = number("LEGS", 1_000_000);
const ROUNDS = number("ROUNDS", 5);
const FIRST_VIEW_MS = 300, MEMORY = 150 * 1024 * 1024;
const PAYEES = Math.round(PARTIES / 10);
const lap = (() => {
  let at = Date.now();
  return (what) => {
    console.log(`${what}: ${((Date.now() - at) / 1000).toFixed(1)} s`);
    at = Date.now();
  };
})();
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** Calls as a page makes them, without a page: a thousand of them take seconds. */
async function calls(world, who) {
  const post = async (path, body, headers = {}) => {
    const answer = await fetch(`http://${world.console}/api/${path}`, { method: "POST", body: JSON.stringify(body),
      headers: { "content-type": "application/json", "x-tallystick-console": "1", ...headers } });
    if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
    return answer;
  };
  const entered = await post("login", { token: world.keys[who] });
  const headers = { cookie: entered.headers.get("set-cookie").split(";")[0],
    "x-tallystick-login": (await entered.json()).login };
  return async (method, body) => (await post(`call/${method}`, body, headers)).json();
}

/** What is there already, where a folder is named that has it: for whoever measures twice. */
async function kept(world) {
  const file = world.file("fixture.json");
  if (!existsSync(file)) return undefined;
  const { keys, ...fixture } = JSON.parse(readFileSync(file, "utf8"));
  world.keys = keys;
  await world.start();
  lap("an engine on what was kept");
  return fixture;
}

/** Every pair of the batch's window owes, so that each is a leg. */
async function fixture(world) {
  await (await world.people("ann", "bob")).write().start();
  const call = await calls(world, "ann");
  for (let at = 1; at < WINDOWS; at += 1) await call("CloseWindow", { requestId: `window ${at}` });
  lap(`${WINDOWS - 1} windows`);
  // A few more vouchers than legs: some pairs are drawn twice.
  await world.load("--scale", "2", "--model", "bilateral", "--payers", String(PARTIES - PAYEES), "--payees", String(PAYEES), "--both", "0",
    "--zipf", "0", "--vouchers", String(Math.ceil(LEGS * 1.002)), "--stale", "0", "--bad-signature", "0", "--over-limit", "0",
    "--close", "false");
  lap(`${PARTIES} parties and their vouchers`);
  const window = await call("CloseWindow", { requestId: "the large one" });
  lap("the window closed");
  const batch = await call("CreateBatch", { requestId: "batch", windows: [window.number], asset: EUR, rail: "iso20022" });
  lap(`a batch of ${batch.legs} legs`);
  const hex = (text) => Buffer.from(text, "base64").toString("hex");
  const { legs: [one] } = await call("FindLegs", { batchId: batch.batchId, limit: 1 });
  const made = { window: window.number, batch: hex(batch.batchId), legs: Number(batch.legs), leg: one.leg.key,
    party: hex(one.leg.from) };
  writeFileSync(world.file("fixture.json"), JSON.stringify({ ...made, keys: world.keys }));
  return made;
}

/**
 * In each page: when something of what it is about was seen first, and when nothing of it was missing any more. What has only a
 * heading and bars in place of words is not seen.
 */
function clock() {
  const has = (element) => !element.querySelector(".skeleton") && element.innerText.trim().split("\n").length > 1;
  globalThis.seen = {};
  let whole = false;
  const look = () => {
    if (!document.querySelector("main h1")) return;
    globalThis.seen.first ??= [...document.querySelectorAll("main .card, main .tiles, main table")].some(has)
      ? performance.now() : undefined;
    const is = !!globalThis.seen.first && !document.querySelector("main .skeleton");
    if (is && !whole) globalThis.seen.whole = performance.now();
    whole = is;
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true });
}

/** Bytes of the program that shows the pages, its share of what several hold: of the largest one. */
function renderer() {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((pid) => {
    try {
      if (!readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--type=renderer")) return 0;
      return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0) * 1024;
    } catch {
      return 0;
    }
  });
  return Math.max(...all);
}

/** Sees each page some times. */
async function measure(world, browser) {
  const { window, batch, legs, leg, party } = await kept(world) ?? await fixture(world);
  const desk = await Desk.open(browser, world, "bob");
  const { page } = desk;
  await page.addInitScript(clock);
  const memory = await desk.context.newCDPSession(page);
  const PAGES = { now: "/now", windows: "/windows", window: `/windows/${window}`, batches: "/batches", batch: `/batches/${batch}`,
    legs: "/legs", leg: `/legs/${leg}?batch=${batch}`, parties: "/parties", party: `/parties/${party}`, access: "/access",
    audit: "/audit", calls: "/audit?show=calls" };
  const views = {}, wholes = {}, heaps = {};
  const wanted = process.env.PAGES?.split(",");
  for (const [name, path] of Object.entries(PAGES).filter(([of]) => !wanted || wanted.includes(of))) {
    views[name] = [];
    wholes[name] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      await page.goto("about:blank");
      await page.goto(`${desk.url}#${path}`);
      await page.waitForFunction(() => globalThis.seen.whole !== undefined);
      // What comes later counts, too.
      await page.waitForLoadState("networkidle", { timeout: 1_500 }).catch(() => undefined);
      const { first, whole } = await page.evaluate(() => globalThis.seen);
      views[name].push(Math.round(first));
      wholes[name].push(Math.round(whole));
    }
    await memory.send("HeapProfiler.collectGarbage");
    heaps[name] = await page.evaluate(() => performance.memory.usedJSHeapSize);
    const told = (all) => `${median(all)} ms (${Math.min(...all)} to ${Math.max(...all)})`;
    console.log(`${name}: first view ${told(views[name])}, all of it ${told(wholes[name])}, ${(heaps[name]
      / 1024 / 1024).toFixed(1)} MiB of objects`);
  }
  return { legs, views, wholes, heaps, renderer: renderer() };
}

const folder = process.env.CONSOLE_BENCH_DIR;
const world = folder ? new World(folder) : new World();
let browser, found;
try {
  browser = await launch();
  found = await measure(world, browser);
} finally {
  await browser?.close();
  await world.stop({ keep: !!folder });
}
const { legs, views, wholes, heaps, renderer: bytes } = found;
const medians = (of) => Object.fromEntries(Object.entries(of).map(([name, all]) => [name, median(all)]));
const most = (of) => Object.entries(medians(of)).sort((a, b) => b[1] - a[1])[0];
const [[slowest, first], [, whole]] = [most(views), most(wholes)], heap = Math.max(...Object.values(heaps));
console.log(JSON.stringify({ windows: WINDOWS, parties: PARTIES, legs, rounds: ROUNDS, first_view_ms: medians(views),
  all_of_it_ms: medians(wholes), slowest, first_view_ms_max: first, all_of_it_ms_max: whole, heap_bytes_max: heap,
  renderer_bytes: bytes }));
process.exitCode = first > FIRST_VIEW_MS || heap > MEMORY ? 1 : 0;
