// What the contract must do, against a real node. viem encodes and decodes: it shares no code with
// the engine.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import {
  BaseError, ContractFunctionRevertedError, decodeErrorResult, encodeFunctionData, parseEventLogs,
  toFunctionSelector,
} from "viem";
import { account, deploy, id, pack, recipient, send, startAnvil, sum } from "../anvil.mjs";

const GAS = 15_000_000n;
const [owner, stranger, heir] = [account(0), account(1), account(2)];
let node, client, next = 1;

before(async () => {
  node = await startAnvil();
  client = node.client;
});
after(() => node.stop());

/** A token, a payout contract with money, and the next free batch id. */
async function world(tokenName = "BlacklistToken", args = [], money = 10n ** 12n) {
  const token = await deploy(client, tokenName, args, owner);
  const payout = await deploy(client, "BatchPayout", [token.address], owner);
  await send(client, token, "mint", [payout.address, money], owner);
  return { token, payout, batch: id(next++) };
}

const read = (contract, functionName, args = []) =>
  client.readContract({ ...contract, functionName, args });
const balance = (token, holder) => read(token, "balanceOf", [holder]);

/** The arguments of `pay`. */
const order = (batch, items, more = {}) =>
  [batch, more.packed ?? pack(items), more.sum ?? sum(items)];

/** Pays; returns the decoded events. */
async function pay({ payout, batch }, items, from = owner) {
  const receipt = await send(client, payout, "pay", order(batch, items), from, { gas: GAS });
  const logs = parseEventLogs({ abi: payout.abi, logs: receipt.logs });
  return {
    receipt,
    paid: logs.filter((log) => log.eventName === "Paid").map((log) => log.args),
    failed: logs.filter((log) => log.eventName === "Failed").map((log) => log.args),
  };
}

/** Asserts that a call reverts with this error of the contract, asked and mined. */
async function reverts(contract, functionName, args, from, errorName, errorArgs, gas = GAS) {
  const call = { ...contract, functionName, args, account: from, gas };
  await assert.rejects(client.simulateContract(call), (error) => {
    assert.ok(error instanceof BaseError, String(error));
    const revert = error.walk((cause) => cause instanceof ContractFunctionRevertedError);
    assert.equal(revert?.data?.errorName, errorName, error.shortMessage);
    if (errorArgs) assert.deepEqual(revert.data.args, errorArgs);
    return true;
  });
  const hash = await client.writeContract(call);
  const receipt = await client.waitForTransactionReceipt({ hash });
  assert.equal(receipt.status, "reverted");
  assert.deepEqual(receipt.logs, []);
}

