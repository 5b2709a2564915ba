// Unmodified @x402/core, express, fetch and hono, and the real engine.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { serve } from "@hono/node-server";
import express from "express";
import { Hono } from "hono";
import { paymentMiddleware } from "@x402/express";
import { paymentMiddleware as honoMiddleware } from "@x402/hono";
import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { AgentKey, BudgetError, PaymentInDoubtError, seller, whyRefused } from "@tallystick/x402";
import { BUYER, Engine, SELLER, between, buyer, listen, shop } from "./world.mjs";

const PRICE = 100n;
let engine, store;

before(async () => {
  engine = await (await new Engine().start()).settle();
  store = await shop(engine.url);
});
after(async () => {
  await store?.close();
  await engine?.stop();
});

const settlement = (answer) => decodePaymentResponseHeader(answer.headers.get("payment-response"));
/** What a refused request says: in PAYMENT-RESPONSE or in PAYMENT-REQUIRED. */
const refusal = (answer) => {
  const required = answer.headers.get("payment-required");
  return required ? JSON.parse(atob(required)).error : settlement(answer).errorReason;
};

test("an agent's fetch pays, and the answer names the commitment", async () => {
  const one = await buyer(engine, await engine.key());
  const answer = await one.fetch(store.paid);
  assert.equal(answer.status, 200);
  assert.equal(typeof (await answer.json()).goods, "number");
  const settled = settlement(answer);
  assert.equal(settled.success, true);
  assert.match(settled.transaction, /^[0-9a-f]{64}:100$/);
  assert.equal(settled.amount, "100");
  assert.equal((await one.status(settled.transaction)).state, "settled");
  assert.equal(one.signed("EUR"), "0.0001");
  assert.equal((await one.fetch(`${store.url}/free`)).status, 404, "what costs nothing is fetched as ever");
  await one.close();
});

test("@x402/fetch as it comes pays with the scheme registered", async () => {
  const one = await buyer(engine, await engine.key(), { budget: { EUR: { perPayment: "0.001" } } });
  const pay = wrapFetchWithPayment(fetch, one.register(new x402Client()));
  for (let round = 1n; round <= 3n; round += 1n) {
    const answer = await pay(store.paid);
    assert.equal(answer.status, 200);
    assert.equal(settlement(answer).transaction.split(":")[1], String(PRICE * round), "one lane, its total rises");
  }
  const plain = wrapFetchWithPayment(fetch, new x402Client().register(one.networkName, one));
  await assert.rejects(plain(store.paid), /spendControls/, "x402 allows no asset that it does not know");
  await one.close();
});

