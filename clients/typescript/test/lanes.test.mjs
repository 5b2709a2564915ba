// Lanes and their file, without an engine: what is durable when, and what a lane is after a crash.
import assert from "node:assert/strict";
import { appendFileSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileLanes } from "@tallystick/x402/node";
import { memoryLanes } from "@tallystick/x402";
import { Lanes } from "../dist/lanes.js";

const owner = { network: "11".repeat(32), signer: "22".repeat(32) };
const payee = "33".repeat(32);
const any = () => {};
const file = () => join(mkdtempSync(join(tmpdir(), "lanes-")), "agent.lanes");
let ids = 0;
const take = (lanes, amount = 5n, id = `test_payment_id_${ids += 1}`) => lanes.take(payee, 978, amount, id, 60, any);

test("requests side by side have a lane each; one after the other share one", async () => {
  const lanes = await Lanes.open(memoryLanes(), owner, { max: 64 });
  const side = await Promise.all(Array.from({ length: 32 }, () => take(lanes)));
  assert.equal(new Set(side.map((one) => one.lane.lane)).size, 32);
  side.forEach((one) => lanes.known(one, one.total));
  for (let round = 0; round < 10; round += 1) {
    const one = await take(lanes);
    lanes.known(one, one.total);
  }
  assert.equal(lanes.count().free, 32);
  assert.equal(lanes.signed(978), 5n * 42n);
});

test("beyond the most lanes a request waits for one to come back", async () => {
  const lanes = await Lanes.open(memoryLanes(), owner, { max: 1, ask: async () => [] });
  const one = await take(lanes);
  const next = take(lanes);
  lanes.known(one, one.total);
  assert.equal((await next).total, 10n);
});

test("a lane whose answer was lost is asked about before it is used again", async () => {
  const asked = [];
  const ask = async (found) => {
    asked.push(found.length);
    return found.map((lane) => lane.most);
  };
  const lanes = await Lanes.open(memoryLanes(), owner, { max: 1, ask });
  const one = await take(lanes);
  lanes.doubt(one);
  assert.equal((await take(lanes)).total, 10n);
  assert.deepEqual(asked, [1]);
});

test("an answer that never comes is waited for no longer than was said", async () => {
  let now = 1_700_000_000_000;
  const lanes = await Lanes.open(memoryLanes(), owner, { max: 1, ask: async (found) => found.map(() => 0n), now: () => now });
  await take(lanes);
  now += 91_000;
  assert.equal((await take(lanes)).total, 5n, "the engine holds nothing: the same total again");
});

test("what a budget refuses leaves the lane as it was", async () => {
  const lanes = await Lanes.open(memoryLanes(), owner, { max: 4 });
  const refuse = () => {
    throw new Error("no");
  };
  await assert.rejects(lanes.take(payee, 978, 5n, "refused_payment_1", 60, refuse), /no/);
  assert.equal(lanes.signed(978), 0n);
  assert.equal(lanes.count().free, 1);
});

test("a payment that the engine refused is signed again at the same total, and counted once", async () => {
  const lanes = await Lanes.open(memoryLanes(), owner, { max: 4 });
  const one = await take(lanes);
  lanes.known(one, 0n);
  const two = await take(lanes);
  assert.equal(two.total, 5n);
  assert.equal(lanes.signed(978), 5n);
  // A word about the first that comes late does not end the second.
  lanes.known(one, 0n);
  assert.equal(lanes.count().out, 1);
});

