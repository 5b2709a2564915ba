// Compiles the contracts with solc (wasm, from npm).
//
//   node compile.mjs            BatchPayout.json, which is committed: what is deployed and tested
//   node compile.mjs --check    the same, compared with the committed file; writes nothing
//   node compile.mjs --tokens   the tokens of the tests, into build/ (never committed)
//
// The same source and compiler give the same bytes on every machine: no path and no hash of the
// source is in the bytecode.
import { readFileSync, writeFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "BatchPayout.json");
// `shanghai` runs on every chain in use.
const settings = {
  evmVersion: "shanghai",
  optimizer: { enabled: true, runs: 1_000_000 },
  metadata: { bytecodeHash: "none" },
};

/** Compiles one file; returns its contracts by name. A warning is an error. */
export function compile(path) {
  const input = {
    language: "Solidity",
    sources: { [path]: { content: readFileSync(join(here, path), "utf8") } },
    settings: { ...settings, outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } } },
  };
  const findImport = (name) => ({
    contents: readFileSync(join(here, "node_modules", name), "utf8"),
  });
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }));
  const complaints = (output.errors ?? []).map((error) => error.formattedMessage);
  if (complaints.length > 0) throw new Error(complaints.join("\n"));
  return output.contracts[path];
}

/** The artifact of one contract, as JSON text: the same for the same source and compiler. */
export function artifact(name, contract) {
  const compiler = { name: "solc", version: solc.version(), settings };
  const bytecode = `0x${contract.evm.bytecode.object}`;
  return `${JSON.stringify({ contract: name, compiler, abi: contract.abi, bytecode }, null, 2)}\n`;
}

/** What BatchPayout.json must be. */
export function batchPayout() {
  return artifact("BatchPayout", compile("contracts/BatchPayout.sol").BatchPayout);
}

function tokens() {
  mkdirSync(join(here, "build"), { recursive: true });
  for (const [name, contract] of Object.entries(compile("contracts/test/Tokens.sol"))) {
    if (contract.evm.bytecode.object === "") continue; // an interface
    writeFileSync(join(here, "build", `${name}.json`), artifact(name, contract));
  }
}

function main(argument) {
  switch (argument) {
    case undefined:
      return writeFileSync(target, batchPayout());
    case "--tokens":
      return tokens();
    case "--check":
      if (readFileSync(target, "utf8") !== batchPayout()) {
        throw new Error("BatchPayout.json is not what its source compiles to: node compile.mjs");
      }
      return undefined;
    default:
      throw new Error(`unknown argument ${argument}: --check, --tokens or none`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv[2]);
