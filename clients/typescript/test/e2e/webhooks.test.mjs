// What docs/WEBHOOKS.md shows for Node, as it stands, against real deliveries.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { BUYER, Engine, SELLER, listen } from "./world.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const text = readFileSync(join(root, "../../docs/WEBHOOKS.md"), "utf8");
const [, shown] = text.slice(text.indexOf("In Node\n")).match(/\n\n((?: {4}.*\n)+)/);
// What the page leaves to the reader, and where it listens.
const mine = `
const seen = new Set();
const isNew = (id) => !seen.has(id) && seen.add(id);
const handle = (type, data) => console.log(JSON.stringify({ type, data }));
`;
let engine, folder, receiver;

before(async () => {
  engine = await (await new Engine("[webhooks]\nallow_private = true\n").start()).settle();
  folder = mkdtempSync(join(tmpdir(), "tallystick-webhooks-"));
  mkdirSync(join(folder, "node_modules"));
  for (const name of ["express", "standardwebhooks"]) symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name));
});
after(async () => {
  receiver?.kill();
  await engine?.stop();
  if (folder) rmSync(folder, { recursive: true });
});

const delivered = async () => {
  const page = await (await fetch(`${engine.url}/metrics`)).text();
  return Number(page.match(/^tallystick_webhook_deliveries_total\{result="delivered"\} (\d+)$/m)[1]);
};

test("a receiver in Node", async () => {
  const free = await listen(() => {});
  const url = `${free.url}/hooks`, port = new URL(url).port;
  await free.close();
  const [{ webhook, secret }] = await engine.cli("webhook", "add", "--party", SELLER, "--url", url);
  writeFileSync(join(folder, "receiver.mjs"), `${shown.replaceAll(/^ {4}/gm, "")}${mine}app.listen(${port}, "127.0.0.1");\n`);
  const env = { ...process.env, WEBHOOK_SECRET: secret };
  receiver = spawn(process.execPath, [join(folder, "receiver.mjs")], { env, stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
  const handled = async () => JSON.parse((await lines.next()).value);
  while (!(await fetch(url).catch(() => undefined))) {
    assert.equal(receiver.exitCode, null, "the receiver ended");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }

  const key = join(folder, "buyer.key");
  const [{ signer }] = await engine.cli("voucher", "keygen", "--out", key);
  await engine.cli("signer", "add", "--party", BUYER, "--key", signer);
  const sign = ["voucher", "sign", "--key-file", key, "--payee", SELLER, "--asset", "978", "--ttl", "1h"];
  await engine.cli(...sign, "--cumulative", "2500000", "--submit");
  const [{ number }] = await engine.cli("window", "close");
  const { type, data } = await handled();
  assert.deepEqual([type, data.window, data.party, data.assets[0].net], ["window.closed", number, SELLER, "2500000"]);

  // Somebody else's word, and an old one of ours, are not taken.
  const headers = (timestamp) => ({
    "webhook-id": "msg_1", "webhook-timestamp": String(timestamp), "webhook-signature": `v1,${"A".repeat(43)}=`,
  });
  for (const timestamp of [Math.floor(Date.now() / 1000), 1_000_000_000]) {
    const answer = await fetch(url, { method: "POST", headers: headers(timestamp), body: JSON.stringify({ type, data }) });
    assert.equal(answer.status, 400);
  }

  // What comes again is acknowledged, and not done twice: what is handled next is the test.
  await engine.cli("webhook", "replay", String(webhook), "--from", "1");
  while ((await delivered()) < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  const [tested] = await engine.cli("webhook", "test", String(webhook));
  assert.equal(tested.delivered, true);
  assert.equal((await handled()).type, "webhook.test");
});
