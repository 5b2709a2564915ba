// Finds pages, actions, and what the first digits of an id stand for.
import { html, useEffect, useRef, useState } from "./lib.js";
import { call } from "./api.js";
import { base64, clear, hex, short, word } from "./format.js";
import { PAGES } from "./keys.js";
import { now } from "./live.js";
import { useModal } from "./modal.js";
import { may, own, sees } from "./rights.js";
import { theme, zone } from "./store.js";
import { closeWindow } from "./actions.js";
import { question } from "./dialog.js";
import { Icon } from "./ui.js";

const KINDS = [["ID_KIND_PARTY", "Party", "parties"], ["ID_KIND_BATCH", "Batch", "batches"],
  ["ID_KIND_SIGNER", "Signer", "parties"]];

const SOON = 120, AGAIN = 2_000; // milliseconds until it is asked, and asked again
const NAMES = 5; // parties and legs that are offered
const KEY = /^[a-z2-7]{8,}$/i; // enough of a leg's key

function actions(who) {
  const flip = (store, one, other) => () => store.set(store.value === one ? other : one);
  return [
    ...PAGES.filter(([page]) => sees(who, page)).map(([page, name, letter]) =>
      ({ name, hint: `g ${letter}`, kind: "page", run: () => (location.hash = `/${page}`) })),
    may(who, "CloseWindow") && { name: "Close the open window", kind: "action", run: () => question(closeWindow()) },
    { name: "Light or dark", kind: "setting", run: flip(theme, "dark", "light") },
    { name: "UTC or local time", kind: "setting", run: flip(zone, "utc", "local") },
  ].filter(Boolean);
}

/** What asks the engine for what is called so, each by itself: one that fails hides nothing of the others. */
function questions(who, text) {
  const all = [];
  const asks = (is, ask) => is && all.push(ask);
  // An id may be of figures alone: what is behind the open window is no window.
  asks(/^\d{1,12}$/.test(text) && sees(who, "windows") && !(Number(text) > now.value?.window?.number), () => [{ name: `Window ${text}`, kind: "window",
    run: () => (location.hash = `/windows/${text}`) }]);
  for (const [kind, name, page] of KINDS) {
    asks(/^[0-9a-f]{4,64}$/i.test(text) && may(who, "FindIds"), async () => {
      const { found: ids = [] } = await call("FindIds", { kind, prefix: text.toLowerCase() });
      return ids.map(({ id, about }) => ({ name: `${name} ${short(hex(id))}`, hint: kind === "ID_KIND_PARTY" ? "" : about,
        kind: name.toLowerCase(),
        run: () => (location.hash = kind === "ID_KIND_SIGNER" ? `/parties?signer=${hex(id)}` : `/${page}/${hex(id)}`) }));
    });
  }
  asks(text.length >= 3 && may(who, "ListParties"), async () => {
    const { parties = [] } = await call("ListParties", { name: text, limit: NAMES });
    return parties.map(({ partyId, name }) => ({ name: `Party ${short(hex(partyId))}`, hint: clear(name), kind: "party",
      run: () => (location.hash = `/parties/${hex(partyId)}`) }));
  });
  asks(KEY.test(text) && sees(who, "legs"), async () => {
    const mine = own(who)?.map(base64);
    const { legs = [] } = await call("FindLegs", { key: text.toUpperCase(), limit: NAMES,
      ...(mine?.length ? { partyIds: mine } : {}) });
    return legs.map(({ leg, batchId }) => ({ name: `Leg ${leg.key}`, kind: "leg",
      hint: word(leg.state, "LEG_STATE_"), run: () => (location.hash = `/legs/${leg.key}?batch=${hex(batchId)}`) }));
  });
  asks(text.length >= 3 && sees(who, "legs"), () => [{ name: `Legs whose reference holds “${text}”`, kind: "search",
    run: () => (location.hash = `/legs?reference=${encodeURIComponent(text)}`) }]);
  return all;
}

