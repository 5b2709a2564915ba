// A real engine with people, parties and money in it, as the tests of the console need it: windows in every state, a
// settled batch, one that waits, and two charges whose answers were lost.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const run = promisify(execFile);
const DEADLINE = 120_000; // a bound, not an expectation
export const BINARY = process.env.TALLYSTICK_BIN;
const beside = (name) => join(dirname(BINARY), name);
const LOADGEN = process.env.TALLYSTICK_LOADGEN ?? beside("tallystick-loadgen");
const PSP = process.env.TALLYSTICK_PSP ?? beside("tallystick-psp");
const SECRET = "sk_test_double";

/** Waits until this gives something, and gives it back. */
export async function until(what, find) {
  const end = Date.now() + DEADLINE;
  for (;;) {
    const found = await find();
    if (found) return found;
    assert.ok(Date.now() < end, `waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export const id = (byte) => byte.toString(16).padStart(2, "0").repeat(32);

/** An IBAN with valid check digits. */
export function iban(number) {
  const bban = String(number).padStart(18, "1");
  const rest = 98n - (BigInt(`${bban}131400`) % 97n);
  return `DE${String(rest).padStart(2, "0")}${bban}`;
}

export class World {
  constructor(folder = mkdtempSync(join(tmpdir(), "tallystick-console-"))) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    this.grpc = this.http = this.console = "127.0.0.1:0";
    this.keys = {};
  }

  file(name) {
    return join(this.folder, name);
  }

  /** `options`: four_eyes, and whether this engine has a console. */
  write({ fourEyes = false, console = true } = {}) {
    const operators = Object.entries(this.operators ?? {}).map(([, line]) => line).join("\n");
    writeFileSync(this.file("config.toml"), [
      `four_eyes = ${fourEyes}`,
      console ? `[console]\nlisten = "${this.console}"` : "",
      operators && `[operators]\n${operators}`,
      '[clearing.iso20022]\nname = "Example Clearing GmbH"\niban = "DE89370400440532013000"\nbic = "COBADEFFXXX"',
      this.psp ? `[clearing.card]\naccount = "acct_clearing"\n[rail.card]\nbase_url = "${this.psp}"\n`
        + `secret_key_file = "${this.file("card.key")}"\nwebhook_secret_file = "${this.file("card.hook")}"\n`
        + 'threads = 1\ntimeout = "120s"' : "",
    ].filter(Boolean).join("\n"));
    return this;
  }

  async start() {
    const ready = this.file("ready.json"), log = openSync(this.file("engine.log"), "a");
    rmSync(ready, { force: true });
    const args = ["serve", "--config", this.file("config.toml"), "--data-dir", this.file("data"), "--listen", this.grpc];
    this.process = spawn(BINARY, [...args, "--listen-http", this.http, "--ready-file", ready],
      { stdio: ["ignore", log, log] });
    closeSync(log);
    await until("the engine is ready", () => {
      assert.equal(this.process.exitCode, null, `the engine ended:\n${this.log()}`);
      return existsSync(ready);
    });
    Object.assign(this, JSON.parse(readFileSync(ready, "utf8")));
    return this;
  }

  log() {
    return readFileSync(this.file("engine.log"), "utf8");
  }

  async end(signal = "SIGTERM") {
    if (!this.process || this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, "exit");
    this.process.kill(signal);
    await ended;
  }

  async stop({ keep = false } = {}) {
    await this.end();
    this.provider?.kill();
    if (!keep) rmSync(this.folder, { recursive: true, force: true });
  }

  /** What somebody types; JSON Lines come back. */
  async cli(who, ...args) {
    const env = { ...process.env, ...(who ? { TALLYSTICK_TOKEN: this.keys[who] } : {}) };
    const { stdout } = await run(BINARY, [...args, "--server", this.grpc, "--json"], { env, maxBuffer: 256 << 20 });
    return stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }

  /** Operators of the configuration. */
  async people(...names) {
    this.operators = {};
    for (const name of names) {
      const file = this.file(`${name}.token`);
      const { stdout } = await run(BINARY, ["operator", "token", "--name", name, "--out", file, "--json"]);
      this.operators[name] = JSON.parse(stdout).config;
      this.keys[name] = readFileSync(file, "utf8").trim();
    }
    return this;
  }

  /** Somebody with an identity and an API key that nobody else knows: who made the first one counts as the same person. */
  async identity(name, role, ...more) {
    const [{ key }] = await this.cli("ann", "access", "add", "--name", name, "--role", role, ...more);
    this.keys[name] = key;
    const [{ key: own }] = await this.cli(name, "access", "rotate", name);
    this.keys[name] = own;
  }

  /** Vouchers of many agents in asset 978. */
  async load(...more) {
    const env = { ...process.env, TALLYSTICK_TOKEN: this.keys.ann };
    const { stdout } = await run(LOADGEN, ["run", "--server", this.grpc, ...more], { env, maxBuffer: 64 << 20 });
    return stdout;
  }

  /** The provider of the rail `card`: a double that moves no money. */
  async provide() {
    writeFileSync(this.file("card.key"), SECRET, { mode: 0o600 });
    writeFileSync(this.file("card.hook"), "whsec_test", { mode: 0o600 });
    this.provider = spawn(PSP, ["--secret-key", SECRET], { stdio: ["ignore", "pipe", "inherit"] });
    for await (const line of createInterface({ input: this.provider.stdout })) {
      const [address] = /127\.0\.0\.1:\d+/.exec(line) ?? [];
      this.psp = address && `http://${address}`;
      if (this.psp) break;
    }
    this.provider.stdout.resume();
    return this;
  }

  /** What a test says to the provider: how it fails. */
  async tell(path, said) {
    const answer = await fetch(`${this.psp}/admin/${path}`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(said),
    });
    assert.ok(answer.ok, await answer.text());
  }

  async party(number, name, ...more) {
    await this.cli("ann", "party", "add", "--id", id(number), "--name", name, ...more);
  }

  /** A key that signs for a party. */
  async key(party) {
    const file = this.file(`${party.slice(0, 4)}.key`);
    const [{ signer }] = await this.cli("", "voucher", "keygen", "--out", file);
    await this.cli("ann", "signer", "add", "--party", party, "--key", signer);
    return { signer, file };
  }

  /** One voucher with the key of a party. */
  async pay(payer, payee, asset, units) {
    const [said] = await this.cli("ann", "voucher", "sign", "--key-file", this.file(`${payer.slice(0, 4)}.key`), "--payee",
      payee,
      "--asset", String(asset), "--ttl", "1d", "--cumulative", String(units), "--submit");
    assert.equal(said.outcome, "credited");
  }
}
