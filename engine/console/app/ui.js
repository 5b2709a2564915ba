// Small pieces that all pages are made of.
import { html, useEffect, useState } from "./lib.js";
import { CLEARING, age, clear, clock, count, short, tone, wholes, word } from "./format.js";
import { Store, notice, say, useStore, zone } from "./store.js";

/** Assets by number: filled once by the shell. */
export const assets = new Store({});

/** Where the keyboard goes on when what it was on is gone: the page's title. */
export function settle(always) {
  const at = document.activeElement;
  if (always || !at || at === document.body) document.getElementById("title")?.focus({ preventScroll: true });
}

export async function copy(text) {
  await navigator.clipboard.writeText(text);
  say("Copied.");
}

/** What eyes see short, ears hear whole. */
export const Told = ({ kind, id, children }) => html`<span aria-hidden="true">${children}</span><span class="unseen">
  ${kind} ${id}</span>`;

/**
 * An id: its first and last digits, all of them while it has the focus or the pointer; copied by its button. In a table:
 * `row` is the link of its row, `cell` any other; neither has a button there.
 */
export function Id({ id, href, row, cell, whole, kind = "id" }) {
  if (!id) return html`<span class="dim">–</span>`;
  const text = whole ? id : short(id);
  return html`<span class=${`id ${whole ? "id-whole" : ""}`}>
    ${href ? html`<a class=${row ? "row" : ""} href=${href}><${Told} kind=${kind} id=${id}>${text}<//></a>`
      : html`<code>${text}</code>`}
    ${!row && !cell && html`<button type="button" class="copy" aria-label=${`Copy ${kind} ${id}`} onClick=${() => copy(id)}>
      <${Icon} name="copy" /></button>`}
    ${!whole && html`<span class="full" aria-hidden="true">${id}</span>`}
  </span>`;
}

/** A party by its id, which leads to its page; all zero: the clearing account. */
export function PartyOf({ id, row }) {
  if (id === CLEARING) return html`<span>clearing account</span>`;
  return html`<${Id} id=${id} row=${row} cell kind="party" href=${`#/parties/${id}`} />`;
}

const PATHS = {
  copy: "M6 6h8v8H6zM10 6V2H2v8h4", now: "M2 9h3l2-5 3 9 2-4h2", windows: "M2 3h12v10H2zM2 7h12M6 7v6",
    batches: "M3 2h10v12l-2.5-1.5L8 14l-2.5-1.5L3 14zM6 6h4M6 9h4",
  legs: "M2 5h10l-3-3M14 11H4l3 3",
    parties: "M6 7a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM2 14c0-3 2-5 4-5s4 2 4 5M11 7a2 2 0 1 0 0-4M12 9c1.5.5 2 2 2 4",
    access: "M5.5 8a2.75 2.75 0 1 0 0 5.5 2.75 2.75 0 0 0 0-5.5zM7.5 8.8l6-6.3M10.5 5.7l2.2 2.2",
  audit: "M4 2h6l3 3v9H4zM6 7h5M6 10h5", menu: "M2 4h12M2 8h12M2 12h12",
    search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM11 11l3 3", prompt: "M2 4l4 4-4 4M8 12h6", close: "M3 3l10 10M13 3 3 13",
  down: "M8 2v9M4 8l4 4 4-4M2 14h12",
    eye: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
    pause: "M5 3v10M11 3v10", play: "M4 3l9 5-9 5z",
};
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}

/** A sum in wholes with its asset; right-aligned where a column is. */
export function Money({ units, asset, sign }) {
  const all = useStore(assets);
  if (units === undefined || units === null || units === "") return html`<span class="dim">–</span>`;
  const of = all[asset];
  if (!of) return html`<span class="money">${count(units)} <span class="asset">units of ${asset}</span></span>`;
  const plus = sign && BigInt(units) > 0n ? "+" : "";
  return html`<span class="money" title=${`${units} units`}>${plus}${wholes(units, of.scale)} <span class="asset">${of.code}
    </span></span>`;
}

/** What somebody wrote, in the direction it has, and with nothing hidden in it. */
export const Written = ({ text }) => html`<bdi>${clear(text)}</bdi>`;

/** What a proposal changes, from what to what. */
export function Changes({ of }) {
  const value = (text, money) => (money ? html`<${Money} units=${text || "0"} asset=${of.asset} />` : text
    ? html`<${Written} text=${text} />` : "–");
  return html`<ul class="changes">${(of.fields ?? []).map(({ name, before, after, money }) =>
    html`<li key=${name}><span class="dim">${name}</span> ${value(before, money)} → <strong>${value(after, money)}</strong>
    </li>`)}</ul>`;
}

/** A state in words, with a colour. */
export function State({ name, prefix }) {
  const text = word(name, prefix);
  return html`<span class=${`state ${tone(text)}`}>${text || "–"}</span>`;
}

/** A time as the switch says, with the other one beside it while it has the pointer. */
export function Time({ us, since }) {
  const where = useStore(zone);
  if (!us || us === "0") return html`<span class="dim">–</span>`;
  const local = where === "local";
  const iso = new Date(Number(us) / 1000).toISOString();
  return html`<time datetime=${iso} title=${`${clock(us, !local)} ${local ? "UTC" : "local"}`}>${clock(us, local)}
    ${since && html` <span class="dim">(${age(Date.now() - Number(us) / 1000)} ago)</span>`}</time>`;
}

/** Both times. */
export function Times({ us }) {
  if (!us || us === "0") return html`<span class="dim">–</span>`;
  return html`<span class="times"><time datetime=${new Date(Number(us) / 1000).toISOString()}>
    ${clock(us)} UTC</time> <span class="dim">${clock(us, true)} local</span></span>`;
}

/** How long ago, kept true. */
export function Since({ us }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 10_000);
    return () => clearInterval(timer);
  }, []);
  return us && us !== "0" ? html`<span class="num">${age(Date.now() - Number(us) / 1000)}</span>`
    : html`<span class="dim">–</span>`;
}

/** What a button does, typed: the exact line. */
export function Command({ line }) {
  return html`<div class="command"><span class="dim">as a command</span>
    <code tabindex="0">${line}</code>
    <button type="button" class="copy on" aria-label="Copy the command" onClick=${() => copy(line)}><${Icon} name="copy" />
      </button></div>`;
}

/** The same behind a small button, beside one that acts. `note`: in what it differs from what the page does. */
export function AsCommand({ line, what = "this", note }) {
  const [open, set] = useState(false);
  return html`<span class="as-command">
    <button type="button" class="quiet" aria-expanded=${open} aria-label=${`${what} as a command`} title="as a command"
      onClick=${() => set(!open)}><${Icon} name="prompt" /></button>
    ${open && html`<span class="pop"><${Command} line=${line} />
      ${note && html`<span class="note dim">${note}</span>`}</span>`}
  </span>`;
}

/** The engine's own words. */
export function Wrong({ error, again }) {
  if (!error) return null;
  return html`<div class="wrong" role="alert"><strong>${word(error.code) || "failed"}</strong> <span>${error.message}</span>
    ${error.retryAfterMs ? html` <span>Try again in ${Math.ceil(error.retryAfterMs / 1000)} s.</span>` : null}
    ${again && html`<button type="button" onClick=${again}>Try again</button>`}</div>`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p><p>${children}</p></div>`;
}