test("a payment is void once nothing can charge it any more", async () => {
  const path = file();
  const reopen = async (lanes) => {
    await lanes?.close();
    return Lanes.open(fileLanes(path), owner, { max: 4, ask: async (found) => found.map(() => 0n) });
  };
  let lanes = await reopen();
  let first = await take(lanes, 5n, "the_first_one_001");
  lanes.doubt(first);
  await lanes.settleDoubts();
  let second = await take(lanes, 5n, "the_second_one_01");
  assert.ok(second.lane === first.lane && second.total === first.total, "the very same voucher");
  assert.ok(!lanes.isVoid(first, true) && !lanes.isVoid(second, true), "each can be charged still");
  lanes.known(second, 5n);
  assert.ok(!lanes.isVoid(first) && !lanes.isVoid(second), "one of them was, nobody knows which");
  assert.ok(lanes.isVoid(first, true) && !lanes.isVoid(second, true), "never both");
  await take(lanes, 1n); // the notes before it are on the disk with it
  lanes = await reopen(lanes);
  first = lanes.payment("the_first_one_001");
  second = lanes.payment("the_second_one_01");
  assert.ok(lanes.isVoid(first) && !lanes.isVoid(second, true));
  await lanes.settleDoubts();
  // What the engine said of one payment is known of its rivals.
  const third = await take(lanes, 3n);
  lanes.known(third, 5n);
  const fourth = await take(lanes, 3n);
  assert.equal(third.lane, fourth.lane);
  lanes.paid(fourth);
  assert.ok(lanes.isVoid(third) && !lanes.isVoid(fourth, true));
  // The total passed what it builds on by less than its amount.
  const fifth = await take(lanes, 9n);
  lanes.known(fifth, 8n);
  lanes.paid(await take(lanes, 1n));
  assert.ok(lanes.isVoid(fifth));
  await lanes.close();
});

test("the file: whoever opens it goes on where the last process was cut off", async () => {
  const path = file();
  const first = await Lanes.open(fileLanes(path), owner, { max: 64 });
  const paid = await take(first), lost = await take(first, 7n, "the_lost_one_0001");
  first.known(paid, paid.total);
  await take(first, 1n); // the note before it is on the disk with it
  await first.close();
  appendFileSync(path, '{"sign":"cut off in the mid');
  const asked = [];
  const ask = async (found) => {
    asked.push(...found.map((lane) => lane.most));
    return found.map((lane) => (lane.most === 7n ? 7n : 5n));
  };
  const second = await Lanes.open(fileLanes(path), owner, { max: 2, ask });
  assert.deepEqual(second.count(), { free: 0, out: 0, doubt: 2, left: 0 });
  assert.equal(second.signed(978), 13n);
  assert.equal(second.payment("the_lost_one_0001").total, 7n);
  assert.equal(second.payment("the_lost_one_0001").lane.lane, lost.lane.lane);
  const next = await take(second, 1n);
  assert.deepEqual(asked.sort(), [6n, 7n]);
  assert.ok([6n, 8n].includes(next.total));
  await second.close();
});

test("the file: one process at a time, one key and network each, and a lock of the dead is taken", async () => {
  const path = file();
  const open = await Lanes.open(fileLanes(path), owner, { max: 4 });
  await assert.rejects(Lanes.open(fileLanes(path), owner, { max: 4 }), /is used by process/);
  await open.close();
  await assert.rejects(Lanes.open(fileLanes(path), { ...owner, network: "99".repeat(32) }, { max: 4 }), /another key or network/);
  writeFileSync(`${path}.lock`, "999999999 1\n");
  await (await Lanes.open(fileLanes(path), owner, { max: 4 })).close();
});

test("the file: payments of one moment share a write, and all are there", async () => {
  const path = file();
  const lanes = await Lanes.open(fileLanes(path), owner, { max: 500 });
  await Promise.all(Array.from({ length: 300 }, () => take(lanes)));
  assert.equal(readFileSync(path, "utf8").split("\n").filter((line) => line.includes('"sign"')).length, 300);
  await lanes.close();
});

test("the file: what is signed while the file is written anew is in it", async () => {
  const path = file(), store = fileLanes(path), line = (id) => ({ void: id });
  await store.open(owner);
  await store.rewrite([line("one")]);
  store.note(line("two"));
  await Promise.all([store.append(line("three")), store.rewrite(["one", "two", "three"].map(line)), store.append(line("four"))]);
  await store.close();
  const again = fileLanes(path);
  assert.deepEqual(await again.open(owner), ["one", "two", "three", "four"].map(line));
  await again.close();
});

test("the file: after a write that failed nothing is paid from it, and it can be opened again", async () => {
  const path = file(), store = fileLanes(path), line = (id) => ({ void: id });
  await store.open(owner);
  await store.rewrite([line("one")]);
  const before = readFileSync(path, "utf8");
  mkdirSync(`${path}.tmp`); // in the way of the file that is to be put in its place
  const ends = await Promise.allSettled([store.append(line("two")), store.rewrite([line("one"), line("two")]), store.append(line("three"))]);
  assert.deepEqual(ends.map(({ status }) => status), Array(3).fill("rejected"));
  await assert.rejects(store.append(line("four")), /EISDIR/);
  await store.close();
  assert.equal(readFileSync(path, "utf8"), before);
  appendFileSync(path, "no line of JSON\n");
  await assert.rejects(fileLanes(path).open(owner), SyntaxError);
  writeFileSync(path, before);
  rmdirSync(`${path}.tmp`);
  const again = fileLanes(path);
  assert.deepEqual(await again.open(owner), [line("one")]);
  await again.close();
});

