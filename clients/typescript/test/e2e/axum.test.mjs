// A shop in Rust, on axum and the crate tallystick-client; buyers on unmodified @x402/fetch and on this package.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { AgentKey, BudgetError, whyRefused } from "@tallystick/x402";
import { Engine, SELLER, between, buyer } from "./world.mjs";

const PROGRAM = process.env.TALLYSTICK_SHOP ?? join(dirname(process.env.TALLYSTICK_BIN), "tallystick-shop");
const PRICE = 100n; // units
let engine, store, paid = 0n;

async function rustShop(facilitator) {
  const child = spawn(PROGRAM, ["--facilitator", facilitator, "--pay-to", SELLER], { stdio: ["ignore", "pipe", "inherit"] });
  const [address] = await Promise.race([
    once(createInterface({ input: child.stdout }), "line"),
    once(child, "exit").then(([code]) => assert.fail(`the shop ended with ${code}`)),
  ]);
  const url = `http://${address}`;
  const made = async () => (await (await fetch(`${url}/made`)).json()).made;
  return { url, paid: `${url}/paid`, made, close: () => child.kill() };
}

before(async () => {
  engine = await (await new Engine().start()).settle();
  store = await rustShop(engine.url);
});
after(async () => {
  store?.close();
  await engine?.stop();
});

function settlement(answer) {
  return decodePaymentResponseHeader(answer.headers.get("payment-response"));
}

test("@x402/fetch pays, and thirty-two requests side by side", async () => {
  const one = await buyer(engine, await engine.key());
  const pay = wrapFetchWithPayment(fetch, one.register(new x402Client()));
  for (const total of ["100", "200"]) {
    const answer = await pay(store.paid);
    assert.equal(answer.status, 200);
    const { success, amount, transaction } = settlement(answer);
    assert.deepEqual([success, amount, transaction.split(":")[1]], [true, "100", total]);
    assert.equal((await one.status(transaction)).state, "settled");
    paid += PRICE;
  }
  const answers = await Promise.all(Array.from({ length: 32 }, () => pay(store.paid)));
  assert.ok(answers.every((answer) => answer.status === 200));
  paid += 32n * PRICE;
  assert.equal(one.signed("EUR"), "0.0034");
  const post = await one.fetch(store.paid, { method: "POST", body: "{}" });
  assert.equal(post.status, 200);
  paid += PRICE;
});

test("budgets, keys and amounts: each refusal has its reason, and is told", async () => {
  const one = await buyer(engine, await engine.key("--budget", "978=250/total"));
  const whys = [];
  for (let round = 0; round < 4; round += 1) whys.push(whyRefused(await one.fetch(store.paid))?.split(":")[0]);
  assert.deepEqual(whys, [undefined, undefined, "insufficient_funds", "insufficient_funds"]);
  paid += 2n * PRICE;
  const small = await buyer(engine, await engine.key(), { budget: { EUR: { total: "0.00005" } } });
  await assert.rejects(small.fetch(store.paid), BudgetError);
  const stranger = await buyer(engine, AgentKey.generate());
  assert.match(whyRefused(await stranger.fetch(store.paid)), /^unknown_signer: nobody has registered/);
  // A lane of which somebody else has paid: what the shop hands on is enough to take it up again.
  const key = await engine.key(), { network } = one;
  const blind = await buyer(engine, key, { facilitator: undefined, network });
  const first = await blind.fetch(store.paid);
  assert.equal(first.status, 200);
  paid += PRICE;
  const [channel, total] = settlement(first).transaction.split(":");
  assert.deepEqual([channel.length, total], [64, "100"]);
});

test("a payment that was made gives its own answer again, and is good for nothing else", async () => {
  let header;
  const watch = async (input, init) => {
    header = input.headers?.get("payment-signature") ?? header;
    return fetch(input, init);
  };
  const one = await buyer(engine, await engine.key(), { fetch: watch });
  const first = await (await one.fetch(`${store.paid}?a`)).json();
  paid += PRICE;
  const made = await store.made();
  const again = await fetch(`${store.paid}?a`, { headers: { "PAYMENT-SIGNATURE": header } });
  assert.deepEqual([again.status, await again.json(), await store.made()], [200, first, made]);
  const other = await fetch(`${store.paid}?b`, { headers: { "PAYMENT-SIGNATURE": header } });
  assert.match(whyRefused(other), /for another request/);
});

test("what is lost between the shop and the engine is paid once", async () => {
  let lost;
  const way = await between(engine.url, (path) => (path === lost?.path && (lost.times -= 1) >= 0 ? lost.how : undefined));
  const far = await rustShop(way.url);
  const one = await buyer(engine, await engine.key());
  const pay = wrapFetchWithPayment(fetch, one.register(new x402Client()));
  let sum = 0;
  for (const how of ["lose answer", "cut answer", "lose call"]) {
    // Once: the shop asks again by itself. Twice: the buyer sends the very same payment again.
    for (const times of [1, 2]) {
      lost = { path: "/settle", how, times };
      const answer = await (times === 1 ? pay : one.fetch)(far.paid);
      assert.equal(answer.status, 200, `${how} ${times}`);
      sum += 1;
      assert.equal(one.signed("EUR"), `0.000${sum}`);
    }
  }
  lost = { path: "/verify", how: "lose call", times: 1 };
  assert.match(whyRefused(await one.fetch(far.paid)), /^Facilitator verify failed \(502\)/);
  assert.equal((await one.fetch(far.paid)).status, 200);
  paid += BigInt(sum + 1) * PRICE;
  assert.equal(one.signed("EUR"), "0.0007");
  far.close();
  await way.close();
});

test("the engine's books hold what the buyers were told, and not a unit more", async () => {
  assert.equal(await engine.owed(), paid);
});
