// kill -9 of the agent at seeded points, and of the engine beside every tenth of them: nothing lost, nothing paid twice.
// CRASHES=1000 SEED=1 ENGINE_KILLS=0.5 node --test test/e2e/crash.test.mjs is a long run.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { AgentKey } from "@tallystick/x402";
import { BUYER, Engine, shop } from "./world.mjs";

const CRASHES = Number(process.env.CRASHES ?? 12), JOBS = 16;
const payer = fileURLToPath(new URL("payer.mjs", import.meta.url));

/** Small, seeded chance. */
function chance(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test(`${CRASHES} kills of an agent: every job is paid once`, async () => {
  const pick = chance(Number(process.env.SEED ?? 1));
  const engine = await (await new Engine().start()).settle();
  const secret = randomBytes(32).toString("hex");
  await engine.cli("signer", "add", "--party", BUYER, "--key", new AgentKey(secret).signer);
  const store = await shop(engine.url);
  const open = new Set(), done = new Map();
  let jobs = 0, engineKills = 0;

  /** One life of the agent; it ends by itself, or is killed `pause` milliseconds after so many jobs are done. */
  async function life(after = Infinity, pause = 0) {
    let lived = 0;
    const lanes = join(engine.folder, "agent.lanes");
    const child = spawn(process.execPath, [payer, secret, engine.url, lanes, store.paid, ...open], { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(child, "exit");
    for await (const line of createInterface(child.stdout)) {
      const [word, job, transaction] = line.split(" ");
      if (lived++ === after) setTimeout(() => child.kill("SIGKILL"), pause);
      if (word !== "done") continue;
      assert.ok(!done.has(job), `job ${job} was done before`);
      done.set(job, transaction);
      open.delete(job);
    }
    await ended;
  }

  try {
    for (let crash = 0; crash < CRASHES; crash += 1) {
      for (let more = 0; more < JOBS; more += 1) open.add(String((jobs += 1)));
      const both = pick(1000) < 1000 * Number(process.env.ENGINE_KILLS ?? 0.1);
      const living = life(pick(JOBS), pick(30));
      if (both) {
        engineKills += 1;
        await new Promise((resolve) => setTimeout(resolve, pick(400)));
        await engine.end("SIGKILL");
        await engine.start();
      }
      await living;
    }
    for (let tries = 0; open.size && tries < 5; tries += 1) await life();
    assert.equal(open.size, 0, "every job came to its end");
    assert.equal(done.size, jobs);
    assert.equal(new Set(done.values()).size, jobs, "each has a commitment of its own");
    assert.equal(await engine.owed(), BigInt(jobs) * 100n, "the engine's books: each once");
    console.log(`${CRASHES} kills of the agent, ${engineKills} of the engine, ${jobs} jobs: 0 lost, 0 paid twice`);
  } finally {
    await store.close();
    await engine.stop();
  }
});
