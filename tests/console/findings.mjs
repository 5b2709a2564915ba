// What several test files found in pages, for the line at the end.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { found } from "./desk.mjs";

/** Leaves it where `run.mjs` looks. */
export function finish(name) {
  const text = JSON.stringify({ ...found, lines: [...found.lines] });
  if (process.env.CONSOLE_FINDINGS) writeFileSync(join(process.env.CONSOLE_FINDINGS, `${name}.json`), text);
}
