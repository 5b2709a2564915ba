// The committed artifact is what its source compiles to.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { batchPayout } from "../compile.mjs";

test("compiling again gives BatchPayout.json byte for byte", () => {
  const committed = readFileSync(new URL("../BatchPayout.json", import.meta.url), "utf8");
  assert.equal(batchPayout(), committed);
});