describe("a batch", () => {
  test("pays every item once and says so", async () => {
    const at = await world();
    const items = [[recipient(1), 5n], [recipient(2), 2n ** 40n], [recipient(1), 7n]];
    await send(client, at.token, "mint", [at.payout.address, 2n ** 41n], owner);
    const { paid, failed, receipt } = await pay(at, items);
    assert.deepEqual(paid, [{ batchId: at.batch, paid: 3n, failed: 0n, sum: 2n ** 40n + 12n }]);
    assert.deepEqual(failed, []);
    assert.equal(await balance(at.token, recipient(1)), 12n);
    assert.equal(await balance(at.token, recipient(2)), 2n ** 40n);
    assert.equal(await read(at.payout, "paidIn", [at.batch]), receipt.blockNumber);
  });

  test("a replay reverts, with other items too, and pays nobody", async () => {
    const at = await world();
    const { receipt } = await pay(at, [[recipient(10), 5n]]);
    for (const items of [[[recipient(10), 5n]], [[recipient(11), 1n]]]) {
      const why = [at.batch, receipt.blockNumber];
      await reverts(at.payout, "pay", order(at.batch, items), owner, "AlreadyPaid", why);
    }
    assert.equal(await balance(at.token, recipient(10)), 5n);
    assert.equal(await balance(at.token, recipient(11)), 0n);
  });

  test("a wrong control sum reverts all of it", async () => {
    const at = await world();
    const items = [[recipient(20), 5n], [recipient(21), 6n]];
    for (const wrong of [10n, 12n, 0n]) {
      const args = order(at.batch, items, { sum: wrong });
      await reverts(at.payout, "pay", args, owner, "ControlSum", [wrong, 11n]);
    }
    assert.equal(await balance(at.token, recipient(20)), 0n);
    assert.equal(await read(at.payout, "paidIn", [at.batch]), 0n);
  });

  test("no item, 401 items and a torn item revert; 400 pay", async () => {
    const at = await world();
    const many = (count) => Array.from({ length: count }, (_, n) => [recipient(1000 + n), 3n]);
    const torn = pack(many(2)).slice(0, -2);
    for (const [packed, length] of [["0x", 0n], [pack(many(401)), 401n * 32n], [torn, 63n]]) {
      const args = order(at.batch, many(2), { packed });
      await reverts(at.payout, "pay", args, owner, "ItemsLength", [length]);
    }
    const { paid } = await pay(at, many(400));
    assert.deepEqual(paid, [{ batchId: at.batch, paid: 400n, failed: 0n, sum: 1200n }]);
    assert.equal(await balance(at.token, recipient(1399)), 3n);
  });

  test("too little money reverts all of it: it is not the last recipients' failure", async () => {
    const at = await world("PlainToken", [6], 10n);
    const items = [[recipient(30), 6n], [recipient(31), 5n]];
    const args = order(at.batch, items);
    await reverts(at.payout, "pay", args, owner, "Underfunded", [10n, 11n]);
    assert.equal(await balance(at.token, recipient(30)), 0n);
    assert.equal(await read(at.payout, "paidIn", [at.batch]), 0n);
  });

  test("too little gas reverts all of it: no item fails for want of gas", async () => {
    const at = await world();
    const items = Array.from({ length: 50 }, (_, n) => [recipient(1500 + n), 1n]);
    let reverted = 0;
    for (let gas = 300_000n; gas < 2_400_000n; gas += 75_000n) {
      const batch = id(next++);
      const data = encodeFunctionData({
        abi: at.payout.abi, functionName: "pay", args: [batch, pack(items), 50n],
      });
      const hash = await client.sendTransaction({
        account: owner, to: at.payout.address, data, gas,
      });
      const receipt = await client.waitForTransactionReceipt({ hash });
      const logs = parseEventLogs({ abi: at.payout.abi, logs: receipt.logs });
      assert.ok(logs.every((log) => log.eventName !== "Failed"), `gas ${gas}`);
      if (receipt.status === "reverted") {
        reverted += 1;
        assert.equal(await read(at.payout, "paidIn", [batch]), 0n);
      } else {
        assert.equal(logs.find((log) => log.eventName === "Paid").args.paid, 50n);
      }
    }
    assert.ok(reverted > 5 && reverted < 28, `${reverted} of 28 reverted`);
    const args = order(id(next++), items);
    await reverts(at.payout, "pay", args, owner, "GasTooLow", undefined, 400_000n);
  });

  test("the largest amount an item can carry is paid to the last digit", async () => {
    const most = 2n ** 96n - 1n;
    const at = await world("PlainToken", [18], 2n * most);
    const { paid } = await pay(at, [[recipient(40), most], [recipient(41), most]]);
    assert.equal(paid[0].sum, 2n * most);
    assert.equal(await balance(at.token, recipient(41)), most);
  });
});

