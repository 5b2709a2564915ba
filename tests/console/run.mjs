// Runs the tests of the console, one file after the other, and says what was found. The last line is JSON.
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";

const here = fileURLToPath(new URL(".", import.meta.url));
const assets = join(here, "../../engine/console");
const BYTES_MAX = 250 * 1024;

/** What a browser is sent of the console in all, compressed file by file. */
function compressed(folder) {
  return readdirSync(folder).reduce((sum, name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return name === "src" ? sum : sum + compressed(path);
    return /\.(js|css|html|svg)$/.test(name) ? sum + brotliCompressSync(readFileSync(path)).length : sum;
  }, 0);
}

const wanted = process.argv.slice(2);
const files = readdirSync(here).filter((name) => name.endsWith(".test.mjs")
  && (!wanted.length || wanted.some((one) => name.startsWith(one))));
const findings = mkdtempSync(join(tmpdir(), "tallystick-findings-"));
process.env.CONSOLE_FINDINGS = findings;
const counts = { tests: 0, failed: 0 };
const stream = run({ files: files.map((name) => join(here, name)), concurrency: false });
const isOne = ({ details, name }) => details?.type !== "suite" && !name.endsWith(".test.mjs");
stream.on("test:pass", (event) => isOne(event) && (counts.tests += 1));
stream.on("test:fail", (event) => {
  counts.failed += 1;
  if (isOne(event)) counts.tests += 1;
});
const report = stream.compose(spec);
report.pipe(process.stdout);
await new Promise((resolve) => report.on("end", resolve));

const all = readdirSync(findings).map((name) => JSON.parse(readFileSync(join(findings, name), "utf8")));
rmSync(findings, { recursive: true });
const axe = all.flatMap((one) => one.axe), errors = all.flatMap((one) => one.errors);
for (const one of axe) console.log(`axe: ${one}`);
for (const one of errors) console.log(`console: ${one}`);
const bytes = compressed(assets);
console.log(JSON.stringify({ tests: counts.tests, failed: counts.failed, axe_serious: axe.length,
  console_errors: errors.length, bytes_compressed: bytes }));
process.exitCode = counts.failed || axe.length || errors.length || bytes > BYTES_MAX || all.length !== files.length ? 1 : 0;
