// The committed vectors are what viem makes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { committed, vectors } from "../vectors.mjs";

test("viem makes vectors.json again, byte for byte", async () => {
  assert.equal(await vectors(), committed());
});
