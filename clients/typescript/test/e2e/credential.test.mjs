// A seller with the key file of an identity, on an engine that takes payments of identities alone.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readCredential } from "@tallystick/x402/node";
import { Engine, buyer, shop } from "./world.mjs";

test("the file of `tallystick access keygen` says who calls, and another file is refused by its name", async () => {
  const engine = await (await new Engine().start()).settle();
  const one = await buyer(engine, await engine.key());
  let store;
  try {
    const kept = join(engine.folder, "shop.json"), ann = join(engine.folder, "ann.key");
    const [made] = await engine.cli("access", "keygen", "--name", "shop", "--out", kept);
    const [operator] = await engine.cli("access", "add", "--name", "ann", "--role", "operator");
    writeFileSync(ann, operator.key);
    const add = ["access", "add", "--name", "shop", "--role", "facilitator", "--public-key", made.public_key];
    await engine.cli(...add, "--token-file", ann);
    const said = [], log = (text) => said.push(text);
    for (const credential of [undefined, "tsk_wrong"]) await (await shop(engine.url, { credential, log })).close();
    assert.match(said[0], /the engine at .*127\.0\.0\.1:\d+ asks who calls, and no credential is set \(401\): /);
    assert.match(said[1], / does not take the credential \(401\): /);
    store = await shop(engine.url, { log: assert.fail, credential: await readCredential(kept) });
    const answer = await one.fetch(store.paid);
    assert.equal(answer.status, 200, atob(answer.headers.get("payment-required") ?? ""));
    writeFileSync(kept, JSON.stringify({ name: "shop", secret: "00" }));
    await assert.rejects(readCredential(kept), /shop\.json is no key of an identity/);
    assert.equal(await readCredential(ann), operator.key);
  } finally {
    await one.close();
    await store?.close();
    await engine.stop();
  }
});
