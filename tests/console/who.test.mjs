// Who acts is who the page says: several tabs with one cookie, and login links.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Desk, launch } from "./desk.mjs";
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
  // No event tells of it: the page has to ask.
  const status = await desk.page.evaluate(async (token) => (await fetch("/api/login", { method: "POST",
    headers: { "content-type": "application/json", "x-tallystick-console": "1" }, body: JSON.stringify({ token }) })).status,
  world.keys.bob);
  assert.equal(status, 200);
  await desk.click(desk.button("Dispute it"));
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
