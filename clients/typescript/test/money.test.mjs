import assert from "node:assert/strict";
import { test } from "node:test";
import { TallystickScheme, decimal, parsePrice, units } from "@tallystick/x402";

const EUR = { code: "EUR", number: 978, scale: 6 };

test("decimals become units and back, and nothing is rounded", () => {
  for (const [text, amount] of [["0.0001", 100n], ["1", 1_000_000n], ["12.50", 12_500_000n], ["0.000001", 1n]]) {
    assert.equal(units(text, EUR), amount);
    assert.equal(units(decimal(amount, 6), EUR), amount);
  }
  assert.equal(units("7", { ...EUR, scale: 0 }), 7n);
  assert.equal(decimal(7n, 0), "7");
  assert.throws(() => units("0.0000001", EUR), /nothing is rounded/);
  for (const wrong of ["", "-1", "1e-3", "1,5", "0x1", ".5", "1."]) assert.throws(() => units(wrong, EUR), /no amount/);
});

test("prices are taken in the ways of x402", async () => {
  assert.deepEqual(parsePrice("0.0001 EUR"), { amount: "0.0001", code: "EUR" });
  assert.deepEqual(parsePrice("$0.01"), { amount: "0.01", code: "USD" });
  assert.deepEqual(parsePrice(0.01), { amount: "0.01", code: "USD" });
  assert.deepEqual(parsePrice(1.5e-9), { amount: "0.0000000015", code: "USD" });
  assert.throws(() => parsePrice("free"), /no price/);
  const scheme = new TallystickScheme([EUR]);
  assert.deepEqual(await scheme.parsePrice("0.0001 EUR"), { asset: "EUR", amount: "100" });
  assert.deepEqual(await scheme.parsePrice({ asset: "EUR", amount: "7" }), { asset: "EUR", amount: "7" });
  await assert.rejects(scheme.parsePrice("$1"), /no asset USD; it has EUR/);
  await assert.rejects(scheme.parsePrice("0 EUR"), /leave the route free/);
  await assert.rejects(scheme.parsePrice("0.0000001 EUR"), /nothing is rounded/);
});
