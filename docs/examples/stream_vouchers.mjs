// Pays for COUNT requests of PRICE units each, over one stream, in several lanes: stream_vouchers.py in JavaScript, which
// says what such a client must do. Both keep the same file, so that one goes on where the other stopped.
// Needs: npm ci --prefix docs/examples. Takes TALLYSTICK_TLS_CA and TALLYSTICK_TOKEN as send_one_voucher.py does.
// Usage: stream_vouchers.mjs HOST:PORT SECRET_HEX[,SECRET_HEX...] PAYEE_HEX ASSET PRICE COUNT
import { once } from "node:events";
import fs from "node:fs";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { agent, voucher } from "./voucher.mjs";

const LANES = 4, FRAME = 100, DAY = 86_400n;

if (process.argv.length !== 8) {
  console.error("usage: stream_vouchers.mjs HOST:PORT SECRET_HEX[,SECRET_HEX...] PAYEE_HEX ASSET PRICE COUNT");
  process.exit(2);
}
const [server, secrets, payeeHex, assetText, priceText, countText] = process.argv.slice(2);
const payee = Buffer.from(payeeHex, "hex"), asset = Number(assetText);
const price = BigInt(priceText), count = Number(countText);

// `longs: String`: totals may be larger than what a number of JavaScript holds.
const contract = fileURLToPath(new URL("../../proto/tallystick/v1/vouchers.proto", import.meta.url));
const root = fileURLToPath(new URL("../../proto", import.meta.url));
const definition = loader.loadSync(contract, { keepCase: true, longs: String, enums: Number, defaults: true, includeDirs: [root] });
const { Vouchers } = grpc.loadPackageDefinition(definition).tallystick.v1;
// What says to the engine who calls: a facilitator's key, which goes to another machine under TLS only.
const { TALLYSTICK_TLS_CA: ca, TALLYSTICK_TOKEN: token } = process.env;
const isTls = server.startsWith("https://"), address = server.replace("https://", "");
if (token && !isTls && !/^(127\.0\.0\.1|localhost|\[::1\]):/.test(server)) {
  console.error("a key goes to another machine under TLS only: https://HOST:PORT");
  process.exit(2);
}
const caller = new grpc.Metadata();
if (token) caller.set("authorization", `Bearer ${token}`);
const { createSsl, createInsecure } = grpc.credentials;
const engine = new Vouchers(address, isTls ? createSsl(ca ? fs.readFileSync(ca) : null) : createInsecure());
const ask = (method, request) => new Promise((resolve, reject) =>
  engine[method](request, caller, (error, answer) => (error ? reject(error) : resolve(answer))));

// An engine may know outcomes that this program does not.
const NAMES = new Map(definition["tallystick.v1.Outcome"].type.value
  .map(({ name, number }) => [number, name.replace("OUTCOME_", "")]));
const nameOf = (outcome) => NAMES.get(outcome) ?? `unknown outcome ${outcome}`;

/** An agent's channels to one payee: one expiry, a total for each lane; kept in a file. */
function channels(network, secret) {
  const made = agent(Buffer.from(secret, "hex"));
  const ids = [network, made.signer, payee].map((part) => part.toString("hex").slice(0, 16)).join("-");
  made.file = `stream-${ids}-${asset}.json`;
  const now = BigInt(Math.floor(Date.now() / 1000));
  if (fs.existsSync(made.file)) {
    const kept = JSON.parse(fs.readFileSync(made.file, "utf8"));
    made.expiresAt = BigInt(kept.expires_at);
    made.totals = kept.totals.map(BigInt);
    if (made.expiresAt <= now) {
      throw new Error(`the channels in ${made.file} have expired: ask GetChannel what they came to, then move the file away`);
    }
  } else {
    // Chosen once for all runs: with another expiry every total would start at 0 again.
    made.expiresAt = (now / DAY + 8n) * DAY;
    made.totals = Array(LANES).fill(0n);
  }
  keep(made);
  return made;
}

/** Durable, name and all, or not at all. */
function keep({ file, expiresAt, totals }) {
  const synced = (path) => {
    const handle = fs.openSync(path, "r");
    fs.fsyncSync(handle);
    fs.closeSync(handle);
  };
  fs.writeFileSync(`${file}.tmp`, JSON.stringify({ expires_at: Number(expiresAt), totals: totals.map(String) }));
  synced(`${file}.tmp`);
  fs.renameSync(`${file}.tmp`, file);
  synced(".");
}

/** First the newest voucher of each lane again, in case an ack was lost; then what is to be paid. */
function* frames(network, agents) {
  const signed = (one, lane) => [one, lane, voucher(network, one, payee, asset, BigInt(lane), one.expiresAt, one.totals[lane])];
  const again = agents.flatMap((one) => one.totals.flatMap((total, lane) => (total ? [signed(one, lane)] : [])));
  for (let first = 0; first < again.length; first += FRAME) yield again.slice(first, first + FRAME);
  for (let first = 0; first < count; first += FRAME) {
    const parts = [];
    for (let request = first; request < Math.min(first + FRAME, count); request += 1) {
      const one = agents[request % agents.length], lane = Math.floor(request / agents.length) % LANES;
      one.totals[lane] += price;
      parts.push(signed(one, lane));
    }
    agents.forEach(keep); // before they leave
    yield parts;
  }
}

process.on("uncaughtException", (error) => {
  console.error(`${error.details ?? error.stack}; if totals were kept, run this again with COUNT 0, and what was signed and is ` +
    "not held is sent again");
  process.exit(1);
});
const network = (await ask("GetNetwork", {})).network_id;
const agents = secrets.split(",").map((secret) => channels(network, secret));
const seen = new Map(), waiting = [];
const stream = engine.Stream(caller);
stream.on("data", (ack) => { // while frames are written, and in frame order
  const sent = waiting.shift();
  [...ack.outcomes].forEach((outcome, place) => {
    const word = nameOf(outcome), [one, lane] = sent[place];
    seen.set(word, (seen.get(word) ?? 0) + 1);
    if (word !== "CREDITED" && word !== "STALE") {
      console.log(`${one.signer.toString("hex").slice(0, 16)} lane ${lane}: ${word} (an lsn of ${ack.lsn} does not mean credited)`);
    }
  });
});
const ended = once(stream, "end"); // throws what the stream fails with
ended.catch(() => {});
for (const parts of frames(network, agents)) {
  waiting.push(parts);
  const room = stream.write({ frame_id: parts.length, packed: Buffer.concat(parts.map(([, , bytes]) => bytes)) });
  if (!room) await Promise.race([once(stream, "drain"), ended]);
}
stream.end();
await ended;
console.log([...seen].sort().map(([word, times]) => `${times} ${word}`).join(", "));

let lacking = 0;
for (const one of agents) {
  for (const [lane, total] of one.totals.entries()) {
    if (!total) continue;
    // What the engine holds of it; `known` is false for a channel that it has forgotten or never seen.
    const held = await ask("GetChannel", { signer: one.signer, payee, asset, lane, expires_at: String(one.expiresAt) });
    lacking += BigInt(held.cumulative) === total ? 0 : 1;
    console.log(`${one.signer.toString("hex").slice(0, 16)} lane ${lane}, expires_at ${one.expiresAt}: ` +
      `signed ${total}, held ${held.known ? held.cumulative : "nothing (not known)"}`);
    if (BigInt(held.cumulative) > total) {
      console.log(`  more is held than ${one.file} says: was it lost, or does another program sign with this key? ` +
        "What was signed now paid nothing");
    }
  }
}
process.exit(lacking ? 1 : 0);
