// Finds pages, actions, and what the first digits of an id stand for.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./lib.js";
import { call } from "./api.js";
import { base64, clear, hex, short, word } from "./format.js";
import { PAGES } from "./keys.js";
import { may, own, sees } from "./rights.js";
import { theme, zone } from "./store.js";
import { closeWindow } from "./actions.js";
import { question } from "./dialog.js";
import { Icon } from "./ui.js";

const KINDS = [["ID_KIND_PARTY", "Party", "parties"], ["ID_KIND_BATCH", "Batch", "batches"],
  ["ID_KIND_SIGNER", "Signer", "parties"]];

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

/** What the engine knows by these digits or letters. */
async function found(who, text) {
  const all = [];
  if (/^\d{1,12}$/.test(text) && sees(who, "windows")) all.push({ name: `Window ${text}`, kind: "window",
    run: () => (location.hash = `/windows/${text}`) });
  if (/^[0-9a-f]{4,64}$/i.test(text) && may(who, "FindIds")) {
    const answers = await Promise.all(KINDS.map(async ([kind, name, page]) => {
      const { found: ids = [] } = await call("FindIds", { kind, prefix: text.toLowerCase() });
      return ids.map(({ id, about }) => ({ name: `${name} ${short(hex(id))}`, hint: kind === "ID_KIND_PARTY" ? "" : about,
        kind: name.toLowerCase(),
        run: () => (location.hash = kind === "ID_KIND_SIGNER" ? `/parties?signer=${hex(id)}` : `/${page}/${hex(id)}`) }));
    }));
    all.push(...answers.flat());
  }
  if (text.length >= 3 && may(who, "ListParties")) {
    const { parties = [] } = await call("ListParties", { name: text, limit: NAMES });
    all.push(...parties.map(({ partyId, name }) => ({ name: `Party ${short(hex(partyId))}`, hint: clear(name), kind: "party",
      run: () => (location.hash = `/parties/${hex(partyId)}`) })));
  }
  if (KEY.test(text) && sees(who, "legs")) {
    const mine = own(who)?.map(base64);
    const { legs = [] } = await call("FindLegs", { key: text.toUpperCase(), limit: NAMES,
      ...(mine?.length ? { partyIds: mine } : {}) });
    all.push(...legs.map(({ leg, batchId }) => ({ name: `Leg ${leg.key}`, kind: "leg",
      hint: word(leg.state, "LEG_STATE_"), run: () => (location.hash = `/legs/${leg.key}?batch=${hex(batchId)}`) })));
  }
  if (text.length >= 3 && sees(who, "legs")) {
    all.push({ name: `Legs whose reference holds “${text}”`, kind: "search",
      run: () => (location.hash = `/legs?reference=${encodeURIComponent(text)}`) });
  }
  return all;
}

export function Palette({ who, close }) {
  const box = useRef(null);
  const [text, set] = useState(""), [ids, setIds] = useState({ all: [], of: "" }), [at, go] = useState(0);
  useLayoutEffect(() => {
    box.current.showModal();
    const dialog = box.current;
    dialog.querySelector("input").focus();
    return () => dialog.close();
  }, []);
  useEffect(() => {
    let current = true;
    const asked = text.trim();
    const timer = setTimeout(() => found(who, asked).catch(() => []).then((all) => current && setIds({ all, of: asked })),
      asked ? 120 : 0);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [text]);
  const wanted = text.trim().toLowerCase();
  const all = [...actions(who).filter(({ name }) => name.toLowerCase().includes(wanted)), ...(wanted ? ids.all : [])];
  const chosen = Math.min(at, all.length - 1);
  const run = (one) => {
    box.current.close();
    close();
    // A page that opens takes the focus.
    if (one?.kind !== "setting") document.activeElement?.blur();
    one?.run();
  };
  // Enter is for what is found, not for what was found of fewer letters.
  const fresh = ids.of === text.trim(), entered = useRef(false);
  useEffect(() => {
    if (fresh && entered.current && all.length) run(all[chosen]);
    if (fresh) entered.current = false;
  }, [fresh]);
  const press = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      go((chosen + step + all.length) % Math.max(1, all.length));
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (fresh) run(all[chosen]);
      else entered.current = true;
    }
  };
  return html`<dialog ref=${box} class="palette" aria-label="Find" onClose=${close}
    onClick=${(event) => event.target === box.current && close()}>
    <div class="palette-in"><${Icon} name="search" /><input type="text" role="combobox" aria-expanded="true"
      aria-controls="found" aria-autocomplete="list" aria-label="Find a page, an action or an id"
      aria-activedescendant=${all.length ? `found-${chosen}` : undefined} placeholder="Page, action, id, party, leg key, reference"
        value=${text} onInput=${(event) => { set(event.target.value); go(0); }} onKeyDown=${press} /></div>
    <ul id="found" role="listbox" aria-label="Found">${all.map((one, place) =>
      html`<li role="option" id=${`found-${place}`} key=${one.kind + one.name} aria-selected=${place === chosen}
      onClick=${() => run(one)} onMouseMove=${() => place !== chosen && go(place)}>
      <span>${one.name}</span><span class="dim">${one.hint ?? ""} ${one.kind}</span></li>`)}</ul>
    ${!all.length && html`<p class="dim pad">Nothing is called so. Ids are found by four or more of their first digits.</p>`}
      </dialog>`;
}
