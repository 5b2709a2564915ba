// Money moves only as people say: a batch by two, a disputed window, an UNKNOWN leg by two, a limit by two.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Desk, found, launch } from "./desk.mjs";
import { finish } from "./findings.mjs";
import { NEAR, USD, story } from "./story.mjs";
import { World, until } from "./world.mjs";

const CLICKS = 12;
let world, browser;
before(async () => {
  world = await story(new World());
  browser = await launch();
});
after(async () => {
  finish("money");
  await browser?.close();
  await world?.stop();
});

/** As a person reads and types: how long the way would take, by this table. Nothing waits for it. */
const PACE = { click: 1.2, letter: 0.1, read: 2.5 };

test(`from login to a closed window and a batch approved by two, in ${CLICKS} clicks or fewer`, async () => {
  const desk = await Desk.open(browser, world, "ann");
  const { page } = desk;
  await desk.click(page.getByRole("link", { name: "Windows", exact: true }));
  await desk.settled();
  await desk.click(desk.button("Close window"));
  await desk.answer("Close it");
  await page.getByRole("heading", { name: "Window 5" }).waitFor();
  await desk.click(desk.button("Make a batch"));
  await desk.answer("Compute it", { Asset: "978", Rail: "iso20022" });
  await page.getByRole("heading", { name: /^Batch/ }).waitFor();
  await page.getByText("You computed this batch: another person must approve it.").waitFor();
  const batch = await page.evaluate(() => location.hash.split("/")[2]);
  await desk.logout();
  await desk.login("bob");
  // Where one was: nothing to look for.
  await desk.click(desk.button("Approve"));
  const says = await page.getByRole("dialog").locator(".says").innerText();
  const [shown] = await world.cli("ann", "batch", "show", batch);
  const total = shown.total.padStart(7, "0");
  assert.ok(says.includes(`${total.slice(0, -6)}.${total.slice(-6)} EUR`), says);
  assert.ok(says.includes(`${shown.legs} legs`) && says.includes("ann") && says.includes("another person"), says);
  await desk.answer("Approve it");
  await desk.says(/^Approved/);
  const [approved] = await world.cli("ann", "batch", "show", batch);
  assert.deepEqual([approved.created_by, approved.approved_by], ["ann", "bob"]);
  const letters = 2 * 62;
  const seconds = Math.round(desk.clicks * PACE.click + letters * PACE.letter + 6 * PACE.read);
  console.log(`from login to approved by two: ${desk.clicks} clicks, ${seconds} s at a person's pace`);
  assert.ok(desk.clicks <= CLICKS, `${desk.clicks} clicks`);
  await desk.close();
});

test("who computed a batch cannot approve it, whatever they send", async () => {
  const desk = await Desk.open(browser, world, "ann");
  desk.expected.push(/status of 40[03]/);
  const said = await desk.call("ApproveBatch", { requestId: "mine",
    batchId: Buffer.from(world.waits, "hex").toString("base64") });
  assert.ok(said.status === 400 || said.status === 403, JSON.stringify(said));
  assert.equal((await world.cli("ann", "batch", "show", world.waits))[0].state, "computed");
  await desk.close();
});

test("a disputed window cannot be batched until the dispute has ended", async () => {
  const desk = await Desk.open(browser, world, "carol");
  await desk.go("/windows/3");
  await desk.page.getByText("agent 8f31 was stolen").waitFor();
  assert.equal(await desk.button("Make a batch").count(), 0);
  await desk.click(desk.button("End the dispute"));
  // What is needed is asked for, before anything is sent.
  await desk.click(desk.button("End it"));
  await desk.page.getByText("How it came out is needed.").waitFor();
  await desk.answer("End it", { "How it came out": "the payer agreed" });
  await desk.says("The dispute of window 3 has ended.");
  assert.equal((await world.cli("ann", "window", "show", "3"))[0].state, "closed");
  await desk.click(desk.button("Dispute"));
  await desk.answer("Dispute it", { Reason: "it's stolen after all" });
  await desk.says("Window 3 is disputed.");
  assert.equal((await world.cli("ann", "window", "show", "3"))[0].dispute, "it's stolen after all");
  assert.ok([...found.lines].some((line) => line.includes("'it'\\''s stolen after all'")), [...found.lines].join("\n"));
  await desk.close();
});

