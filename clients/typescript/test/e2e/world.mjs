// The real engine, a buyer and a seller in it, and what stands between them in a test.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import express from "express";
import { paymentMiddleware } from "@x402/express";
import { AgentKey, agent, seller } from "@tallystick/x402";

export const BUYER = "a1".repeat(32), SELLER = "b2".repeat(32);
const BINARY = process.env.TALLYSTICK_BIN;
const DEADLINE = 60_000; // a bound, not an expectation
const run = promisify(execFile);

/** The engine on ports of its own choice; the same ones after a restart. */
export class Engine {
  constructor(config = "") {
    assert.ok(BINARY, "set TALLYSTICK_BIN to an engine: make test does");
    this.folder = mkdtempSync(join(tmpdir(), "tallystick-x402-"));
    this.config = join(this.folder, "config.toml");
    writeFileSync(this.config, config);
    this.grpc = this.http = "127.0.0.1:0";
  }

  async start() {
    const ready = join(this.folder, "ready.json"), log = openSync(join(this.folder, "engine.log"), "a");
    rmSync(ready, { force: true });
    const args = ["serve", "--config", this.config, "--data-dir", join(this.folder, "data"), "--listen", this.grpc, "--listen-http", this.http];
    this.process = spawn(BINARY, [...args, "--ready-file", ready], { stdio: ["ignore", log, log] });
    closeSync(log);
    const until = Date.now() + DEADLINE;
    while (!existsSync(ready)) {
      assert.equal(this.process.exitCode, null, `the engine ended:\n${this.log()}`);
      assert.ok(Date.now() < until, `the engine is not ready:\n${this.log()}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    Object.assign(this, JSON.parse(readFileSync(ready, "utf8")));
    this.url = `http://${this.http}`;
    return this;
  }

  log() {
    return readFileSync(join(this.folder, "engine.log"), "utf8");
  }

  async end(signal) {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, "exit");
    process.kill(this.pid, signal);
    await ended;
  }

  async stop() {
    await this.end("SIGTERM");
    rmSync(this.folder, { recursive: true });
  }

  /** What an operator types; JSON Lines come back. */
  async cli(...args) {
    const { stdout } = await run(BINARY, [...args, "--server", this.grpc, "--json"], { maxBuffer: 64 << 20 });
    return stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }

  /** An asset, two parties, and a limit for the one that buys. */
  async settle(limit = 100_000_000) {
    await this.cli("asset", "add", "--number", "978", "--code", "EUR", "--scale", "6", "--model", "multilateral");
    await this.cli("party", "add", "--id", BUYER, "--name", "Buyer", "--account", "iso20022:iban=DE02120300000000202051");
    await this.cli("party", "add", "--id", SELLER, "--name", "Seller", "--account", "iso20022:iban=DE89370400440532013000");
    await this.cli("limit", "set", "--party", BUYER, "--asset", "978", String(limit));
    return this;
  }

  /** A key that may sign for the buyer. */
  async key(...more) {
    const key = AgentKey.generate();
    await this.cli("signer", "add", "--party", BUYER, "--key", key.signer, ...more);
    return key;
  }

  /** What the buyer owes the seller by the engine's books, in units: closes the window and sums. */
  async owed(asset = "978") {
    const [{ number }] = await this.cli("window", "close");
    const rows = await this.cli("window", "obligations", String(number), "--asset", asset);
    return rows.reduce((sum, row) => sum + BigInt(row.amount), 0n);
  }
}

/** Opens what a test closes again. */
export async function listen(handler) {
  const server = http.createServer(handler);
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { server, url: `http://127.0.0.1:${server.address().port}`, close: () => new Promise((done) => {
    server.close(done);
    server.closeAllConnections();
  }) };
}

/** Between a seller and the engine: each call goes through `rule`, which may lose the answer, or the call. */
export async function between(target, rule) {
  const proxy = await listen(async (request, answer) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const what = rule(request.url);
    if (what === "lose call") return answer.writeHead(502).end();
    const sent = await fetch(new URL(request.url, target), {
      method: request.method, headers: { "content-type": "application/json", ...authOf(request) },
      ...(parts.length ? { body: Buffer.concat(parts) } : {}),
    }).catch(() => undefined);
    const body = sent && await sent.text();
    if (what === "cut answer") return request.socket.destroy();
    if (!sent || what === "lose answer") return answer.writeHead(502).end();
    answer.writeHead(sent.status, { "content-type": "application/json" }).end(body);
  });
  return proxy;
}

function authOf({ headers: { authorization } }) {
  return authorization ? { authorization } : {};
}

/** A shop on Express as its owner would build it. Counts what its handler did. */
export async function shop(facilitator, { price = "0.0001 EUR", ...more } = {}) {
  const sold = await seller({ facilitator, payTo: SELLER, ...more });
  const app = express(), made = { count: 0 };
  app.use(paymentMiddleware({ "GET /paid": sold.price(price) }, sold.server));
  app.get("/paid", (_, answer) => answer.json({ goods: (made.count += 1) }));
  const listening = await listen(app);
  return { ...listening, made, paid: `${listening.url}/paid`, sold };
}

/** An agent of the engine's buyer. */
export function buyer(engine, key, more = {}) {
  return agent({ key, facilitator: engine.url, ...more });
}