/** An address that names nothing there can be. */
export function NoSuch({ what, href, all }) {
  return html`<${Page} title="Not found"><${Empty} title=${`There is no such ${what}`}>The address does not name one. Look
    for it: <a href=${href}>${all}</a>.<//><//>`;
}

/** Room for what is not there yet: as high as it will be. */
export function Skeleton({ rows = 6 }) {
  return html`<div class="skeleton" aria-hidden="true">${Array.from({ length: rows }, (_, n) => html`<div key=${n}></div>`)}
    </div><p class="unseen">Loading</p>`;
}

export function Card({ title, action, children, id, wide }) {
  const of = id ?? title.toLowerCase().replace(/\W+/g, "-");
  return html`<section class=${`card ${wide ? "wide" : ""}`} aria-labelledby=${of}>
    <header><h2 id=${of}>${title}</h2>${action && html`<div class="actions">${action}</div>`}</header>${children}</section>`;
}

/** Names and values. */
export function Facts({ of }) {
  return html`<dl class="facts">${of.filter(Boolean).map(([name, value]) =>
    html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export function Bar({ value, tone: how = "info", label }) {
  const width = Math.max(0, Math.min(1, value)) * 100;
  return html`<svg class=${`bar ${how}`} viewBox="0 0 100 6" preserveAspectRatio="none" role="img"
    aria-label=${label ?? `${Math.round(value * 100)} %`}><rect class="bar-back" width="100" height="6" />
    <rect width=${width} height="6" /></svg>`;
}

/** Says what has happened, for eyes and for ears. */
export function Notice() {
  const said = useStore(notice);
  useEffect(() => {
    if (!said) return undefined;
    const timer = setTimeout(() => notice.set(undefined), 6_000);
    return () => clearTimeout(timer);
  }, [said]);
  return html`<div class="notice-place" role="status" aria-live="polite">
    ${said && html`<div class=${`notice ${said.tone}`} key=${said.at}>${said.text}</div>`}</div>`;
}

/** A file that the browser saves. */
export function save(name, parts, type) {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const anchor = Object.assign(document.createElement("a"), { href: url, download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export function Page({ title, about, actions, children, trail }) {
  useEffect(() => {
    document.title = `${title} · Tallystick`;
    settle();
  }, [title]);
  return html`<div class="page"><div class="page-head"><div>
    ${trail && html`<nav class="trail" aria-label="Where you are">
      ${trail.map(([text, href]) => html`<a href=${href} key=${href}>${text}</a><span aria-hidden="true"> / </span>`)}
      </nav>`}
    <h1 tabindex="-1" id="title">${title}</h1>${about && html`<p class="about">${about}</p>`}</div>
    ${actions && html`<div class="actions">${actions}</div>`}</div>${children}</div>`;
}