test("what was signed on channels that are over still counts for budgets", async () => {
  const path = file();
  let now = Date.now();
  const first = await Lanes.open(fileLanes(path), owner, { max: 4, now: () => now });
  const one = await take(first);
  first.known(one, one.total);
  await first.close();
  now += 30 * 86_400_000;
  for (let round = 0; round < 2; round += 1) {
    const later = await Lanes.open(fileLanes(path), owner, { max: 4, now: () => now });
    assert.equal(later.signed(978), 5n);
    assert.equal(later.count().free, 0);
    await later.close();
  }
});

test("a file as the Python package writes it, and back", async () => {
  const path = file();
  copyFileSync(new URL("../../../tests/vectors/agent.lanes", import.meta.url), path);
  for (let round = 0; round < 2; round += 1) {
    const lanes = await Lanes.open(fileLanes(path), owner, { max: 4, now: () => 1_800_000_000_000 });
    assert.deepEqual(lanes.count(), { free: 1, out: 0, doubt: 2, left: 0 });
    assert.equal(lanes.signed(978), 70n + 11n + 12n + 4n + 30n);
    assert.equal(lanes.payment("payment_four_001").lane.lane, 2n ** 64n - 1n);
    assert.equal(lanes.payment("payment_four_001").lane.held, 5n);
    assert.equal(lanes.payment("payment_three_01").void, true);
    assert.equal(lanes.payment("payment_one_0001").paid, true);
    assert.equal(lanes.payment("over_long_ago_01"), undefined);
    const over = (id) => lanes.over(id);
    assert.deepEqual(over("order_of_last_year-1_"), { paid: true, void: false });
    assert.deepEqual(over("order_of_last_year-2_"), { paid: false, void: false });
    assert.deepEqual(over("order_of_long_ago-1__"), { paid: false, void: true });
    assert.deepEqual(over("over_long_ago_01"), { paid: false, void: false }, "its channel is over");
    await lanes.close();
  }
});

test("a file of version 1 is taken up, and written as version 2", async () => {
  const path = file();
  await (await Lanes.open(fileLanes(path), owner, { max: 1 })).close();
  const text = readFileSync(path, "utf8");
  assert.match(text, /lanes 2/);
  writeFileSync(path, text.replace("lanes 2", "lanes 1"));
  await (await Lanes.open(fileLanes(path), owner, { max: 1 })).close();
  assert.equal(readFileSync(path, "utf8"), text);
  writeFileSync(path, text.replace("lanes 2", "lanes 3"));
  await assert.rejects(Lanes.open(fileLanes(path), owner, { max: 1 }), /another key or network/);
});

test("what was signed on a channel that is over is remembered by its name", async () => {
  const path = file(), unnamed = (digit) => `tly_${digit.repeat(32)}`;
  const lanes = await Lanes.open(fileLanes(path), owner, { max: 9 });
  const [paid, , isVoid, over] = await Promise.all(["paid-1", "lost-1", "void-1", unnamed("a"), unnamed("b")].map((id) => take(lanes, 5n, id)));
  lanes.paid(paid);
  lanes.paid(over);
  lanes.known(isVoid, 2n); // the channel went on by less than this payment: it can never count
  await lanes.close();
  for (let round = 0; round < 2; round += 1) {
    const later = await Lanes.open(fileLanes(path), owner, { max: 9, now: () => Date.now() + 30 * 86_400_000 });
    assert.equal(later.payment("lost-1"), undefined);
    const ends = ["paid-1", "lost-1", "void-1", unnamed("a"), unnamed("b")].map((id) => later.over(id));
    const [no, yes] = [false, true];
    assert.deepEqual(ends, [{ paid: yes, void: no }, { paid: no, void: no }, { paid: no, void: yes }, undefined, { paid: no, void: no }]);
    assert.equal(later.signed(978), 25n);
    await later.close();
  }
});