describe("an item that fails", () => {
  test("a blocked recipient is left out and told; the other 99 are paid", async () => {
    const at = await world();
    const items = Array.from({ length: 100 }, (_, n) => [recipient(2000 + n), 10n + BigInt(n)]);
    const [blocked, amount] = items[57];
    await send(client, at.token, "setBlocked", [blocked, true], owner);
    const start = await balance(at.token, at.payout.address);
    const { paid, failed } = await pay(at, items);
    const moved = sum(items) - amount;
    assert.deepEqual(paid, [{ batchId: at.batch, paid: 99n, failed: 1n, sum: moved }]);
    assert.equal(failed.length, 1);
    const { index, to, reason, ...rest } = failed[0];
    assert.deepEqual({ index, to: to.toLowerCase(), amount: rest.amount }, {
      index: 57n, to: blocked, amount,
    });
    const why = decodeErrorResult({ abi: at.token.abi, data: reason.slice(0, 2 + 2 * 36) });
    assert.equal(why.errorName, "Blocked");
    for (const [to, due] of items) {
      assert.equal(await balance(at.token, to), to === blocked ? 0n : due);
    }
    assert.equal(await balance(at.token, at.payout.address), start - moved);
  });

  test("a token that answers false is believed", async () => {
    const at = await world("FalseToken");
    await send(client, at.token, "setBlocked", [recipient(50), true], owner);
    const { paid, failed } = await pay(at, [[recipient(50), 4n], [recipient(51), 5n]]);
    assert.deepEqual(paid, [{ batchId: at.batch, paid: 1n, failed: 1n, sum: 5n }]);
    assert.equal(failed[0].reason, id(0));
    assert.equal(await balance(at.token, recipient(51)), 5n);
  });

  test("a token that returns nothing pays", async () => {
    const at = await world("SilentToken");
    const { paid } = await pay(at, [[recipient(60), 4n], [recipient(61), 5n]]);
    assert.deepEqual(paid, [{ batchId: at.batch, paid: 2n, failed: 0n, sum: 9n }]);
    assert.equal(await balance(at.token, recipient(61)), 5n);
  });

  test("the zero address, the contract and the token itself are never paid", async () => {
    const at = await world();
    const own = [at.payout.address, at.token.address, `0x${"00".repeat(20)}`];
    const items = [...own.map((to) => [to, 3n]), [recipient(70), 2n]];
    const { paid, failed } = await pay(at, items);
    assert.deepEqual(paid, [{ batchId: at.batch, paid: 1n, failed: 3n, sum: 2n }]);
    const text = Buffer.from("own address").toString("hex");
    assert.deepEqual(failed.slice(0, 2).map((f) => f.reason), [`0x${text}`, `0x${text}`]);
    assert.equal(await balance(at.token, at.token.address), 0n);
  });

  test("a paused token fails every item, and the money stays", async () => {
    const at = await world();
    await send(client, at.token, "setPaused", [true], owner);
    const { paid, failed } = await pay(at, [[recipient(80), 4n], [recipient(81), 5n]]);
    assert.deepEqual(paid, [{ batchId: at.batch, paid: 0n, failed: 2n, sum: 0n }]);
    const [why] = decodeErrorResult({ abi: [], data: failed[0].reason }).args;
    assert.equal(why, "Pausable: paused");
  });

  test("recipients that revert, burn gas or answer at length fail alone", async () => {
    const at = await world("HookToken");
    const modes = [0, 1, 2, 3];
    const receivers = [];
    for (const mode of modes) {
      receivers.push(await deploy(client, "Receiver", [mode, at.payout.address], owner));
    }
    const items = receivers.map(({ address }) => [address, 5n]);
    const { paid, failed, receipt } = await pay(at, [...items, [recipient(90), 7n]]);
    assert.deepEqual(paid, [{ batchId: at.batch, paid: 2n, failed: 3n, sum: 12n }]);
    assert.deepEqual(failed.map((f) => f.index), [1n, 2n, 3n]);
    assert.ok(failed.every((f) => (f.reason.length - 2) / 2 <= 128));
    assert.equal(decodeErrorResult({ abi: [], data: failed[0].reason }).args[0], "no, thank you");
    assert.equal(failed[1].reason, "0x");
    assert.equal((failed[2].reason.length - 2) / 2, 128);
    assert.ok(receipt.gasUsed < 700_000n, `${receipt.gasUsed}`);
    assert.equal(await balance(at.token, recipient(90)), 7n);
  });
});

describe("calls from within a payment", () => {
  test("a recipient that calls back is not the owner", async () => {
    const at = await world("HookToken");
    const attempts = [
      [4, "pay", [id(next++), pack([[recipient(100), 9n]]), 9n]],
      [5, "withdraw", [at.token.address, recipient(101), 9n]],
    ];
    for (const [mode, functionName, args] of attempts) {
      const receiver = await deploy(client, "Receiver", [mode, at.payout.address], owner);
      const data = encodeFunctionData({ abi: at.payout.abi, functionName, args });
      await send(client, receiver, "setAttempt", [data], owner);
      await pay({ ...at, batch: id(next++) }, [[receiver.address, 1n]]);
      assert.equal(await read(receiver, "refused"), true, functionName);
    }
    assert.equal(await balance(at.token, recipient(100)), 0n);
    assert.equal(await balance(at.token, recipient(101)), 0n);
  });

  test("even the owner, called back, cannot pay the same batch twice", async () => {
    const at = await world("HookToken");
    const receiver = await deploy(client, "Receiver", [4, at.payout.address], owner);
    await send(client, at.payout, "transferOwnership", [receiver.address], owner);
    await send(client, receiver, "accept", [], owner);
    const items = [[receiver.address, 3n], [recipient(110), 4n]];
    const data = encodeFunctionData({
      abi: at.payout.abi, functionName: "pay", args: [at.batch, pack(items), 7n],
    });
    await send(client, receiver, "setAttempt", [data], owner);
    await send(client, receiver, "act", [data], owner, { gas: GAS });
    assert.equal(await read(receiver, "refused"), true);
    assert.equal(await balance(at.token, recipient(110)), 4n);
    assert.equal(await balance(at.token, receiver.address), 3n);
  });
});

