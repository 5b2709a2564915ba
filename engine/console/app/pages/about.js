// What an event of the journal is about, in people's words: sums in wholes, nothing hidden in what somebody wrote.
import { html } from "../lib.js";
import { clear, word } from "../format.js";
import { Money, Written } from "../ui.js";

/**
 * Kinds that speak of sums in units, and how: "limit 5", "deposit 5: its reference", "used 5 of budget 9 of 978/day", "cap 9 of 978".
 */
const KINDS = ["limit_set", "deposit_recorded", "budgets_set", "budgets_warned", "signer_added", "change_proposed"];
const SUMS = /\b(limit|deposit) (\d+)|\b(used) (\d+) of budget (\d+) of (\d+)(?=\/)|\b(\d+) of (\d+)(?=\/|,|$)/g;

/** The words with sums in wholes. What follows the sum of a deposit somebody wrote. */
function* summed({ kind, about: text = "", asset }) {
  let from = 0;
  for (const { 0: all, 1: word_, 2: units, 3: used, 4: part, 5: whole, 6: of, 7: alone, 8: in_, index } of text.matchAll(SUMS)) {
    const money = (value, named) => html`<${Money} units=${value} asset=${named} />`;
    if (word_ ? asset === undefined : kind === "deposit_recorded") continue;
    yield clear(text.slice(from, index));
    if (word_) yield html`${word_} ${money(units, asset)}`;
    else if (used) yield html`${used} ${money(part, of)} of budget ${money(whole, of)}`;
    else yield money(alone, in_);
    from = index + all.length;
  }
  yield clear(text.slice(from));
}

/** "2 legs to UNKNOWN by the engine" -> how many, to which state, by whom. */
export const moved = (entry) => /^(\d+) legs(?: to (\w+))? by (.*)$/.exec(entry.about ?? "")?.slice(1);
/** "leg 0 to REJECTED: the evidence" -> the leg's place in its batch, the state, the evidence. */
export const firstWord = (entry) => /^leg (\d+) to (\w+): (.*)$/s.exec(entry.about ?? "")?.slice(1);

export function AboutOf({ entry }) {
  if (KINDS.includes(entry.kind)) return html`<bdi>${[...summed(entry)]}</bdi>`;
  const [legs, to, by] = (entry.kind === "legs_moved" && moved(entry)) || [];
  if (legs) return html`${legs} ${legs === "1" ? "leg" : "legs"}${to ? ` ${word(to, "")}` : ""}, by ${by}`;
  return html`<${Written} text=${entry.about} />`;
}

export const aboutText = (entry) => clear(entry.about);
