// A request that comes back when the channel of its payment has expired, on the real engine.
import assert from "node:assert/strict";
import { appendFileSync, copyFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PaymentOverError } from "@tallystick/x402";
import { fileLanes } from "@tallystick/x402/node";
import { Engine, SELLER, buyer, shop } from "./world.mjs";

const name = "order-12345678901", at = [SELLER, 978, "1700000000", "9"];
const sign = { sign: `${name}-1`, at, amount: "100", total: "100" };

test("it is not paid anew, unless it is known that it was not charged", async () => {
  const engine = await (await new Engine().start()).settle();
  const store = await shop(engine.url);
  try {
    const key = await engine.key(), first = join(engine.folder, "first.lanes");
    const open = (path) => buyer(engine, key, { lanes: fileLanes(path) });
    await (await open(first)).close();
    for (const [more, paid] of [
      [[], false],
      [[{ held: "100", at, paid: `${name}-1` }], true],
      [[{ void: `${name}-1` }], undefined],
    ]) {
      const path = join(engine.folder, `${paid}.lanes`);
      copyFileSync(first, path);
      for (const line of [sign, ...more]) appendFileSync(path, `${JSON.stringify(line)}\n`);
      // Over and over: it is remembered.
      for (let round = 0; round < 2; round += 1) {
        const one = await open(path);
        const asked = one.fetch(store.paid, { headers: { "idempotency-key": name } });
        if (paid === undefined) assert.equal((await asked).status, 200);
        else await assert.rejects(asked, (error) => error instanceof PaymentOverError && error.paid === paid && error.message.includes(name));
        assert.equal(one.signed("EUR"), paid === undefined ? "0.0002" : "0.0001");
        await one.close();
      }
    }
    assert.equal(await engine.owed(), 100n, "one was paid anew");
  } finally {
    await store.close();
    await engine.stop();
  }
});