/** What the engine knows by these digits or letters, and why some of it is not known. */
async function found(who, text) {
  const answers = await Promise.allSettled(questions(who, text).map(async (ask) => ask()));
  const all = answers.flatMap(({ value }) => value ?? []);
  return { all, of: text, error: answers.find(({ reason }) => reason)?.reason };
}

/** Whether the same question may be answered later. */
const passes = ({ status }) => !status || status === 429 || status >= 500;

/** What is found of `text`: asked when nothing more is typed for a moment, and again when it could not be. */
function useFound(who, text) {
  const [ids, set] = useState({ all: [], of: "" }), [tries, again] = useState(0);
  useEffect(() => {
    let current = true, timer;
    const ask = async () => {
      const answer = await found(who, text);
      if (!current) return;
      set(answer);
      if (answer.error && passes(answer.error)) timer = setTimeout(() => again(tries + 1), AGAIN);
    };
    timer = setTimeout(ask, text ? SOON : 0);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [text, tries]);
  const failed = ids.of === text ? ids.error : undefined;
  return { ...ids, failed, fresh: ids.of === text && !(failed && passes(failed)) };
}

/** Why something may be missing, or what is going on. */
function Missing({ failed, fresh, all }) {
  if (failed) return html`<p class="pad warn-text" role="alert">Not all could be looked through: ${clear(failed.message)}.
    ${passes(failed) && " It is asked again."}</p>`;
  if (all.length) return null;
  return html`<p class="dim pad">${fresh ? "Nothing is called so. Ids are found by four or more of their first digits."
    : "Looking …"}</p>`;
}

export function Palette({ who, close }) {
  const [text, set] = useState(""), [at, go] = useState(0);
  const wanted = text.trim().toLowerCase();
  const { all: ids, failed, fresh } = useFound(who, text.trim());
  const modal = useModal(close);
  const here = actions(who).filter(({ name }) => name.toLowerCase().includes(wanted));
  const all = [...here, ...(wanted ? ids : [])];
  const chosen = Math.max(0, Math.min(at, all.length - 1));
  const run = (one) => {
    modal.ref.current.close();
    close();
    // A page that opens takes the focus.
    if (one?.kind !== "setting") document.activeElement?.blur();
    one?.run();
  };
  // Enter is for what is found, not for what was found of fewer letters.
  const sure = fresh || chosen < here.length, entered = useRef(false);
  useEffect(() => {
    if (sure && entered.current && all.length) run(all[chosen]);
    if (sure) entered.current = false;
  }, [sure]);
  const type = (event) => {
    entered.current = false;
    set(event.target.value);
    go(0);
  };
  const press = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      go(all.length && (chosen + step + all.length) % all.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (sure && all.length) run(all[chosen]);
      else entered.current = !sure;
    }
  };
  return html`<dialog ...${modal} class="palette front" aria-label="Find"
    onClick=${(event) => event.target === modal.ref.current && close()}>
    <div class="palette-in"><${Icon} name="search" /><input type="text" role="combobox" aria-expanded="true"
      aria-controls="found" aria-autocomplete="list" aria-label="Find a page, an action or an id"
      aria-activedescendant=${all.length ? `found-${chosen}` : undefined} placeholder="Page, action, id, party, leg key, reference"
        value=${text} onInput=${type} onKeyDown=${press} /></div>
    <ul id="found" role="listbox" aria-label="Found">${all.map((one, place) =>
      html`<li role="option" id=${`found-${place}`} key=${one.kind + one.name} aria-selected=${place === chosen}
      onClick=${() => run(one)} onMouseMove=${() => place !== chosen && go(place)}>
      <span>${one.name}</span><span class="dim">${one.hint ?? ""} ${one.kind}</span></li>`)}</ul>
    <${Missing} failed=${failed} fresh=${fresh} all=${all} /></dialog>`;
}