test("a shop on Hono sells in the same way", async () => {
  const sold = await seller({ facilitator: engine.url, payTo: SELLER });
  const app = new Hono();
  app.use(honoMiddleware({ "GET /paid": sold.price("0.0001 EUR") }, sold.server));
  app.get("/paid", (context) => context.json({ goods: 1 }));
  const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" });
  try {
    const one = await buyer(engine, await engine.key());
    const answer = await one.fetch(`http://127.0.0.1:${server.address().port}/paid`);
    assert.equal(answer.status, 200);
    assert.equal(settlement(answer).success, true);
    await one.close();
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test("32 requests side by side: 32 are paid, each once", async () => {
  const one = await buyer(engine, await engine.key());
  const answers = await Promise.all(Array.from({ length: 32 }, () => one.fetch(store.paid)));
  assert.deepEqual(answers.map((answer) => answer.status), Array(32).fill(200));
  assert.equal(new Set(answers.map((answer) => settlement(answer).transaction)).size, 32);
  assert.equal(one.signed("EUR"), "0.0032");
  await one.close();
});

test("a key that may spend too little: 402 says insufficient_funds, and nothing is charged", async () => {
  const one = await buyer(engine, await engine.key("--cap", "978=150"));
  assert.equal((await one.fetch(store.paid)).status, 200);
  const answer = await one.fetch(store.paid);
  assert.equal(answer.status, 402);
  assert.equal(refusal(answer), "insufficient_funds");
  assert.match(whyRefused(answer), /^insufficient_funds: the payer's limit or deposit/);
  assert.equal((await one.fetch(store.paid)).status, 402, "and again, with the same voucher");
  assert.equal(one.signed("EUR"), "0.0002", "what could be handed in counts once");
  await one.close();
});

test("a budget of the engine's that is used up", async () => {
  const one = await buyer(engine, await engine.key("--budget", "978=250/total"));
  const statuses = [];
  for (let round = 0; round < 4; round += 1) statuses.push((await one.fetch(store.paid)).status);
  assert.deepEqual(statuses, [200, 200, 402, 402]);
  await one.close();
});

test("an agent's own budgets: nothing is signed beyond them, and side by side they hold, too", async () => {
  const key = await engine.key();
  const small = await buyer(engine, key, { budget: { EUR: { perPayment: "0.00009" } } });
  await assert.rejects(small.fetch(store.paid), /spendControls|BudgetError/);
  const one = await buyer(engine, key, { budget: { EUR: { total: "0.0005" } } });
  const ends = await Promise.allSettled(Array.from({ length: 16 }, () => one.fetch(store.paid)));
  assert.equal(ends.filter((end) => end.status === "fulfilled" && end.value.status === 200).length, 5);
  for (const end of ends) if (end.status === "rejected") assert.ok(end.reason instanceof BudgetError, end.reason);
  assert.equal(one.signed("EUR"), "0.0005");
});

test("a key that is not registered, and one that is revoked", async () => {
  const stranger = await buyer(engine, AgentKey.generate());
  assert.equal(refusal(await stranger.fetch(store.paid)), "unknown_signer");
  const key = await engine.key();
  const one = await buyer(engine, key);
  assert.equal((await one.fetch(store.paid)).status, 200);
  await engine.cli("signer", "revoke", key.signer);
  const answer = await one.fetch(store.paid);
  assert.equal(answer.status, 402);
  assert.equal(refusal(answer), "revoked_signer");
});

/** Pays with a payload that the test has changed. */
async function payWith(one, change) {
  const first = await fetch(store.paid);
  const required = JSON.parse(atob(first.headers.get("payment-required")));
  const payload = await one.register(new x402Client()).createPaymentPayload(required);
  const sent = change(structuredClone(payload)) ?? payload;
  const header = Buffer.from(JSON.stringify(sent)).toString("base64");
  return fetch(store.paid, { headers: { "PAYMENT-SIGNATURE": header } });
}

test("a voucher that is over, one over another amount, one that somebody changed", async () => {
  const key = await engine.key();
  const one = await buyer(engine, key);
  const id = one.network.id, now = BigInt(Math.floor(Date.now() / 1000));
  const signed = (total, expiresAt) => ({ ...key.voucher(id, { payee: SELLER, asset: 978, lane: 7n, expiresAt }, total) });
  const old = await payWith(one, (payload) => ({ ...payload, payload: signed(100n, now - 60n) }));
  assert.equal(refusal(old), "expired_voucher");
  const wrong = await payWith(one, (payload) => ({ ...payload, payload: signed(99n, now + 3600n) }));
  assert.equal(refusal(wrong), "wrong_amount");
  const said = JSON.parse(atob(wrong.headers.get("payment-required"))).accepts[0].extra.tallystick;
  assert.equal(said.expected, "100");
  assert.equal(said.charged, "0");
  const forged = await payWith(one, (payload) => {
    payload.payload.signature = `${payload.payload.signature.slice(0, 64)}${"0".repeat(64)}`;
    return payload;
  });
  assert.equal(forged.status, 402);
  assert.equal(refusal(forged), "bad_signature");
  await one.close();
});

test("a payment that was made is no good for another request, and gives its own answer again", async () => {
  const one = await buyer(engine, await engine.key());
  let header;
  const watch = async (input, init) => {
    header = input.headers?.get("payment-signature") ?? header;
    return fetch(input, init);
  };
  const watched = await buyer(engine, await engine.key(), { fetch: watch });
  const first = await (await watched.fetch(`${store.paid}?a`)).json();
  const made = store.made.count;
  const again = await fetch(`${store.paid}?a`, { headers: { "PAYMENT-SIGNATURE": header } });
  assert.deepEqual([again.status, await again.json()], [200, first]);
  assert.equal(store.made.count, made, "the handler did not run again");
  const other = await fetch(`${store.paid}?b`, { headers: { "PAYMENT-SIGNATURE": header } });
  assert.equal(other.status, 402);
  await one.close();
});

test("what is not kept is made again so often and no more, also side by side, and for one request alone", async () => {
  let lost = 0, fails = 0, made = 0, header;
  const way = await between(engine.url, (path) => (path === "/settle" && lost > 0 ? (lost -= 1, "lose answer") : undefined));
  const sold = await seller({ facilitator: way.url, payTo: SELLER, repeats: 2 });
  const app = express();
  app.use(paymentMiddleware({ "GET /films/*": sold.price("0.0001 EUR") }, sold.server));
  app.get("/films/:name", (_, answer) => (fails > 0 ? answer.status(503).end() : answer.type("text/plain").send(String((made += 1)))));
  const films = await listen(app);
  const watch = async (input, init) => {
    header = input.headers?.get("payment-signature") ?? header;
    return fetch(input, init);
  };
  const one = await buyer(engine, await engine.key(), { fetch: watch });
  const ask = (name) => fetch(`${films.url}/films/${name}`, { headers: { "PAYMENT-SIGNATURE": header } });
  try {
    // What its handler does not do, and what is not known to be paid, is no answer.
    fails = 1;
    assert.equal((await one.fetch(`${films.url}/films/one`)).status, 503);
    for (let round = 0; round < 4; round += 1) assert.equal((await ask("one")).status, 503);
    fails = 0;
    for (let round = 0; round < 4; round += 1) {
      lost = 1;
      assert.equal((await ask("one")).status, 402);
    }
    assert.deepEqual([lost, made], [0, 4]);
    for (const number of ["5", "6", "7"]) {
      const told = await ask("one");
      assert.deepEqual([told.status, await told.text()], [200, number]);
      assert.equal(whyRefused(await ask("two")), "invalid_payload: this payment was for another request");
    }
    const most = "already_answered: its answer is made 3 times at most for one payment: pay anew";
    assert.equal(whyRefused(await ask("one")), most);
    assert.equal((await one.fetch(`${films.url}/films/one`)).status, 200, "another payment is answered");
    const all = await Promise.all(Array.from({ length: 12 }, () => ask("one")));
    const whys = all.map((told) => whyRefused(told) ?? told.status).sort();
    assert.deepEqual(whys, [200, 200, ...Array(10).fill(most)]);
    assert.equal(one.signed("EUR"), "0.0002");
  } finally {
    await films.close();
    await way.close();
  }
});

test("what a seller says of assets and totals is not believed", async () => {
  const key = await engine.key();
  const lying = async (change) => {
    const fake = await listen((request, answer) => {
      const required = { x402Version: 2, resource: { url: "http://x" }, accepts: [{
        scheme: "batch-settlement", network: `tallystick:${engine.network_id.slice(0, 32)}`, amount: "100", asset: "EUR",
        payTo: SELLER, maxTimeoutSeconds: 60, extra: { networkId: engine.network_id, assetNumber: 978, scale: 6 },
      }] };
      change(required.accepts[0], request);
      answer.writeHead(402, { "payment-required": btoa(JSON.stringify(required)) }).end();
    });
    const one = await buyer(engine, key);
    try {
      return [await one.fetch(fake.url).then((answer) => answer.status, (error) => error.message), one.signed("EUR")];
    } finally {
      await fake.close();
    }
  };
  assert.match((await lying((one) => (one.extra.assetNumber = 840)))[0], /the seller says assetNumber 840/);
  assert.match((await lying((one) => (one.extra.scale = 2)))[0], /the seller says scale 2/);
  assert.match((await lying((one) => (one.amount = "-5")))[0], /no whole number|spendControls/);
  assert.match((await lying((one) => (one.payTo = "bob")))[0], /payTo is no party/);
  // It claims that more was charged than was ever signed, to get more signed.
  const [status, signed] = await lying((one, request) => {
    if (!request.headers["payment-signature"]) return;
    const { payload } = JSON.parse(atob(request.headers["payment-signature"]));
    one.extra.tallystick = { channel: payload.lane, charged: "99999900", expected: "100000000" };
  });
  assert.deepEqual([status, signed], [402, "0.0001"]);
});

test("the answer to /settle is lost: the goods come, and are paid once", async () => {
  for (const how of ["lose answer", "cut answer", "lose call"]) {
    let lost = 0;
    const way = await between(engine.url, (path) => (path === "/settle" && (lost += 1) === 1 ? how : undefined));
    const far = await shop(way.url);
    const one = await buyer(engine, await engine.key());
    const answer = await one.fetch(far.paid);
    assert.equal(answer.status, 200, how);
    assert.equal(settlement(answer).transaction.split(":")[1], "100");
    assert.equal(one.signed("EUR"), "0.0001", how);
    assert.equal((await one.fetch(far.paid)).status, 200);
    await Promise.all([far.close(), way.close()]);
  }
});

test("the same with @x402/fetch as it comes, and without asking the engine", async () => {
  let lost = 0;
  const way = await between(engine.url, (path) => (path === "/settle" && (lost += 1) === 1 ? "lose answer" : undefined));
  const far = await shop(way.url);
  const { network } = await buyer(engine, AgentKey.generate());
  const one = await buyer(engine, await engine.key(), { facilitator: undefined, network });
  const pay = wrapFetchWithPayment(fetch, one.register(new x402Client()));
  assert.equal((await pay(far.paid)).status, 200);
  assert.equal((await pay(far.paid)).status, 200);
  assert.equal(one.signed("EUR"), "0.0002");
  await Promise.all([far.close(), way.close()]);
});

test("the seller's answer is lost: the same payment is sent again and charged once", async () => {
  let drops = 1;
  const losing = async (input, init) => {
    const isPaid = input.headers?.has("payment-signature");
    const answer = await fetch(input, init);
    if (isPaid && drops-- > 0) throw new TypeError("fetch failed");
    return answer;
  };
  const one = await buyer(engine, await engine.key(), { fetch: losing });
  const made = store.made.count;
  assert.equal((await one.fetch(store.paid)).status, 200);
  assert.equal(store.made.count, made + 1);
  assert.equal(one.signed("EUR"), "0.0001");
  // Who may not be asked again by itself is told, and may do it.
  const sold = await seller({ facilitator: engine.url, payTo: SELLER });
  const app = express();
  let posts = 0;
  app.use(paymentMiddleware({ "POST /paid": sold.price("0.0001 EUR") }, sold.server));
  app.post("/paid", (_, answer) => answer.json({ posts: (posts += 1) }));
  const posted = await listen(app);
  drops = 1;
  const error = await one.fetch(`${posted.url}/paid`, { method: "POST", body: "{}" }).then(assert.fail, (failed) => failed);
  assert.ok(error instanceof PaymentInDoubtError, error);
  const answer = await error.resend();
  assert.deepEqual([answer.status, await answer.json(), posts], [200, { posts: 1 }, 1]);
  assert.equal(one.signed("EUR"), "0.0002");
  await posted.close();
});

test("the facilitator is away: the buyer gets 402 or 502, nothing is owed, and later it goes on", async () => {
  let away = false;
  const way = await between(engine.url, () => (away ? "lose call" : undefined));
  const far = await shop(way.url);
  const one = await buyer(engine, await engine.key());
  assert.equal((await one.fetch(far.paid)).status, 200);
  away = true;
  const answer = await one.fetch(far.paid);
  assert.equal(answer.status, 402);
  assert.match(refusal(answer), /Facilitator verify failed \(502\)/);
  away = false;
  assert.equal((await one.fetch(far.paid)).status, 200);
  assert.equal(one.signed("EUR"), "0.0002");
  await Promise.all([far.close(), way.close()]);
});

test("the engine is killed between /verify and /settle, and back: paid once", async () => {
  let calls = 0;
  const far = await shop(engine.url);
  const app = express();
  app.use(paymentMiddleware({ "GET /paid": far.sold.price("0.0001 EUR") }, far.sold.server));
  app.get("/paid", async (_, answer) => {
    if ((calls += 1) === 1) {
      await engine.end("SIGKILL");
      await engine.start();
    }
    answer.json({ calls });
  });
  const slow = await listen(app);
  const one = await buyer(engine, await engine.key());
  const answer = await one.fetch(`${slow.url}/paid`);
  assert.equal(answer.status, 200);
  assert.equal(one.signed("EUR"), "0.0001");
  assert.equal((await one.status(settlement(answer).transaction)).state, "settled");
  await Promise.all([slow.close(), far.close()]);
});

test("the engine's books hold what sellers were told, and not a unit more", async () => {
  // Everything in this file was paid to one seller by one buyer: what the settled answers of a last agent add is exact.
  const before = await engine.owed();
  const one = await buyer(engine, await engine.key());
  const answers = await Promise.all(Array.from({ length: 50 }, () => one.fetch(store.paid)));
  assert.ok(answers.every((answer) => answer.status === 200));
  assert.ok(before > 0n);
  assert.equal(await engine.owed(), 50n * PRICE);
  assert.ok(BUYER);
});