describe("the owner", () => {
  let at;
  beforeEach(async () => { at = await world(); });

  test("nobody else pays, withdraws or offers the ownership", async () => {
    const who = [stranger.address];
    const attempts = [
      ["pay", order(at.batch, [[stranger.address, 1n]])],
      ["withdraw", [at.token.address, stranger.address, 1n]],
      ["transferOwnership", who],
    ];
    for (const [name, args] of attempts) {
      await reverts(at.payout, name, args, stranger, "NotOwner", who);
    }
    await reverts(at.payout, "acceptOwnership", [], stranger, "NotPendingOwner", who);
    assert.equal(await balance(at.token, stranger.address), 0n);
  });

  test("changes in two steps, and the old one keeps it until the second", async () => {
    await send(client, at.payout, "transferOwnership", [heir.address], owner);
    assert.equal(await read(at.payout, "owner"), owner.address);
    assert.equal(await read(at.payout, "pendingOwner"), heir.address);
    const items = [[recipient(130), 1n]];
    const args = order(at.batch, items);
    await reverts(at.payout, "pay", args, heir, "NotOwner", [heir.address]);
    await pay(at, items);
    await send(client, at.payout, "acceptOwnership", [], heir);
    assert.equal(await read(at.payout, "owner"), heir.address);
    await reverts(at.payout, "pay", args, owner, "NotOwner", [owner.address]);
    await pay({ ...at, batch: id(next++) }, items, heir);
    const heirs = [heir.address];
    await reverts(at.payout, "acceptOwnership", [], heir, "NotPendingOwner", heirs);
  });

  test("an offer can be taken back", async () => {
    await send(client, at.payout, "transferOwnership", [heir.address], owner);
    await send(client, at.payout, "transferOwnership", [`0x${"00".repeat(20)}`], owner);
    const heirs = [heir.address];
    await reverts(at.payout, "acceptOwnership", [], heir, "NotPendingOwner", heirs);
  });

  test("withdraws what failed items left, and tokens sent here by mistake", async () => {
    await send(client, at.token, "setBlocked", [recipient(140), true], owner);
    await pay(at, [[recipient(140), 25n]]);
    const start = await balance(at.token, at.payout.address);
    await send(client, at.payout, "withdraw", [at.token.address, heir.address, 25n], owner);
    assert.equal(await balance(at.token, heir.address), 25n);
    assert.equal(await balance(at.token, at.payout.address), start - 25n);
    const stray = await deploy(client, "SilentToken", [], owner);
    await send(client, stray, "mint", [at.payout.address, 8n], owner);
    await send(client, at.payout, "withdraw", [stray.address, heir.address, 8n], owner);
    assert.equal(await balance(stray, heir.address), 8n);
  });

  test("a withdrawal that the token refuses reverts", async () => {
    await send(client, at.token, "setBlocked", [heir.address, true], owner);
    const taking = [at.token.address, heir.address, 1n];
    await reverts(at.payout, "withdraw", taking, owner, "WithdrawFailed");
    const nothing = [stranger.address, heir.address, 1n];
    await reverts(at.payout, "withdraw", nothing, owner, "NoToken", [stranger.address]);
  });
});

describe("the contract", () => {
  test("takes no native coin, in no way", async () => {
    const at = await world();
    const data = encodeFunctionData({
      abi: at.payout.abi, functionName: "pay", args: [at.batch, pack([[recipient(1), 1n]]), 1n],
    });
    for (const more of [{}, { data: "0x12345678" }, { data }]) {
      const coins = { account: owner, to: at.payout.address, value: 1n, gas: 1_000_000n, ...more };
      const hash = await client.sendTransaction(coins);
      const receipt = await client.waitForTransactionReceipt({ hash });
      assert.equal(receipt.status, "reverted");
    }
    assert.equal(await client.getBalance({ address: at.payout.address }), 0n);
  });

  test("is not deployed for a token that does not exist", async () => {
    const deployed = deploy(client, "BatchPayout", [stranger.address], owner);
    await assert.rejects(deployed, new RegExp(toFunctionSelector("NoToken(address)")));
  });

  test("has no delegatecall, selfdestruct, create or callcode in its code", async () => {
    const { payout } = await world();
    const code = Buffer.from((await client.getCode({ address: payout.address })).slice(2), "hex");
    // The compiler's own note at the end is data; its length is in the last two bytes.
    const end = code.length - 2 - code.readUInt16BE(code.length - 2);
    const forbidden = new Map([
      [0xf0, "CREATE"], [0xf2, "CALLCODE"], [0xf4, "DELEGATECALL"], [0xf5, "CREATE2"],
      [0xff, "SELFDESTRUCT"],
    ]);
    let calls = 0;
    for (let at = 0; at < end; at += 1) {
      const op = code[at];
      assert.ok(!forbidden.has(op), `${forbidden.get(op)} at ${at}`);
      if (op === 0xf1) calls += 1;
      if (op >= 0x60 && op <= 0x7f) at += op - 0x5f; // PUSH1..PUSH32 carry data
    }
    assert.ok(calls >= 1, "the walk over the code finds its CALLs");
  });
});
