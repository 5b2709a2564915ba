// Each role sees what is for it, is offered what it may do, and is refused the rest by the engine itself.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Desk, launch } from "./desk.mjs";
import { finish } from "./findings.mjs";
import { NEAR, NEAR_NAME, PAYER_A, story } from "./story.mjs";
import { World } from "./world.mjs";

let world, browser;
before(async () => {
  world = await story(new World());
  browser = await launch();
});
after(async () => {
  finish("roles");
  await browser?.close();
  await world?.stop();
});

const ALL = ["Now", "Windows", "Batches", "Legs", "Parties", "Access", "Audit log"];
const base64 = (id) => Buffer.from(id, "hex").toString("base64");
/** Of each role: which pages there are, what is offered on some, and which calls the engine refuses. */
const ROLES = {
  ann: { pages: ALL, offered: { "/windows": ["Close window"], "/windows/3": ["End the dispute"] }, refused: [] },
  carol: { pages: ALL, offered: { "/windows": [], "/windows/3": ["End the dispute"] },
    refused: ["CloseWindow", "CreateBatch", "SetCreditLimit", "RevokeIdentity"] },
  dave: { pages: ALL, offered: { "/windows": [], "/windows/3": [] },
    refused: ["CloseWindow", "ApproveBatch", "AbortBatch", "DisputeWindow", "EndDispute", "ResolveLeg", "ConfirmProposal"] },
  erin: { pages: ["Legs", "Parties", "Access", "Audit log"], offered: {},
    refused: ["GetStatus", "ListWindows", "ListBatches", "ListParties", "ApproveBatch", "CloseWindow"] },
  fred: { pages: ["Access"], offered: {}, refused: ["GetStatus", "ListWindows", "ListBatches", "ListParties", "FindLegs",
    "ListHistory"] },
};
const BODIES = {
  SetCreditLimit: () => ({ requestId: "x", partyId: base64(NEAR), asset: 978, limit: "1" }),
    CloseWindow: () => ({ requestId: "x" }),
  CreateBatch: () => ({ requestId: "x", windows: ["3"], asset: 978, rail: "iso20022" }),
    RevokeIdentity: () => ({ requestId: "x", name: "dave" }),
  ApproveBatch: () => ({ requestId: "x", batchId: base64(world.waits) }),
    AbortBatch: () => ({ requestId: "x", batchId: base64(world.waits), reason: "x" }),
};
const WORDS = /^(Close window|End the dispute|Dispute|Approve|Abort|Revoke|Set limit|Suspend|Confirm|Withdraw|Resolve|Make a batch)$/;

for (const [who, { pages, offered, refused }] of Object.entries(ROLES)) {
  test(`${who}: sees ${pages.length} pages, is offered what it may do, and refused the rest`, async () => {
    const desk = await Desk.open(browser, world, who);
    await desk.settled();
    assert.deepEqual((await desk.page.locator("nav[aria-label=Pages] a").allInnerTexts()).map((text) => text.trim()), pages);
    for (const [path, wanted] of Object.entries(offered)) {
      await desk.go(path);
      const all = await desk.page.locator("main .actions button, main .actions .do button").allInnerTexts();
      assert.deepEqual([...new Set(all.map((text) => text.trim()).filter((text) => WORDS.test(text)))], wanted, path);
    }
    desk.expected.push(/status of 403/);
    for (const method of refused) {
      const said = await desk.call(method, BODIES[method]?.() ?? {});
      assert.deepEqual([said.status, said.code], [403, "PERMISSION_DENIED"], `${method}: ${said.message}`);
      assert.ok(said.message.length > 10, said.message);
    }
    await desk.close();
  });
}

test("what was denied is told on the page of access, and who asked what in the audit log", async () => {
  const desk = await Desk.open(browser, world, "dave");
  desk.expected.push(/status of 403/);
  await desk.call("CloseWindow", BODIES.CloseWindow());
  await desk.go("/access");
  const denied = desk.page.locator("section", { has: desk.page.getByRole("heading", { name: /^Denied calls/ }) });
  await denied.locator("tr[data-row]",
    { hasText: "dave" }).filter({ hasText: "CloseWindow" }).filter({ hasText: "PERMISSION_DENIED" }).first().waitFor();
  const identities = desk.page.locator("section", { has: desk.page.getByRole("heading", { name: "Identities" }) });
  assert.match(await identities.locator("tr[data-row]", { hasText: "dave" }).innerText(),
    /in 19 d .*\d{4}-\d\d-\d\d \d\d:/s);
  await desk.go("/audit?show=calls&by=dave&call=CloseWindow");
  await desk.page.locator("tr[data-row]", { hasText: "PERMISSION_DENIED" }).first().waitFor();
  assert.deepEqual(await desk.axe("calls"), []);
  await desk.close();
});

test("who reads is told why a button is not there", async () => {
  const desk = await Desk.open(browser, world, "dave");
  await desk.go(`/batches/${world.waits}`);
  await desk.page.getByText("Your role is auditor. This takes operator or approver.").waitFor();
  await desk.close();
});

test("an owner sees their own party and no other", async () => {
  const desk = await Desk.open(browser, world, "erin");
  await desk.go(`/parties/${NEAR}`);
  await desk.page.getByRole("heading", { name: "Exposure" }).waitFor();
  await desk.page.getByText("93 %").waitFor();
  desk.expected.push(/status of 40[34]/);
  await desk.go(`/parties/${PAYER_A}`);
  await desk.page.getByRole("alert").first().waitFor();
  assert.ok(!(await desk.page.content()).includes("Ada Lovelace"));
  await desk.close();
});

test("a name is hidden until somebody asks, and then the audit log says who", async () => {
  const desk = await Desk.open(browser, world, "dave");
  await desk.go(`/parties/${NEAR}`);
  await desk.page.locator("[data-name]").waitFor();
  assert.ok(!(await desk.page.content()).includes(NEAR_NAME), "it is hidden");
  for (const [method, body] of [["GetParty", { partyId: base64(NEAR) }], ["ListParties", { partyIds: [base64(NEAR)] }],
    ["FindIds", { kind: "ID_KIND_PARTY", prefix: NEAR.slice(0, 8) }], ["ListHistory", { partyId: base64(NEAR) }]]) {
    assert.ok(!JSON.stringify(await desk.call(method, body)).includes(NEAR_NAME), `${method} tells it`);
  }
  const before = await world.cli("", "audit-log", "--data-dir", world.file("data"), "--by", "dave", "--call", "RevealParty");
  assert.equal(before.length, 0);
  await desk.click(desk.button("Reveal"));
  await desk.page.getByText(NEAR_NAME).waitFor();
  const lines = await world.cli("", "audit-log", "--data-dir", world.file("data"), "--by", "dave", "--call", "RevealParty");
  assert.equal(lines.length, 1);
  assert.equal(lines[0].result, "OK");
  assert.ok(JSON.stringify(lines[0].about).includes(NEAR), JSON.stringify(lines[0]));
  await desk.go(`/audit?show=calls&call=RevealParty`);
  await desk.page.locator("tr[data-row]", { hasText: "dave" }).first().waitFor();
  await desk.go(`/parties/${NEAR}`);
  // Who logs in next has it hidden again.
  await desk.logout();
  await desk.login("carol");
  await desk.page.locator("[data-name]").waitFor();
  assert.ok(!(await desk.page.content()).includes(NEAR_NAME));
  await desk.close();
});
