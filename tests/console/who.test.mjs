// Who acts is who the page says: several tabs with one cookie, login links, addresses that are none, what is confirmed.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Desk, found, launch } from "./desk.mjs";
import { finish } from "./findings.mjs";
import { World, id } from "./world.mjs";

const USD = 840, PARTY = id(0xd1), OTHER = id(0xd2);
let world, browser;

/** People, two parties, three closed windows with nothing in them, and a limit that waits for a second person. */
async function few(of) {
  await of.people("ann", "bob");
  await of.write().start();
  await of.cli("ann", "asset", "add", "--number", String(USD), "--code", "USD", "--scale", "6", "--model", "multilateral");
  await of.party(0xd1, "Weather \u202eshop");
  await of.party(0xd2, "Translation Shop BV");
  await of.cli("ann", "limit", "set", "--party", PARTY, "--asset", String(USD), "5000000");
  await of.identity("carol", "approver");
  await of.identity("erin", "party", "--party", PARTY, "--party", OTHER);
  for (let number = 0; number < 3; number += 1) await of.cli("ann", "window", "close");
  await of.end();
  await of.write({ fourEyes: true }).start();
  await of.cli("ann", "limit", "set", "--party", PARTY, "--asset", String(USD), "7500000");
  return of;
}

before(async () => {
  world = await few(new World());
  browser = await launch();
});
after(async () => {
  finish("who");
  await browser?.close();
  await world?.stop();
});

const link = async (who) => (await world.cli(who, "console", "login"))[0].link;
const who = (page) => page.locator(".who strong");
const state = async (number) => (await world.cli("ann", "window", "show", String(number)))[0].state;
const shows = (page, name) => who(page).getByText(name, { exact: true }).waitFor();

/** Another tab of the same browser. */
async function tab(desk) {
  const page = await desk.context.newPage();
  page.on("pageerror", (error) => desk.hear("error", String(error.stack)));
  return page;
}

test("a link asks before it replaces a login, and then every tab is the other person's", async () => {
  const desk = await Desk.open(browser, world, "carol");
  desk.expected.push(/status of 40[19]/);
  await desk.go("/windows/1");
  await desk.click(desk.button("Dispute"));
  await desk.page.getByLabel("Reason").fill("as carol");
  const second = await tab(desk);
  await second.goto(await link("bob"));
  const box = second.getByRole("dialog", { name: "You are carol" });
  await desk.click(desk.button("Cancel", box));
  await shows(second, "carol");
  await second.goto("about:blank");
  await second.goto(await link("bob"));
  await desk.click(desk.button("Log in by the link", box));
  await shows(second, "bob");
  // The first tab follows by itself: what carol was about to say is not said by bob.
  await shows(desk.page, "bob");
  await desk.page.getByRole("dialog").waitFor({ state: "detached" });
  await desk.says(/^bob is logged in in this browser now, not carol/);
  assert.equal(await state(1), "closed");
  await desk.click(desk.button("Dispute"));
  await desk.answer("Dispute it", { Reason: "as bob, who sees it" });
  const [{ caller }] = await world.cli("ann", "history", "--newest", "1", "--kind", "window_disputed");
  assert.equal(caller, "bob");
  await desk.close();
});

test("a page whose login was replaced behind its back sends nothing as the other", async () => {
  const desk = await Desk.open(browser, world, "carol");
  desk.expected.push(/status of 40[19]/);
  await desk.go("/windows/2");
  await desk.click(desk.button("Dispute"));
  await desk.page.getByLabel("Reason").fill("as carol");
  // No event tells of it in time: the page has to ask.
  const status = await desk.page.evaluate(async (token) => {
    const answer = await fetch("/api/login", { method: "POST",
      headers: { "content-type": "application/json", "x-tallystick-console": "1" }, body: JSON.stringify({ token }) });
    document.querySelector("dialog form").requestSubmit();
    return answer.status;
  }, world.keys.bob);
  assert.equal(status, 200);
  const login = desk.page.getByLabel("Token or API key"), other = who(desk.page).getByText("bob", { exact: true });
  await login.or(other).first().waitFor();
  assert.equal(await state(2), "closed");
  await desk.close();
});

test("a link leads to the first page, also in a tab that shows the login already", async () => {
  const desk = await Desk.open(browser, world);
  await desk.page.getByLabel("Token or API key").waitFor();
  await desk.page.goto(await link("bob"));
  await shows(desk.page, "bob");
  await desk.page.getByRole("heading", { name: "Now", level: 1 }).waitFor();
  assert.equal(await desk.page.evaluate(() => location.hash), "#/now");
  const fresh = await Desk.open(browser, world);
  await fresh.page.goto("about:blank");
  await fresh.page.goto(await link("carol"));
  await shows(fresh.page, "carol");
  await fresh.page.getByRole("heading", { name: "Now", level: 1 }).waitFor();
  // Who reads a page stays on it when a link asks.
  await fresh.go("/windows/2");
  await fresh.page.goto(await link("bob"));
  await fresh.click(fresh.button("Cancel", fresh.page.getByRole("dialog")));
  await fresh.page.getByRole("heading", { name: "Window 2" }).waitFor();
  assert.equal(await fresh.page.evaluate(() => location.hash), "#/windows/2");
  await Promise.all([desk.close(), fresh.close()]);
});

