// The README's programs, as they stand, in a folder of their own. What is replaced: the ports.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { AgentKey } from "@tallystick/x402";
import { BUYER, Engine, SELLER, listen } from "./world.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const blocks = [...readFileSync(join(root, "README.md"), "utf8").matchAll(/^```js\n(.*?)^```$/gms)].map(([, block]) => block);
const run = promisify(execFile);
const secret = "5e".repeat(32);
let engine, folder, port, shop;

before(async () => {
  engine = await (await new Engine().start()).settle();
  await engine.cli("signer", "add", "--party", BUYER, "--key", new AgentKey(secret).signer);
  folder = mkdtempSync(join(tmpdir(), "tallystick-readme-"));
  mkdirSync(join(folder, "node_modules", "@tallystick"), { recursive: true });
  symlinkSync(root, join(folder, "node_modules", "@tallystick", "x402"));
  for (const name of ["express", "@x402"]) symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name));
  const free = await listen(() => {});
  port = new URL(free.url).port;
  await free.close();
});
after(async () => {
  shop?.kill();
  await engine?.stop();
  if (folder) rmSync(folder, { recursive: true });
});

const file = (name, text) => {
  const path = join(folder, name);
  writeFileSync(path, text.replaceAll("127.0.0.1:7451", engine.http).replaceAll("4021", port));
  return path;
};
const env = { ...process.env, SELLER, AGENT_KEY: secret };

test("the shop and the agent", async () => {
  shop = spawn(process.execPath, [file("shop.mjs", blocks[0])], { env, stdio: "inherit" });
  // Not said by the program: it listens when it answers.
  while (!(await fetch(`http://127.0.0.1:${port}/weather`).catch(() => undefined))) {
    assert.equal(shop.exitCode, null, "the shop ended");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { stdout } = await run(process.execPath, [file("agent.mjs", blocks[1])], { env });
  assert.equal(stdout, "200 { weather: 'sunny' } signed so far: 0.0001 EUR\n");
});

test("the agent that lasts, and a client of x402 itself", async () => {
  writeFileSync(join(folder, "agent.key"), `${secret}\n`);
  const more = `console.log((await pay("http://127.0.0.1:4021/weather")).status, buyer.signed("EUR"));\nawait buyer.close();\n`;
  const path = file("lasting.mjs", blocks[2] + blocks[3] + more);
  for (const total of ["0.0001", "0.0002"]) {
    const { stdout } = await run(process.execPath, [path], { env, cwd: dirname(path) });
    assert.equal(stdout, `200 ${total}\n`);
  }
  shop.kill();
  await once(shop, "exit");
});
