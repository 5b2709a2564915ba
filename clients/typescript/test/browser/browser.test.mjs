// The package in a real browser: pages of one address pay a shop at another, whose engine is at a third.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import cors from "cors";
import { build } from "esbuild";
import express from "express";
import { paymentMiddleware } from "@x402/express";
import { seller } from "@tallystick/x402";
import { BUYER, Engine, SELLER, listen } from "../e2e/world.mjs";
import { AgentKey } from "@tallystick/x402";
import { Browser } from "./chromium.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const PRICE = 100n; // units
let engine, site, store, browser, page;

async function bundle(options) {
  const made = await build({ bundle: true, format: "esm", target: "es2022", write: false, absWorkingDir: root, ...options });
  assert.deepEqual(made.warnings, []);
  return made.outputFiles[0].text;
}

/** What a shop's owner adds for browsers: pages of elsewhere may ask, and read what x402 says in headers. */
function forBrowsers() {
  return cors({ exposedHeaders: ["PAYMENT-REQUIRED", "PAYMENT-RESPONSE"] });
}

async function shop() {
  const sold = await seller({ facilitator: engine.url, payTo: SELLER });
  const app = express(), made = { count: 0, waiting: undefined };
  app.use(forBrowsers());
  app.use(paymentMiddleware({ "GET /paid": sold.price("0.0001 EUR"), "GET /slow": sold.price("0.0001 EUR") }, sold.server));
  app.get("/paid", (_, answer) => answer.json({ goods: (made.count += 1) }));
  app.get("/slow", (_, answer) => {
    const goods = () => answer.json({ goods: (made.count += 1) });
    made.waiting ? made.waiting(goods) : goods();
  });
  const listening = await listen(app);
  return { ...listening, made, paid: `${listening.url}/paid`, slow: `${listening.url}/slow` };
}

before(async () => {
  engine = await (await new Engine().start()).settle();
  store = await shop();
  const script = await bundle({ entryPoints: ["test/browser/page.mjs"] });
  const app = express();
  app.get("/", (_, answer) => answer.type("html").send('<!doctype html><script type="module" src="/page.js"></script>'));
  app.get("/page.js", (_, answer) => answer.type("js").send(script));
  site = await listen(app);
  browser = await new Browser().start();
  page = await browser.open(site.url);
});
after(async () => {
  await browser?.close();
  await Promise.all([site?.close(), store?.close()]);
  await engine?.stop();
});

/** A key of the buyer's, as text: what a page is given. */
async function secret(...more) {
  const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
  await engine.cli("signer", "add", "--party", BUYER, "--key", new AgentKey(secret).signer, ...more);
  return secret;
}

const where = (more) => ({ facilitator: engine.url, paid: store.paid, slow: store.slow, ...more });

test("a page pays a shop elsewhere, and is told why when it cannot", async () => {
  const said = await page.evaluate(async ({ key, facilitator, paid }) => {
    const buyer = await agent({ key, facilitator });
    const told = [];
    for (let round = 0; round < 3; round += 1) {
      const answer = await buyer.fetch(paid);
      told.push([answer.status, whyRefused(answer)?.split(":")[0]]);
    }
    const pay = wrapFetchWithPayment(fetch, buyer.register(new x402Client()));
    told.push([(await pay(paid)).status, buyer.signed("EUR")]);
    return told;
  }, where({ key: await secret("--budget", "978=250/total") }));
  assert.deepEqual(said, [[200, undefined], [200, undefined], [402, "insufficient_funds"], [402, "0.0003"]]);
});

test("thirty-two requests side by side", async () => {
  const said = await page.evaluate(async ({ key, facilitator, paid }) => {
    const buyer = await agent({ key, facilitator, lanes: browserLanes("many"), budget: { EUR: { total: "0.0033" } } });
    const answers = await Promise.all(Array.from({ length: 32 }, () => buyer.fetch(paid)));
    const more = await Promise.allSettled([buyer.fetch(paid), buyer.fetch(paid)]);
    await buyer.close();
    return [answers.map((answer) => answer.status), more.map((one) => one.reason?.name ?? one.value.status), buyer.signed("EUR")];
  }, where({ key: await secret() }));
  assert.deepEqual(said, [Array(32).fill(200), [200, "BudgetError"], "0.0033"]);
});

