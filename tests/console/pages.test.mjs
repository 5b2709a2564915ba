// Every page in light, dark and narrow, and on a wall: no serious finding of axe-core, no error, nothing wider than its screen.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { Desk, LOOKS, found, launch } from "./desk.mjs";
import { finish } from "./findings.mjs";
import { NEAR, story } from "./story.mjs";
import { BINARY, World } from "./world.mjs";

let world, browser;
before(async () => {
  world = await story(new World());
  browser = await launch();
});
after(async () => {
  finish("pages");
  await browser?.close();
  await world?.stop();
});

const leg = async () => (await world.cli("ann", "leg", "list", world.lost))[0].key;
const pages = async () => ["/now", "/windows", "/windows/2", "/windows/3", "/windows/5", "/batches",
  `/batches/${world.waits}`, `/batches/${world.lost}`,
  `/batches/${world.settled}`, "/legs", `/legs/${await leg()}?batch=${world.lost}`, "/parties", `/parties/${NEAR}`,
    "/access", "/audit", "/audit?show=calls", "/nowhere"];

for (const look of Object.keys(LOOKS)) {
  test(`every page, ${look}`, async () => {
    const desk = await Desk.open(browser, world, undefined, look);
    const before = found.axe.length;
    await desk.axe(`login, ${look}`);
    await desk.login("bob");
    for (const path of await pages()) {
      await desk.go(path);
      await desk.axe(`${path}, ${look}`);
      const [wide, screen] = await desk.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide <= screen, `${path} is ${wide} pixels wide on a screen of ${screen}`);
      if (look === "light") await desk.lines();
    }
    await desk.page.keyboard.press("Control+k");
    await desk.axe(`palette, ${look}`);
    await desk.page.keyboard.press("Escape");
    await desk.go(`/batches/${world.waits}`);
    await desk.click(desk.button("Approve"));
    await desk.axe(`question, ${look}`);
    assert.deepEqual(found.axe.slice(before), []);
    await desk.close();
  });
}

test("all that stands around the pages is asked for at once, not one after the other", () => {
  const folder = new URL("../../engine/console/", import.meta.url);
  const all = readdirSync(new URL("app/", folder)).filter((name) => name.endsWith(".js"));
  const page = readFileSync(new URL("index.html", folder), "utf8");
  assert.deepEqual(all.filter((name) => !page.includes(`<link rel="modulepreload" href="app/${name}">`)), []);
});

test("keys alone lead through the pages", async () => {
  const desk = await Desk.open(browser, world, "bob");
  const { page } = desk;
  for (const [keys, path] of [["gw", "#/windows"], ["gb", "#/batches"], ["gl", "#/legs"], ["gp", "#/parties"],
    ["ga", "#/access"], ["gu", "#/audit"], ["gn", "#/now"]]) {
    for (const key of keys) await page.keyboard.press(key);
    await page.waitForFunction((to) => location.hash === to, path);
    await desk.settled();
  }
  await page.keyboard.press("g");
  await page.keyboard.press("w");
  await desk.settled();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("href")), "#/windows/5");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Window 5" }).waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  // Who types at once loses no letter.
  await page.keyboard.press("Control+k");
  await page.keyboard.type(world.waits.slice(0, 8));
  await page.locator("[role=option][aria-selected=true]", { hasText: `Batch ${world.waits.slice(0, 8)}` }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: `Batch ${world.waits.slice(0, 8)}` }).waitFor();
  const focused = () => page.evaluate(() => document.activeElement.id);
  await page.waitForFunction(() => document.activeElement.id === "title");
  // A party by its name, and a leg by its key.
  for (const [text, name] of [["Nearly", "Party c1c1c1c1"], [(await leg()).slice(0, 8), `Leg ${await leg()}`]]) {
    await page.keyboard.press("Control+k");
    await page.keyboard.type(text);
    await page.getByRole("option", { name }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  }
  // A question gives the focus back to what asked it.
  await desk.button("Approve").focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement.innerText), "Approve");
  await page.keyboard.press("Tab");
  await page.locator(".skip").focus();
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "title");
  await desk.close();
});

test("what stands in front opens again at once where it has just closed, and no letter is lost", async () => {
  const desk = await Desk.open(browser, world, "bob");
  const { page } = desk;
  await desk.go("/windows");
  const palette = page.getByRole("dialog", { name: "Find" }), key = (await leg()).slice(0, 8);
  // A browser tells that a dialog has closed after keys that were pressed meanwhile. So here, for sure.
  await page.keyboard.press("Control+k");
  await palette.waitFor();
  await page.evaluate(() => {
    document.querySelector("dialog.palette").close();
    window.dispatchEvent(new KeyboardEvent("keydown", { key: "k", ctrlKey: true }));
  });
  await page.keyboard.type(key);
  await page.getByRole("option", { name: `Leg ${await leg()}` }).waitFor();
  // And so may keys come, faster than any page is drawn.
  const slow = await desk.context.newCDPSession(page);
  await slow.send("Emulation.setCPUThrottlingRate", { rate: 6 });
  for (let turn = 0; turn < 12; turn += 1) {
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+k");
    await page.keyboard.type(key);
    assert.equal(await palette.getByRole("combobox").inputValue(), key, `turn ${turn}`);
  }
  await slow.send("Emulation.setCPUThrottlingRate", { rate: 1 });
  // There is no window with such a number, but there may be ids that begin so.
  await palette.getByRole("combobox").fill("99999999");
  await palette.getByText("Legs whose reference holds “99999999”").waitFor();
  assert.equal(await page.getByRole("option", { name: /^Window/ }).count(), 0);
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  // The same of a question.
  await desk.go(`/batches/${world.waits}`);
  await desk.click(desk.button("Approve"));
  await page.evaluate(() => {
    document.querySelector("dialog").close();
    [...document.querySelectorAll("main button")].find(({ innerText }) => innerText === "Approve").click();
  });
  // What closed is told by now, and the new one stands.
  await page.evaluate(() => new Promise((done) => setTimeout(done)));
  await page.getByRole("dialog").getByText("After this money moves").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await desk.close();
});

