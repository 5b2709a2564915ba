// What a payout costs, and that the client gives enough.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startAnvil } from "../anvil.mjs";
import { measure } from "../gas.mjs";

/** Promised for 400 existing holders of a plain ERC-20. */
const PROMISED = 12_000n;
/** What the client gives a transaction: engine/rails/src/evm/chunk.rs. */
const given = (items) => 350_000n + 35_000n * BigInt(items);

test("400 existing holders cost at most 12,000 gas each, chunks have gas to spare", async () => {
  const { client, stop } = await startAnvil();
  try {
    const { rows, refused } = await measure(client);
    assert.deepEqual(rows.map(({ count }) => count), [1, 10, 100, 400]);
    const full = rows.at(-1);
    assert.ok(full.existing / 400n <= PROMISED, `${full.existing / 400n} gas each`);
    const worst = { count: 400, existing: refused, fresh: 0n };
    for (const { count, existing, fresh } of [...rows, worst]) {
      for (const gas of [existing, fresh]) {
        assert.ok(gas + 218_175n <= given(count), `${count} items take ${gas} gas`);
      }
    }
  } finally {
    stop();
  }
});