test("a page that is loaded anew, and a browser that is killed, go on where they were: nothing is paid twice", async () => {
  const key = await secret(), made = store.made.count;
  const open = async (tab) => {
    await tab.evaluate(async ({ key, facilitator }) => {
      globalThis.buyer = await agent({ key, facilitator, lanes: browserLanes("lasting"), maxLanes: 1 });
    }, where({ key }));
  };
  const begin = (tab, job) => tab.evaluate(({ slow, job }) => {
    buyer.fetch(slow, { headers: { "Idempotency-Key": job } });
  }, where({ job }));
  const ask = (tab, path, job) => tab.evaluate(async ({ url, job }) => {
    const answer = await buyer.fetch(url, job && { headers: { "Idempotency-Key": job } });
    return [answer.status, await answer.json(), buyer.signed("EUR")];
  }, { url: path, job });
  // The handler has a paid request, and what lets it answer; later ones it answers at once.
  const arriving = () => new Promise((resolve) => {
    store.made.waiting = (goods) => {
      store.made.waiting = undefined;
      resolve(goods);
    };
  });
  let tab = await browser.open(site.url);
  await open(tab);
  assert.deepEqual(await ask(tab, store.paid), [200, { goods: made + 1 }, "0.0001"]);
  let arrived = arriving();
  await begin(tab, "the first slow job");
  const answer = await arrived;
  await tab.reload();
  answer();
  await open(tab);
  // Whether it was charged the page does not know: the very same is sent, and served.
  assert.deepEqual((await ask(tab, store.slow, "the first slow job")).toSpliced(1, 1), [200, "0.0002"]);

  arrived = arriving();
  await begin(tab, "the second slow job");
  const last = await arrived;
  await browser.kill();
  last();
  await browser.start();
  tab = await browser.open(site.url);
  await open(tab);
  assert.equal(await tab.evaluate(() => buyer.signed("EUR")), "0.0003", "what was signed was on the disk");
  assert.deepEqual((await ask(tab, store.slow, "the second slow job")).toSpliced(1, 1), [200, "0.0003"]);
  assert.deepEqual((await ask(tab, store.paid)).toSpliced(1, 1), [200, "0.0004"]);
  await tab.evaluate(() => buyer.close());
  page = await browser.open(site.url);
});

test("one tab at a time, one key each", async () => {
  const [key, other] = [await secret(), await secret()];
  const open = (tab, key) => tab.evaluate(async ({ key, facilitator, paid }) => {
    try {
      globalThis.buyer = await agent({ key, facilitator, lanes: browserLanes("shared") });
      return [(await buyer.fetch(paid)).status, buyer.signed("EUR")];
    } catch (error) {
      return error.message;
    }
  }, where({ key }));
  const [first, second] = [page, await browser.open(site.url)];
  assert.deepEqual(await open(first, key), [200, "0.0001"]);
  assert.match(await open(second, key), /used by another tab/);
  await first.evaluate(() => buyer.close());
  assert.match(await open(second, other), /another key or network/);
  assert.deepEqual(await open(second, key), [200, "0.0002"]);
  // A tab that is gone has let go, whatever it was doing.
  await second.close();
  assert.deepEqual(await open(first, key), [200, "0.0003"]);
  await first.evaluate(() => buyer.close());
});

test("the README's page", async () => {
  const blocks = [...readFileSync(`${root}/README.md`, "utf8").matchAll(/^```js\n(.*?)^```$/gms)].map(([, block]) => block);
  const block = blocks.find((one) => one.includes("browserLanes"));
  const at = (text) => text.replaceAll("http://127.0.0.1:7451", engine.url).replaceAll("http://127.0.0.1:4021/weather", store.paid);
  const code = await bundle({ stdin: { contents: `${at(block)}globalThis.answer = answer;`, resolveDir: root } });
  await page.evaluate((key) => (globalThis.key = key), await secret());
  await page.addScriptTag({ content: code, type: "module" });
  assert.equal(await page.waitForFunction(() => globalThis.answer?.status).then((found) => found.jsonValue()), 200);
});

test("the engine's books hold what pages paid, and what a page may not read it is not given", async () => {
  const owed = await engine.owed();
  // Of a payment whose page was gone the work may have been done twice; it was paid once.
  assert.equal(owed, PRICE * (2n + 33n + 4n + 3n + 1n));
  // A page without a key learns nothing of channels, also from an engine that asks nobody who calls.
  const said = await page.evaluate(async ({ facilitator }) => {
    const read = (path, init) => fetch(`${facilitator}${path}`, init).then((answer) => answer.status, (error) => error.name);
    const body = JSON.stringify({ channels: [] });
    return [
      await read("/supported"),
      await read(`/channel/${"ab".repeat(32)}`),
      await read("/channels", { method: "POST", body }),
      await read("/settle", { method: "POST", body, headers: { "content-type": "application/json" } }),
      await read("/channels", { method: "POST", body, headers: { authorization: "Bearer nobody's" } }),
    ];
  }, where({}));
  assert.deepEqual(said, [200, "TypeError", "TypeError", "TypeError", 401]);
});
