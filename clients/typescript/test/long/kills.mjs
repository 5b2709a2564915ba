// Paid requests while answers are lost, requests come twice and the engine is killed: `make x402-kills`.
// Between agent and shop, and between shop and engine, stands a proxy: a tenth of all answers is cut off behind what was done,
// a tenth of the requests to the shop comes twice. KILLS times the engine gets SIGKILL and starts again. At the end nothing is
// charged twice and nothing lost, `/status` answers for every identifier, and three books agree: what the shop was told was
// settled, what the agents were told, and what the engine says is owed. The last line of standard output is JSON.
// PAYMENTS=100000 KILLS=10 SEED=1 AT_ONCE=64 node test/long/kills.mjs
import assert from "node:assert/strict";
import http from "node:http";
import { join } from "node:path";
import express from "express";
import { paymentMiddleware } from "@x402/express";
import { agent, seller, whyRefused } from "@tallystick/x402";
import { NodeAgentKey, fileLanes } from "@tallystick/x402/node";
import { BUYER, Engine, SELLER, listen } from "../e2e/world.mjs";

const number = (name, usually) => Number(process.env[name] ?? usually);
const PAYMENTS = number("PAYMENTS", 100_000), KILLS = number("KILLS", 10), AGENTS = 4;
const AT_ONCE = number("AT_ONCE", 64), LOST = 0.1, TWICE = 0.1, PRICE = 100n;
// How often one request is begun anew before the test gives up on it. A bound: a kill takes two or three.
const ROUNDS = 200;

/** Small, seeded chance: mulberry32. */
function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
const pick = chance(number("SEED", 1));
const counts = { answers_lost: 0, sent_twice: 0 };
const wires = new http.Agent({ keepAlive: true, maxSockets: 256 });

/** One request, passed on: status, headers, body; undefined where nobody answers. */
function pass(target, { url, method, headers }, body) {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(target);
    const request = http.request({ agent: wires, hostname, port, path: url, method, headers: { ...headers, host: `${hostname}:${port}` } });
    request.on("error", () => resolve(undefined)).on("response", async (answer) => {
      try {
        resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(await answer.toArray()) });
      } catch {
        resolve(undefined);
      }
    });
    request.end(body);
  });
}

/** Passes requests on; loses answers of those that `counts` says, and sends some of them twice. */
function proxy(target, { loses, doubles = () => false }) {
  return listen(async (request, answer) => {
    const body = Buffer.concat(await request.toArray().catch(() => []));
    const twice = doubles(request) && pick() < TWICE;
    if (twice) counts.sent_twice += 1;
    const [sent] = await Promise.all(Array.from({ length: twice ? 2 : 1 }, () => pass(target, request, body)));
    if (loses(request) && pick() < LOST) {
      counts.answers_lost += 1;
      return request.socket.destroy();
    }
    if (!sent) return request.socket.destroy();
    delete sent.headers["transfer-encoding"];
    return answer.writeHead(sent.status, { ...sent.headers, "content-length": sent.body.length }).end(sent.body);
  });
}

/** The shop, as its owner would build it; its book is what it was told was settled. */
async function shop(facilitator) {
  const sold = await seller({ facilitator, payTo: SELLER, answers: 100_000 });
  const book = new Map(), app = express();
  sold.server.onAfterSettle(async ({ result }) => {
    if (result.success) book.set(result.transaction, BigInt(result.amount));
  });
  app.use(paymentMiddleware({ "GET /paid": sold.price("0.0001 EUR") }, sold.server));
  app.get("/paid", (request, answer) => answer.json({ job: request.query.job }));
  return { ...(await listen(app)), book };
}

const engine = await (await new Engine().start()).settle(Number(PRICE) * PAYMENTS * 2);
// Whatever ends this, the engine ends with it.
process.on("exit", () => {
  try {
    process.kill(engine.pid, "SIGKILL");
  } catch {
    // It has ended.
  }
});
const wire = await proxy(engine.url, { loses: ({ url }) => url === "/settle" || url === "/verify" });
const store = await shop(wire.url);
const paid = ({ headers }) => headers["payment-signature"] !== undefined;
const street = await proxy(store.url, { loses: paid, doubles: paid });
const buyers = [];
for (let at = 0; at < AGENTS; at += 1) {
  const key = new NodeAgentKey(crypto.getRandomValues(new Uint8Array(32)));
  await engine.cli("signer", "add", "--party", BUYER, "--key", key.signer);
  buyers.push(await agent({ key, facilitator: engine.url, lanes: fileLanes(join(engine.folder, `agent-${at}.lanes`)) }));
}

