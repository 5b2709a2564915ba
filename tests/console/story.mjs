// What has happened in the world before a test looks at it.
import { iban, id, until } from "./world.mjs";

export const EUR = 978, USD = 840;
const account = (number) => ["--account", `iso20022:iban=${iban(number)}`];
/** Parties with names: two that pay and two that are paid over the provider, and one whose limit is nearly used. */
export const PAYER_A = id(0xa1), PAYER_B = id(0xa2), SHOP_A = id(0xb1), SHOP_B = id(0xb2), NEAR = id(0xc1);
export const NEAR_NAME = "Nearly There Oy";

const few = ["--payers", "300", "--payees", "40", "--close", "false", "--connections", "1", "--streams-per-connection", "1"];
/** What many agents pay many shops. The first run registers them, and so comes before four eyes. */
export const load = (world, run, vouchers) => world.load(...few, "--vouchers", String(vouchers), "--run", String(run),
  ...(run ? ["--no-setup"] : []));

const report = async (world, batch) => (await world.cli("ann", "batch", "report", batch))[0];

/** Pays all legs of a batch over files: first what comes in, then what goes out. */
async function paid(world, batch) {
  for (const side of ["pay_ins", "pay_outs"]) {
    const flag = `--${side.replace("_", "-")}`;
    await until(`${side} have left`, async () => {
      const states = (await report(world, batch))[side];
      return states.length > 0 && states.every(({ state }) => state !== "ready");
    });
    await world.cli("ann", "leg", "report", batch, flag, "--word", "confirmed", "--reference", "statement 2026-11-30");
  }
  await until("the batch is settled", async () => (await report(world, batch)).ended_at_us > 0);
}

const create = async (world, window, asset, rail) => {
  const [{ batch_id: batch }] = await world.cli("ann", "batch", "create", "--window", String(window), "--asset",
    String(asset), "--rail", rail);
  return batch;
};

/** Who there is: nothing of it takes two yet. */
async function registered(world, vouchers) {
  await load(world, 0, vouchers);
  await world.cli("ann", "asset", "add", "--number", String(USD), "--code", "USD", "--scale", "6", "--model",
    "multilateral");
  await world.party(0xa1, "Ada Lovelace Agents Ltd", "--account", "card:customer=cus_1,payment_method=pm_1");
  await world.party(0xa2, "Babbage Compute GmbH", "--account", "card:customer=cus_2,payment_method=pm_2");
  await world.party(0xb1, "Weather Shop SAS", "--account", "card:payout=acct_1", ...account(0xb1));
  await world.party(0xb2, "Translation Shop BV", "--account", "card:payout=acct_2");
  await world.party(0xc1, NEAR_NAME, ...account(0xc1));
  for (const party of [PAYER_A, PAYER_B]) await world.cli("ann", "limit", "set", "--party", party, "--asset", String(USD),
    "90000000");
  await world.cli("ann", "limit", "set", "--party", NEAR, "--asset", String(EUR), "1000000");
  world.signer = (await world.key(NEAR)).signer;
  for (const party of [PAYER_A, PAYER_B]) await world.key(party);
  await world.cli("ann", "signer", "budget", "set", world.signer, "--budget", `${EUR}=1000000/day`);
  await world.identity("carol", "approver");
  await world.identity("dave", "auditor", "--expires", "20d");
  await world.identity("erin", "party", "--party", NEAR);
  await world.identity("fred", "facilitator", "--party", PAYER_A, "--rate", "500");
  await world.identity("gone", "auditor");
  await world.cli("ann", "access", "revoke", "gone");
}

/** The provider loses the answers to two charges, of which it made one, and then answers nothing. */
async function lost(world) {
  await world.pay(PAYER_A, SHOP_A, USD, 5_000_000);
  await world.pay(PAYER_B, SHOP_B, USD, 1_000_000);
  await world.cli("ann", "window", "close");
  const batch = await create(world, 4, USD, "card");
  await world.tell("faults", { per_mille: { unavailable: 1000 } });
  await world.tell("next", ["drop_after", "drop_before"]);
  await world.cli("bob", "batch", "approve", batch);
  await until("both charges are unknown", async () => {
    const { pay_ins: [of] } = await report(world, batch);
    return of.state === "unknown" && of.legs === 2;
  });
  return batch;
}

/** Window 1 settled, 2 batched and not approved, 3 disputed, 4 with two UNKNOWN legs, 5 open. From then on with four eyes. */
export async function story(world, { vouchers = 4_000 } = {}) {
  await world.people("ann", "bob");
  await world.provide();
  await world.write().start();
  await registered(world, vouchers);
  await world.end();
  await world.write({ fourEyes: true }).start();

  await world.cli("ann", "window", "close");
  world.settled = await create(world, 1, EUR, "iso20022");
  await world.cli("bob", "batch", "approve", world.settled);
  await paid(world, world.settled);
  await load(world, 1, vouchers);
  await world.cli("ann", "window", "close");
  world.waits = await create(world, 2, EUR, "iso20022");
  await load(world, 2, vouchers);
  await world.cli("ann", "window", "close");
  await world.cli("ann", "window", "dispute", "3", "--reason", "agent 8f31 was stolen");
  world.lost = await lost(world);
  await load(world, 3, vouchers);
  await world.pay(NEAR, SHOP_A, EUR, 930_000);
  // A proposal that waits: four eyes are on.
  await world.cli("ann", "limit", "set", "--party", NEAR, "--asset", String(EUR), "2500000");
  return world;
}