test("an address that cannot be read is no page, and no error", async () => {
  const desk = await Desk.open(browser, world, "bob");
  for (const path of ["/legs/%", "/parties/zz", "/windows/abc", "/batches/12", "/%E0%A4%A/x"]) {
    await desk.go(path);
    await desk.page.getByRole("heading", { name: "Not found" }).waitFor();
    await desk.go("/windows");
  }
  desk.expected.push(/status of 401/);
  const fresh = await Desk.open(browser, world);
  fresh.expected.push(/status of 401/);
  await fresh.page.goto(`${fresh.url}#login=%`);
  await fresh.page.locator(".notice").waitFor();
  await fresh.page.getByLabel("Token or API key").waitFor();
  await Promise.all([desk.close(), fresh.close()]);
});

test("a comma is no point: an amount that two people read differently is refused with what to write", async () => {
  const desk = await Desk.open(browser, world, "ann");
  await desk.go(`/parties/${OTHER}`);
  await desk.click(desk.button("Set limit"));
  const box = desk.page.getByRole("dialog"), limit = box.getByLabel("Limit, in USD");
  for (const text of ["1,50", "12,34,5.1", "1,5", ",5", "1,0000"]) {
    await limit.fill(text);
    await box.getByText("write 1.50, or 1,500.00").waitFor();
    await desk.click(desk.button("Set it"));
    await box.locator(".field-wrong").waitFor();
  }
  await limit.fill("1,500.25");
  await box.getByText("= 1,500.250000 USD").waitFor();
  // What is far above what was is typed twice.
  await limit.fill("99,999,999,999");
  await box.getByLabel("Type the limit once more").fill("99,999,999,99");
  await desk.click(desk.button("Set it"));
  await box.getByText("It is not the same limit.").waitFor();
  await desk.click(desk.button("Cancel", box));
  await desk.go("/legs?amount=5,00&asset=840");
  await desk.page.getByRole("alert").getByText("write 1.50, or 1,500.00").waitFor();
  assert.equal((await world.cli("bob", "proposal", "list")).length, 1);
  await desk.close();
});

test("the question before Confirm says all that is confirmed: the sum with its asset, the party, the proposal", async () => {
  const [of] = await world.cli("bob", "proposal", "list");
  const desk = await Desk.open(browser, world, "carol");
  await desk.go("/access");
  await desk.click(desk.button("Confirm"));
  const says = await desk.page.getByRole("dialog").locator(".says").innerText();
  for (const part of ["5.000000 USD", "7.500000 USD", PARTY, of.proposal, "UTC"]) assert.ok(says.includes(part),
    `${part} is not in: ${says}`);
  await desk.answer("Confirm it");
  await desk.says("Confirmed: it has happened.");
  await desk.close();
});

test("an owner of two parties begins without a refusal, on every page of the menu", async () => {
  const desk = await Desk.open(browser, world, "erin");
  for (const name of ["Legs", "Parties", "Access", "Audit log"]) {
    await desk.click(desk.page.getByRole("link", { name, exact: true }));
    await desk.settled();
    assert.equal(await desk.page.getByRole("alert").count(), 0, name);
  }
  const party = desk.page.getByLabel("Party");
  await party.selectOption(OTHER);
  await desk.click(desk.button("Find"));
  await desk.settled();
  assert.equal(await desk.page.getByRole("alert").count(), 0);
  await desk.lines();
  assert.ok([...found.lines].some((line) => line.includes(`--party ${OTHER.slice(0, 16)}`)), [...found.lines].join("\n"));
  await desk.close();
});

test("what turns writing round in a name is shown as what it is", async () => {
  const desk = await Desk.open(browser, world, "bob");
  await desk.go(`/parties/${PARTY}`);
  await desk.click(desk.button("Reveal"));
  await desk.page.locator("[data-name]").getByText("Weather \\u{202e}shop").waitFor();
  assert.ok(!(await desk.page.content()).includes("\u202e"));
  // And sums of the history are in wholes.
  await desk.page.getByText("limit 5.000000 USD").first().waitFor();
  await desk.close();
});

test("a page that is not told what goes on says why, and goes on by itself when there is room", async () => {
  const desk = await Desk.open(browser, world, "bob");
  const others = [];
  for (let number = 0; number < 4; number += 1) {
    others.push(await tab(desk));
    await others[number].goto(desk.url);
    await others[number].locator(".link.live").waitFor();
  }
  const last = await tab(desk);
  await last.goto(desk.url);
  await last.locator(".link.refused").waitFor();
  await last.getByRole("heading", { name: "Now", level: 1 }).waitFor();
  await last.getByText(/close (some|one|another)/).first().waitFor();
  await others[0].close();
  await last.locator(".link.live").waitFor({ timeout: 60_000 });
  await desk.close();
});

test("a very long sum breaks where there is no room for it", async () => {
  await world.cli("ann", "limit", "set", "--party", OTHER, "--asset", String(USD), "9".repeat(29));
  const desk = await Desk.open(browser, world, "bob", "narrow");
  await desk.go("/access");
  await desk.page.getByText("99,999,999,999,999,999,999,999.999999").first().waitFor();
  const [wide, screen] = await desk.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= screen, `${wide} pixels wide on a screen of ${screen}`);
  await desk.close();
});
