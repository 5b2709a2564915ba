// What ten open consoles cost who waits for acks: the same load with and without them, in turn, on one engine, and the ratio of
// the medians of p99. `make bench-consoles`, or `run.sh consoles`. The last line is JSON. Exit code 1 above a tenth more.
//
// A console here is what the engine sees of one: a login, its events, and what its page asks again when it is told that
// something has changed. What a browser does with the answers is work of another machine, and would take this one's cores.
import { get } from "node:http";
import { World } from "./world.mjs";

const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const ROUNDS = number("ROUNDS", 9), RATE = number("RATE", 20_000), SECONDS = number("SECONDS", 4), MOST = 1.1;
const CONSOLES = 10, EACH = 5; // pages of one login
const AGAIN_MS = 500; // as a page: however often something changes
const EUR = 978;
/** What each page asks when it is told so. */
const PAGES = [
  () => [["GetStatus", {}]],
  ({ open }) => [["ListWindows", { limit: 51, newestFirst: true }], ["GetStatus", {}], ["GetWindow", { number: open }]],
  () => [["ListBatches", { limit: 51, newestFirst: true }], ["ListTroubles", {}], ["ListProposals", {}]],
  () => [["FindLegs", { limit: 500 }]],
  () => [["ListExposures", { asset: EUR, limit: 10 }], ["ListParties", { limit: 50 }]],
];
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function post(world, path, body, headers = {}) {
  const answer = await fetch(`http://${world.console}/api/${path}`, { method: "POST", body: JSON.stringify(body),
    headers: { "content-type": "application/json", "x-tallystick-console": "1", ...headers } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

/** One that is open until it is closed: {events, asked, close()}. */
function open(world, { cookie, login }, calls) {
  const state = { events: 0, asked: 0 };
  let pending;
  const ask = async () => {
    pending = undefined;
    for (const [method, body] of calls) {
      await post(world, `call/${method}`, body, { cookie, "x-tallystick-login": login, "x-tallystick-auto": "1" });
      state.asked += 1;
    }
  };
  const request = get(`http://${world.console}/api/live?login=${login}`, { headers: { cookie } }, (answer) => {
    answer.setEncoding("utf8");
    answer.on("data", (text) => {
      state.events += text.split("event: now").length - 1;
      if (text.includes("event: changed")) pending ??= setTimeout(() => ask().catch(state.failed), AGAIN_MS);
    });
  });
  request.on("error", () => undefined);
  state.failed = (error) => (state.error = error);
  state.close = () => {
    clearTimeout(pending);
    request.destroy();
  };
  return state;
}

async function logins(world) {
  return Promise.all(Array.from({ length: CONSOLES / EACH }, async () => {
    const entered = await post(world, "login", { token: world.keys.bob });
    return { cookie: entered.headers.get("set-cookie").split(";")[0], login: (await entered.json()).login };
  }));
}

const few = ["--payers", "1000", "--payees", "100", "--close", "false", "--frame", "64", "--json"];
let run = 0;
/** The acks of one load, while windows open and close as they do: so consoles have something to ask for. */
async function loaded(world) {
  const said = await world.load(...few, "--vouchers", String(RATE * SECONDS), "--run", String((run += 1)), "--no-setup",
    "--rate", String(RATE));
  const report = JSON.parse(said);
  if (report.unexpected_outcomes) throw new Error(`${report.unexpected_outcomes} vouchers were answered otherwise`);
  return report.ack_p99_us;
}

const world = new World(), p99 = { without: [], with: [] };
let events = 0, asked = 0;
try {
  await (await world.people("ann", "bob")).write().start();
  await world.load(...few, "--vouchers", "20000");
  // What closes a window now and then is the same with and without.
  const close = setInterval(() => world.cli("ann", "window", "close").catch(() => undefined), 1_500);
  try {
    await loaded(world);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const kind of round % 2 ? ["with", "without"] : ["without", "with"]) {
        const people = kind === "with" ? await logins(world) : [];
        const consoles = people.flatMap((of) => PAGES.map((calls) => open(world, of, calls({ open: 1 }))));
        p99[kind].push(await loaded(world));
        for (const of of consoles) {
          of.close();
          if (of.error) throw of.error;
          events += of.events;
          asked += of.asked;
        }
      }
      console.log(`round ${round + 1}: p99 ${p99.without.at(-1)} us without, ${p99.with.at(-1)} us with ${CONSOLES} consoles`);
    }
  } finally {
    clearInterval(close);
  }
} finally {
  await world.stop();
}
// Nobody looked: nothing was measured.
if (events < CONSOLES * ROUNDS || asked < CONSOLES * ROUNDS) throw new Error(`${events} events, ${asked} calls: too few`);
const ratios = p99.with.map((value, round) => value / p99.without[round]);
const ratio = median(p99.with) / median(p99.without);
console.log(JSON.stringify({ consoles: CONSOLES, rounds: ROUNDS, rate: RATE, seconds: SECONDS, events, asked,
  p99_us_without: median(p99.without), p99_us_with: median(p99.with), ratio: Number(ratio.toFixed(3)),
  ratio_of_pairs: Number(median(ratios).toFixed(3)) }));
process.exitCode = ratio > MOST ? 1 : 0;