test("an UNKNOWN leg moves when two people say the same of it", async () => {
  const legs = await world.cli("ann", "leg", "list", world.lost);
  const small = legs.find(({ state, amount }) => state === "unknown" && amount === "1000000");
  const [ann, bob] = [await Desk.open(browser, world, "ann"), await Desk.open(browser, world, "bob")];
  await ann.go(`/batches/${world.lost}`);
  await ann.click(ann.page.getByRole("link", { name: `leg ${small.key}` }));
  await ann.click(ann.button("Resolve"));
  await ann.answer("Say the first word", { "What became of it": "rejected", Evidence: "the provider's page, 14:02" });
  await ann.says(/^Said/);
  await ann.page.getByText("You said the first word").waitFor();
  assert.equal((await world.cli("ann", "leg", "show", world.lost, small.key))[0].state, "unknown");
  // Somebody says otherwise: both words stay in the leg's life, and who says so is told what it means.
  const carol = await Desk.open(browser, world, "carol");
  await carol.go(`/legs/${small.key}?batch=${world.lost}`);
  await carol.click(carol.button("Say the second word"));
  await carol.page.getByLabel("What became of it").selectOption("confirmed");
  await carol.page.getByText("You say otherwise than ann: your word takes the place of theirs").waitFor();
  await carol.answer("Say it", { Evidence: "the statement of today" });
  await carol.says(/^You say otherwise than ann, and yours is the first word now/);
  for (const text of ["the provider's page, 14:02", "the statement of today"]) {
    await carol.page.locator(".life").getByText(text).waitFor();
  }
  await carol.close();
  const other = legs.find(({ state, key }) => state === "unknown" && key !== small.key);
  await ann.go(`/legs/${other.key}?batch=${world.lost}`);
  assert.equal(await ann.page.locator(".life").getByText("the statement of today").count(), 0);
  await ann.go(`/legs/${small.key}?batch=${world.lost}`);
  await ann.click(ann.button("Say the second word"));
  await ann.answer("Say it", { "What became of it": "rejected", Evidence: "the provider's page, once more" });

  await bob.go(`/legs/${small.key}?batch=${world.lost}`);
  await bob.page.getByText("ann says it is").waitFor();
  await bob.click(bob.button("Say the second word"));
  await bob.answer("Say it", { Evidence: "asked the provider by telephone" });
  await bob.says("Both say the same: the leg is rejected.");
  assert.equal((await world.cli("ann", "leg", "show", world.lost, small.key))[0].state, "rejected");
  // The first one's page goes on by itself.
  await ann.page.locator(".facts .state", { hasText: "rejected" }).waitFor();
  await Promise.all([ann.close(), bob.close()]);
});

test("a limit that takes two is proposed, shown from what to what, and confirmed by another", async () => {
  const desk = await Desk.open(browser, world, "ann");
  await desk.go("/access");
  await desk.page.getByText("You proposed it: another person confirms it.").waitFor();
  await desk.page.getByText("2.500000 EUR").waitFor();
  await desk.close();
  const carol = await Desk.open(browser, world, "carol");
  await carol.go("/access");
  await carol.click(carol.button("Confirm"));
  await carol.answer("Confirm it");
  await carol.says("Confirmed: it has happened.");
  const [{ credit_limit: limit }] = await world.cli("ann", "limit", "show", "--party", NEAR, "--asset", "978");
  assert.equal(limit, "2500000");
  await carol.close();
});

test("what the engine refuses is told in its own words, and nothing has changed", async () => {
  const desk = await Desk.open(browser, world, "ann");
  desk.expected.push(/status of 400/);
  await desk.go("/windows/3");
  // Meanwhile it is disputed: the page is older than the question.
  await world.cli("bob", "window", "release", "3", "--reason", "x");
  await desk.page.reload();
  await desk.settled();
  await desk.click(desk.button("Make a batch"));
  await world.cli("bob", "window", "dispute", "3", "--reason", "again");
  await desk.page.getByRole("dialog").waitFor();
  await desk.click(desk.button("Compute it"));
  const said = await desk.page.getByRole("dialog").getByRole("alert").innerText();
  assert.match(said, /disputed/);
  await desk.close();
});

test("an amount is typed in wholes and sent in units, exactly", async () => {
  const desk = await Desk.open(browser, world, "ann");
  await desk.go(`/parties/${NEAR}`);
  const row = desk.page.locator("tr[data-row]", { hasText: "USD" }).first();
  await desk.click(row.getByRole("button", { name: "Set limit", exact: true }));
  const box = desk.page.getByRole("dialog");
  await box.getByLabel("Limit, in USD").fill("1,234.5678901");
  await desk.click(desk.button("Set it"));
  await box.getByText("at most 6 digits behind the point").waitFor();
  await desk.answer("Set it", { "Limit, in USD": "9,007,199,254.740993",
    "Type the limit once more": "9007199254.740993" });
  const line = [...found.lines].find((text) => text.includes(`--asset ${USD} 9007199254740993`));
  assert.ok(line, [...found.lines].join("\n"));
  // With four eyes it is proposed.
  const all = await until("it is proposed", async () => {
    const open = await world.cli("bob", "proposal", "list");
    return open.length && open;
  });
  assert.ok(JSON.stringify(all).includes("9007199254740993"), JSON.stringify(all));
  await desk.close();
});