test("the legs of a batch, largest first, and those in one state", async () => {
  const desk = await Desk.open(browser, world, "dave");
  await desk.go(`/batches/${world.settled}`);
  const card = desk.page.locator("section", { has: desk.page.getByRole("heading",
    { name: /^Legs( that are confirmed)?$/ }) });
  const legs = await world.cli("ann", "leg", "list", world.settled);
  const most = legs.map(({ amount }) => BigInt(amount)).reduce((a, b) => (a > b ? a : b)).toString().padStart(7, "0");
  await desk.click(desk.button("Largest first"));
  await card.locator("tr[data-row]").first().getByText(`${most.slice(0, -6)}.${most.slice(-6)} EUR`).waitFor();
  await desk.click(desk.page.getByRole("button", { name: "confirmed", exact: true }));
  await desk.page.getByRole("heading", { name: "Legs that are confirmed" }).waitFor();
  await card.locator(".pager .num", { hasText: `1–${legs.length}` }).waitFor();
  await desk.lines();
  await desk.close();
});

test("parties by how near their limit they are, by the page, of one asset at a time", async () => {
  const desk = await Desk.open(browser, world, "dave");
  const { page } = desk;
  await desk.go("/parties");
  const card = page.locator("section", { has: page.getByRole("heading", { name: "Nearest to their limit" }) });
  await card.getByRole("button", { name: "EUR" }).click();
  const first = card.locator("tr[data-row]").first();
  await first.getByRole("link", { name: NEAR }).waitFor();
  assert.match(await first.innerText(), /93 %.*0\.930000 EUR/s);
  await card.getByRole("button", { name: "Next" }).click();
  await card.locator(".pager .num", { hasText: "11–20" }).waitFor();
  await desk.lines();
  await desk.close();
});

test("amounts are whole, exact and right-aligned; ids are shown in full on focus; times in both zones", async () => {
  const desk = await Desk.open(browser, world, "bob");
  const { page } = desk;
  await desk.go("/windows");
  const [shown] = await world.cli("ann", "window", "show", "1");
  const gross = shown.totals[0].gross.padStart(7, "0");
  const cell = page.locator("tr[data-row]", { has: page.locator("a[href='#/windows/1']") }).locator("td.money").first();
  assert.equal(await cell.innerText(), `${gross.slice(0, -6)}.${gross.slice(-6)} EUR`);
  assert.equal(await cell.evaluate((element) => getComputedStyle(element).textAlign), "right");
  assert.match(await cell.locator(".money").evaluate((element) => getComputedStyle(element).fontVariantNumeric),
    /tabular-nums/);
  await desk.go("/batches");
  const link = page.locator("a.row").first();
  await link.focus();
  assert.equal((await link.locator("xpath=following-sibling::span[@class='full']").innerText()).length, 64);
  await desk.go("/windows/1");
  assert.match(await page.locator(".times").first().innerText(), /UTC\s+\d{4}-\d\d-\d\d \d\d:\d\d:\d\d local/);
  await desk.close();
});

test("a proof that a page saves is one that the command line finds good", async () => {
  const desk = await Desk.open(browser, world, "dave");
  await desk.go("/windows/2");
  const saving = desk.page.waitForEvent("download");
  await desk.click(desk.page.getByRole("button", { name: /^Download the proof/ }).first());
  const file = world.file("proof.json");
  await (await saving).saveAs(file);
  const [{ ok, window }] = await world.cli("", "proof", "check", file);
  assert.deepEqual([ok, window], [true, 2]);
  await desk.close();
});

test("every command that a page shows is one of the command line", async () => {
  const known = { TEXT: "x", UNITS: "1", FILE: "x", KEY: "aaaaaaaa", WORD: "confirmed", ASSET: "978", RAIL: "iso20022",
    NAME: "x", ROLE: "auditor", REF: "x" };
  assert.ok(found.lines.size > 20, `only ${found.lines.size} were found`);
  const wrong = [];
  for (const line of found.lines) {
    const words = line.match(/'[^']*'|\S+/g).slice(1).map((word) => known[word] ?? word.replaceAll("'", ""));
    // No engine is there, and nothing is written: it must get as far as to look for one, or be of those that need none.
    const env = { ...process.env, TALLYSTICK_SERVER: "127.0.0.1:1", TALLYSTICK_TOKEN: "" };
    const ended = await promisify(execFile)(BINARY, words, { env, cwd: world.folder }).then(() => ({ code: 0 }),
      (error) => error);
    if (ended.code === 2) wrong.push(`${line}: ${ended.stderr}`);
  }
  assert.deepEqual(wrong, []);
});
