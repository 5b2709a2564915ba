// Looks for legs over all batches; one of them has a page of its own.
import { html, useState } from "../lib.js";
import { base64, clock, noAmount, option, typed, units } from "../format.js";
import { own } from "../rights.js";
import { ask } from "../route.js";
import { useStore } from "../store.js";
import { Empty, Page, assets } from "../ui.js";
import { Legs as Found } from "./found.js";
import { OneLeg } from "./leg.js";

const STATES = ["READY", "SENT", "ACCEPTED", "UNKNOWN", "CONFIRMED", "REJECTED", "RETURNED"];
const DAY = /^\d{4}-\d\d-\d\d$/;

/** What is asked of the engine, and the same as a command; or why it cannot be asked so. */
function request(query, all, who) {
  let short = false;
  const asked = {}, line = ["tallystick leg find"], asset = query.asset && all[query.asset];
  if (query.key) {
    asked.key = query.key.trim().toUpperCase();
    // The command line knows a leg by eight letters or more.
    if (asked.key.length >= 8) line.push(option("key", asked.key).trim());
    else short = true;
  }
  if (query.reference) {
    asked.reference = query.reference.trim();
    line.push(option("reference", asked.reference).trim());
  }
  if (query.party) {
    if (!/^[0-9a-f]{64}$/.test(query.party.trim())) return { wrong: "A party is named by all 64 digits of its id. Find it by its first ones: Ctrl K." };
    asked.partyIds = [base64(query.party.trim())];
    line.push(`--party ${query.party.trim().slice(0, 16)}`);
  }
  // An owner sees legs of their own parties.
  const mine = own(who);
  if (mine?.length && !query.party) asked.partyIds = mine.map(base64);
  if (query.amount) {
    const of = asset ?? (Object.keys(all).length === 1 ? Object.values(all)[0] : undefined);
    if (!of) return { wrong: "Choose the asset of the amount." };
    asked.amount = units(query.amount, of.scale);
    if (asked.amount === undefined) return { wrong: noAmount(query.amount, of.scale) };
    line.push(`--amount ${asked.amount}`);
  }
  if (asset) {
    asked.asset = asset.number;
    line.push(`--asset ${asset.number}`);
  }
  for (const [name, field, days] of [["from", "fromUs", 0], ["to", "toUs", 1]]) {
    if (!query[name]) continue;
    if (!DAY.test(query[name])) return { wrong: "A day is written 2026-11-30." };
    asked[field] = String((Date.parse(`${query[name]}T00:00:00Z`) + days * 86_400_000) * 1000);
    line.push(`--${name} ${query[name]}`);
  }
  if (query.state) {
    asked.states = [`LEG_STATE_${query.state}`];
    line.push(`--state ${query.state.toLowerCase()}`);
  }
  const of = Object.entries(query).filter(([, value]) => value);
  if (mine?.length && of.length && !query.party) line.push(...mine.map((id) => `--party ${typed(id)}`));
  return { asked, filtered: of.length > 0,
    line: line.length > 1 && !short ? line.join(" ") : undefined };
}

function Search({ query, all }) {
  const [text, set] = useState(query);
  const go = (next) => ask("/legs", next);
  const field = (name, label, more = {}) => html`<div class="field"><label for=${`find-${name}`}>${label}</label>
    <input id=${`find-${name}`} name=${name} type="text" autocomplete="off" spellcheck=${false} value=${text[name] ?? ""}
      onInput=${(event) => set({ ...text, [name]: event.target.value.trim() })} ...${more} /></div>`;
  const choice = (name, label, options) => html`<div class="field"><label for=${`find-${name}`}>${label}</label>
    <select id=${`find-${name}`} value=${text[name] ?? ""} onChange=${(event) =>
      set({ ...text, [name]: event.target.value })}>${[["", "any"],
      ...options].map(([value, name_]) => html`<option key=${value} value=${value} selected=${value === (text[name] ?? "")}>
      ${name_}</option>`)}</select></div>`;
  return html`<form class="card search" role="search" aria-label="Legs"
    onSubmit=${(event) => { event.preventDefault(); go(text); }}>
    ${field("key", "Key", { placeholder: "first letters" })}
      ${field("reference", "Reference", { placeholder: "a part of it" })}
      ${field("party", "Party", { placeholder: "64 digits" })}
    ${field("amount", "Amount", { placeholder: "22.53", inputmode: "decimal" })}
      ${choice("asset", "Asset", Object.values(all).map(({ number, code }) => [String(number), code]))}
      ${choice("state", "State", STATES.map((name) => [name, name.toLowerCase()]))}
    ${field("from", "From", { placeholder: "2026-11-30" })}
      ${field("to", "To", { placeholder: clock(Date.now() * 1000).slice(0, 10) })}
    <div class="search-do"><button type="submit" class="main">Find</button>
      <button type="button" onClick=${() => { set({}); go({}); }}>Clear</button></div></form>`;
}

export default function Legs({ of: [key], query, who }) {
  const all = useStore(assets);
  if (key) return html`<${OneLeg} leg=${key} batch=${query.batch} who=${who} key=${key} />`;
  const { asked, line, wrong, filtered } = request(query, all, who);
  return html`<${Page} title="Legs" about="One movement of money each: where it is, and what the rail said of it.">
    <${Search} query=${query} all=${all} key=${JSON.stringify(query)} />
    ${wrong ? html`<div class="wrong" role="alert">${wrong}</div>`
      : html`<${Found} title=${filtered ? "Legs found, of the newest batch first"
      : "All legs, of the newest batch first"} asked=${asked} line=${line}
      empty=${filtered ? undefined : html`<${Empty} title="No leg yet">Legs come with the first batch: <a
        href="#/windows">close a window and batch it</a>.<//>`} />`}
  <//>`;
}
