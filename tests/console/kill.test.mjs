// The engine goes away and comes back under an open page; sessions end; a login link; what is told lives.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Desk, launch } from "./desk.mjs";
import { finish } from "./findings.mjs";
import { story } from "./story.mjs";
import { World } from "./world.mjs";

let world, browser;
before(async () => {
  world = await story(new World());
  browser = await launch();
});
after(async () => {
  finish("kill");
  await browser?.close();
  await world?.stop();
});

const GONE = [/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE/];

test("an engine that is killed and started again under an open page: it goes on by itself", async () => {
  const desk = await Desk.open(browser, world, "bob");
  const { page } = desk;
  await desk.go("/windows");
  await page.locator(".link.live").waitFor();
  await page.evaluate(() => {
    globalThis.kept = true;
  });
  desk.expected.push(...GONE);
  await world.end("SIGKILL");
  await page.locator(".link.reconnecting").waitFor();
  // What was there stays, and who acts is told that nobody answers.
  await page.locator("a[href='#/windows/5']").first().waitFor();
  await desk.click(desk.button("Close window"));
  await desk.click(desk.button("Close it", page.getByRole("dialog")));
  await page.getByRole("dialog").getByText("the engine does not answer").waitFor();
  await world.write({ fourEyes: true }).start();
  await page.locator(".link.live").waitFor();
  // The same question, sent again: once, whatever became of the first one.
  await desk.answer("Close it");
  await page.getByRole("heading", { name: "Window 5" }).waitFor();
  await world.cli("ann", "window", "close");
  await desk.go("/windows");
  await page.locator("a[href='#/windows/7']").first().waitFor();
  assert.equal((await world.cli("ann", "window", "list")).length, 7);
  assert.equal(await page.evaluate(() => globalThis.kept), true, "the page was not loaded anew");
  await desk.close();
});

test("what could not be looked through is said, and asked again by itself", async () => {
  const desk = await Desk.open(browser, world, "bob");
  const { page } = desk;
  await desk.go("/windows");
  await page.locator(".link.live").waitFor();
  desk.expected.push(...GONE);
  await world.end("SIGKILL");
  await page.keyboard.press("Control+k");
  await page.keyboard.type(world.waits.slice(0, 8));
  await page.getByText("Not all could be looked through: the engine does not answer. It is asked again.").waitFor();
  // What the page knows by itself is there all the same.
  for (let letter = 0; letter < 8; letter += 1) await page.keyboard.press("Backspace");
  await page.keyboard.type("batches");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => location.hash === "#/batches");
  await page.keyboard.press("Control+k");
  await page.keyboard.type(world.waits.slice(0, 8));
  await page.keyboard.press("Enter");
  await page.getByRole("alert").filter({ hasText: "It is asked again." }).waitFor();
  await world.write({ fourEyes: true }).start();
  // Enter waited for what is found.
  await page.getByRole("heading", { name: `Batch ${world.waits.slice(0, 8)}` }).waitFor();
  await desk.close();
});

test("what changes elsewhere appears by itself", async () => {
  const desk = await Desk.open(browser, world, "dave");
  await desk.go("/windows");
  await desk.page.locator("a[href='#/windows/7']").first().waitFor();
  await world.cli("ann", "window", "close");
  await desk.page.locator("a[href='#/windows/8']").first().waitFor();
  await desk.close();
});

test("a page that pauses stays as it is, and then goes on with what is", async () => {
  const [held, other] = [await Desk.open(browser, world, "ann"), await Desk.open(browser, world, "bob")];
  const tile = (desk, number) => desk.page.locator(`.tile a[href='#/windows/${number}']`);
  await Promise.all([held.go("/now"), other.go("/now")]);
  const [{ open_window: open }] = await world.cli("ann", "status");
  await tile(held, open).waitFor();
  await held.click(held.button("Pause"));
  await world.cli("ann", "window", "close");
  await tile(other, open + 1).waitFor();
  assert.equal(await tile(held, open).count(), 1);
  await held.click(held.button("Go on"));
  await tile(held, open + 1).waitFor();
  // Charts are drawn, and said in words.
  await held.page.locator(".plot canvas").first().waitFor();
  assert.match(await held.page.locator(".plot").first().getAttribute("aria-label"), /credited \d/);
  await Promise.all([held.close(), other.close()]);
});

test("a session that ends shows the login over the page, and then one is where one was", async () => {
  const desk = await Desk.open(browser, world, "dave");
  const { page } = desk;
  await desk.go(`/batches/${world.waits}`);
  desk.expected.push(/status of 401/);
  await desk.context.clearCookies();
  await page.getByRole("link", { name: "Windows", exact: true }).click();
  await page.getByText("Your session has ended").waitFor();
  assert.ok(await page.locator("main h1").isVisible(), "the page is still there");
  await desk.login("dave");
  await desk.settled();
  assert.equal(await page.evaluate(() => location.hash), "#/windows");
  await page.locator("a[href='#/windows/5']").first().waitFor();

  // Whoever is revoked is out without a touch.
  await world.cli("bob", "access", "revoke", "dave");
  await page.getByText("Your session has ended").waitFor();
  await page.getByText(/^The engine says: .*revoked/).waitFor();
  await page.getByLabel("Token or API key").fill(world.keys.dave);
  await desk.button("Log in").click();
  await page.getByRole("dialog").getByRole("alert").waitFor();
  // A page that is loaded anew does not ask for what has ended.
  assert.equal(await page.evaluate(() => localStorage.getItem("session")), null);
  await desk.close();
});

test("a login link logs in once, and leaves no trace in the address", async () => {
  const [{ link }] = await world.cli("bob", "console", "login");
  const desk = await Desk.open(browser, world);
  await desk.page.goto("about:blank");
  await desk.page.goto(link);
  await desk.page.locator("main h1").waitFor();
  await desk.page.getByText("bob").first().waitFor();
  assert.ok(!desk.page.url().includes("login"));
  const again = await Desk.open(browser, world);
  again.expected.push(/status of 401/);
  await again.page.goto("about:blank");
  await again.page.goto(link);
  await again.page.getByLabel("Token or API key").waitFor();
  await again.page.locator(".notice").waitFor();
  assert.equal(await again.page.locator("main").count(), 0);
  await Promise.all([desk.close(), again.close()]);
});
