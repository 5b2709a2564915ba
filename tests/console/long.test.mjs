// Lists of any length: more than a hundred thousand legs, paged through to the end, in a document that stays small.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Desk, launch } from "./desk.mjs";
import { finish } from "./findings.mjs";
import { EUR } from "./story.mjs";
import { World } from "./world.mjs";

const LEGS = 100_000, ROWS = 120, MEMORY = 150 * 1024 * 1024;
let world, browser, batch;
before(async () => {
  world = await new World().people("ann", "bob");
  await world.write().start();
  await world.load("--scale", "2", "--model", "bilateral", "--payers", "2500", "--payees", "60",
    "--zipf", "0", "--vouchers", "420000", "--stale", "0", "--bad-signature", "0", "--over-limit", "0", "--close", "false");
  await world.cli("ann", "window", "close");
  [batch] = await world.cli("ann", "batch", "create", "--window", "1", "--asset", String(EUR), "--rail", "iso20022");
  browser = await launch();
});
after(async () => {
  finish("long");
  await browser?.close();
  await world?.stop();
});

test(`${LEGS} legs and more: every one is seen once, and only those in sight are in the document`, async () => {
  assert.ok(batch.legs >= LEGS, `${batch.legs} legs`);
  const desk = await Desk.open(browser, world, "bob");
  const { page } = desk;
  await desk.go(`/batches/${batch.batch_id}`);
  const card = page.locator("section", { has: page.getByRole("heading", { name: "Legs", exact: true }) });
  const next = card.getByRole("button", { name: "Next" });
  // All that is asked of the engine for the list, page by page, as the page gets it.
  const keys = new Set();
  let most = 0;
  page.on("response", async (answer) => {
    if (!answer.url().endsWith("/api/call/FindLegs")) return;
    const { legs = [] } = await answer.json().catch(() => ({}));
    for (const { leg } of legs) keys.add(leg.key);
  });
  const began = await page.reload().then(() => page.evaluate(() => performance.timeOrigin));
  await card.locator("tr[data-row]").first().waitFor();
  console.log(`first view of a batch of ${batch.legs} legs: ${await page.evaluate((from) => Math.round(Date.now() - from),
    began)} ms`);
  for (;;) {
    await card.locator("tr[data-row]").first().waitFor();
    most = Math.max(most, await page.locator("tr[data-row]").count());
    if (!(await next.isEnabled())) break;
    const shown = await card.locator(".pager .num").innerText();
    await next.click();
    await page.waitForFunction(([was]) => [...document.querySelectorAll(".pager .num")].at(-1)?.textContent !== was,
      [shown]);
  }
  assert.equal(keys.size, batch.legs, "each of them, once");
  assert.ok(most <= ROWS, `${most} rows were in the document at once`);
  // Where few or none are wanted, all are looked through all the same.
  const batchId = Buffer.from(batch.batch_id, "hex").toString("base64"), one = [...keys].at(-1);
  for (const [asked, found] of [[{ key: one }, [one]], [{ states: ["LEG_STATE_UNKNOWN"] }, []]]) {
    const { legs = [], next, legsSeen } = await desk.call("FindLegs", { batchId, limit: 5, ...asked });
    assert.deepEqual([legs.map(({ leg }) => leg.key), next, Number(legsSeen)], [found, undefined, Number(batch.legs)]);
  }
  const used = await page.evaluate(() => performance.memory.usedJSHeapSize);
  console.log(`${keys.size} legs in ${most} rows at most; ${Math.round(used / 1024 / 1024)} MiB of memory`);
  assert.ok(used <= MEMORY, `${used} bytes`);
  await desk.close();
});

test("one scrolls through a page of them: rows come and go, places are told, the height stays", async () => {
  const desk = await Desk.open(browser, world, "bob");
  const { page } = desk;
  await desk.go("/legs");
  await page.locator("tr[data-row]").first().waitFor();
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  const first = await page.locator("tr[data-row]").first().getAttribute("aria-rowindex");
  assert.equal(first, "2");
  for (const share of [0.25, 0.5, 0.75, 1]) {
    await page.evaluate((at) => scrollTo(0, document.documentElement.scrollHeight * at), share);
    await page.waitForFunction((at) => {
      const rows = [...document.querySelectorAll("tr[data-row]")], places = rows.map((row) => row.getBoundingClientRect());
      const covers = places[0].top < innerHeight / 2 && places.at(-1).bottom > innerHeight;
      return at === 1 ? rows.at(-1).getAttribute("aria-rowindex") === "501" : covers;
    }, share);
    assert.ok((await page.locator("tr[data-row]").count()) <= ROWS);
    assert.equal(await page.evaluate(() => document.documentElement.scrollHeight), height);
  }
  await desk.close();
});