const began = Date.now(), name = (job) => `kills-${String(job).padStart(8, "0")}`;
const done = new Map();
let next = 0, again = 0, killing = Promise.resolve(), kills = 0;

/** Kills the engine a moment after this, once it is there again from the time before. */
function kill() {
  killing = killing.then(async () => {
    await new Promise((resolve) => setTimeout(resolve, pick() * 300));
    await engine.end("SIGKILL");
    await engine.start();
    kills += 1;
  });
}

async function pay(job) {
  let last;
  for (let round = 0; round < ROUNDS; round += 1) {
    const buyer = buyers[job % AGENTS];
    try {
      const answer = await buyer.fetch(`${street.url}/paid?job=${job}`, { headers: { "Idempotency-Key": name(job) } });
      const text = await answer.text();
      if (answer.status === 200) {
        const said = JSON.parse(atob(answer.headers.get("payment-response")));
        assert.equal(JSON.parse(text).job, String(job));
        return done.set(job, said.transaction);
      }
      last = `${answer.status} ${whyRefused(answer)}`;
    } catch (error) {
      last = error;
    }
    again += 1;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`request ${job} did not come to its end`, { cause: last });
}

await Promise.all(Array.from({ length: AT_ONCE }, async () => {
  while (next < PAYMENTS) {
    const job = (next += 1);
    if (kills < KILLS && job % Math.ceil(PAYMENTS / (KILLS + 1)) === 0) kill();
    await pay(job);
    if (job % 10_000 === 0) console.log(`${job} of ${PAYMENTS}, ${kills} kills, ${Math.round((Date.now() - began) / 1000)} s`);
  }
}));
await killing;
const seconds = (Date.now() - began) / 1000;

// Every identifier is answered: of each request exactly one is settled, by the transaction that its agent was told.
const wrong = { charged_twice: 0, lost: 0, unanswered: 0 };
let identifiers = 0;
for (let first = 1; first <= PAYMENTS; first += 32) {
  await Promise.all(Array.from({ length: Math.min(32, PAYMENTS - first + 1) }, async (_, place) => {
    const job = first + place, settled = [], states = [];
    for (let at = 1; ; at += 1) {
      const id = `${name(job)}-${at}`;
      const { status, body } = await pass(engine.url, { url: `/status/${id}`, method: "GET", headers: {} });
      const said = JSON.parse(body);
      if (status !== 200 || said.state === "unknown") wrong.unanswered += 1;
      if (said.state === "settled") settled.push(said.transaction);
      identifiers += 1;
      states.push(said.state);
      // Behind the one that was settled there is none; an agent begins another where one is void.
      if (settled.length ? at > states.indexOf("settled") + 3 : at > 30) break;
    }
    if (settled.length !== 1 || settled[0] !== done.get(job)) console.error(`request ${job}: told ${done.get(job)}, settled ${settled}`);
    if (settled.length > 1) wrong.charged_twice += 1;
    if (settled.length === 0 || !settled.includes(done.get(job))) wrong.lost += 1;
  }));
}
const owed = await engine.owed();
const books = { agents: new Set(done.values()).size, seller: store.book.size, engine: Number(owed / PRICE) };
const same = [...done.values()].every((transaction) => store.book.get(transaction) === PRICE);
const match = same && owed === PRICE * BigInt(PAYMENTS) && books.agents === PAYMENTS && books.seller === PAYMENTS;
for (const one of buyers) await one.close();
for (const one of [street, store, wire]) await one.close();
wires.destroy();
await engine.stop();
console.log(JSON.stringify({
  payments: PAYMENTS, kills, ...counts, begun_again: again, identifiers, ...wrong, books, books_match: match,
  seconds: Math.round(seconds), payments_per_second: Math.round(PAYMENTS / seconds),
}));
if (!match || kills < KILLS || Object.values(wrong).some((count) => count > 0)) process.exitCode = 1;
