// What stands around every page: where to go, who one is, and whether the engine answers.
import { html, useCallback, useEffect, useRef, useState } from "./lib.js";
import { call, link, logout, me } from "./api.js";
import { Questions } from "./dialog.js";
import { short } from "./format.js";
import { Help, PAGES, useKeys } from "./keys.js";
import { why } from "./live.js";
import { Login, Mark } from "./login.js";
import { Palette } from "./palette.js";
import { route } from "./route.js";
import { home, sees } from "./rights.js";
import { revealed, theme, useStore, zone } from "./store.js";
import { Empty, Icon, Notice, Page, Skeleton, assets } from "./ui.js";

const LOADED = {};
const MODULES = {
  now: () => import("./pages/now.js"), windows: () => import("./pages/windows.js"),
    batches: () => import("./pages/batches.js"),
  legs: () => import("./pages/legs.js"), parties: () => import("./pages/parties.js"),
    access: () => import("./pages/access.js"),
  audit: () => import("./pages/audit.js"),
};

const AGAIN = 1_000; // milliseconds until code that did not come is asked for again
const load = async (name) => {
  LOADED[name] ??= (await MODULES[name]()).default;
};
// What a page's code asks for in its turn comes with it.
const ALSO = { now: () => import("../vendor/uPlot.esm.js") };
// The first page's comes while it is asked who is logged in.
if (MODULES[route.value.page]) load(route.value.page).catch(() => undefined);
ALSO[route.value.page]?.().catch(() => undefined);

/** A page's code is asked for once. */
function usePage(name) {
  const [, set] = useState(0);
  useEffect(() => {
    if (LOADED[name] || !MODULES[name]) return undefined;
    let current = true, again;
    const ask = () => load(name).then(() => current && set((n) => n + 1), () => {
      if (current) again = setTimeout(ask, AGAIN);
    });
    ask();
    return () => {
      current = false;
      clearTimeout(again);
    };
  }, [name]);
  return LOADED[name];
}

function Content({ who }) {
  const { page, of, query, hash } = useStore(route);
  const Shown = usePage(page);
  useEffect(() => {
    if (!page) location.replace(`#${home(who)}`);
  }, [page, who]);
  if (!page) return null;
  if (!MODULES[page]) return html`<${Page} title="Not found">
    <${Empty} title="There is no such page">Press <kbd>Ctrl K</kbd> to find one, or <a
    href=${`#${home(who)}`}>begin anew</a>.<//><//>`;
  if (!sees(who, page)) return html`<${Page} title="Not for your role">
    <${Empty} title=${`This page is not for the role ${who.role}`}>An operator can give you another
    identity: <code>tallystick access add --help</code>.<//><//>`;
  return Shown ? html`<${Shown} key=${page} of=${of} query=${query} hash=${hash} who=${who} />`
    : html`<div class="page"><${Skeleton} rows=${8} /></div>`;
}

function Link() {
  const state = useStore(link);
  const reason = useStore(why);
  const words = { live: "live", reconnecting: "no answer", refused: "not live", off: "off" };
  return html`<span class=${`link ${state}`} role="status" aria-live="polite" title=${reason}><span class="dot"
    aria-hidden="true"></span> ${words[state]}</span>`;
}

function Settings({ who }) {
  const look = useStore(theme), where = useStore(zone);
  return html`<div class="settings">
    <label><span class="unseen">Look</span><select value=${look} onChange=${(event) => theme.set(event.target.value)}>
      ${["auto", "light", "dark"].map((name) => html`<option key=${name} value=${name} selected=${name === look}>${name}
        </option>`)}</select></label>
    <label><span class="unseen">Times</span><select value=${where} onChange=${(event) => zone.set(event.target.value)}>
      ${[["utc", "UTC"], ["local", "local time"]].map(([name, text]) =>
        html`<option key=${name} value=${name} selected=${name === where}>${text}</option>`)}</select></label>
    <p class="who"><strong>${who.name || "anyone"}</strong> <span class="dim">${who.role}</span></p>
    <button type="button" onClick=${logout}>Log out</button></div>`;
}

/** Assets are few and never change: asked for once, and again when one is not known. */
function useAssets(who) {
  useEffect(() => {
    if (!who) return;
    call("ListAssets").then(({ assets: all = [] }) => assets.set(Object.fromEntries(all.map(({ asset, model }) =>
      [asset.number, { ...asset, scale: asset.scale ?? 0, model }]))), () => undefined);
  }, [who]);
}

export function Shell() {
  const who = useStore(me);
  const { page } = useStore(route);
  const look = useStore(theme);
  const [front, setFront] = useState(undefined);
  // Whoever was logged in last: their page stays while they log in again.
  const [last, setLast] = useState(undefined);
  const [menu, setMenu] = useState(false);
  // One that is closing already opens anew; what it says of its end is of the past then.
  const turn = useRef(0);
  const open = useCallback((what) => setFront((now) => (now?.what === what && document.querySelector("dialog.front[open]")
    ? now : { what, turn: (turn.current += 1) })), []);
  const close = useCallback(() => setFront((now) => (now === front ? undefined : now)), [front]);
  useKeys(who ?? undefined, who ? open : () => undefined);
  useAssets(who);
  useEffect(() => {
    document.documentElement.dataset.theme = look;
  }, [look]);
  useEffect(() => {
    if (who) setLast(who);
    else if (who === null) revealed.set({});
  }, [who]);
  useEffect(() => setMenu(false), [page]);
  const shown = who ?? last;
  if (who === undefined && !shown) return html`<div class="boot"><${Mark} /><${Link} /></div>`;
  return html`<a class="skip" href="#title"
    onClick=${(event) => { event.preventDefault(); document.getElementById("title")?.focus(); }}>Skip to the content</a>
    ${shown && html`<div class="shell">
      <aside class=${menu ? "open" : ""}>
        <div class="brand"><${Mark} /><span>Tallystick</span><${Link} />
          <button type="button" class="quiet menu" aria-expanded=${menu} aria-controls="menu" onClick=${() => setMenu(!menu)}
            aria-label="Menu"><${Icon} name="menu" /></button></div>
        <div id="menu" class="menu-body">
          <button type="button" class="find" onClick=${() => open("palette")}><${Icon} name="search" /><span>Find</span>
            <kbd>Ctrl K</kbd></button>
          <nav aria-label="Pages"><ul>${PAGES.filter(([name]) => sees(shown, name)).map(([name, text]) =>
            html`<li key=${name}><a href=${`#/${name}`} aria-current=${page === name ? "page" : undefined}>
            <${Icon} name=${name} />${text}</a></li>`)}</ul></nav>
          <${Settings} who=${shown} />
          <p class="network dim">network <code title=${shown.network}>${short(shown.network ?? "")}</code>
            <br />version ${shown.version ?? "–"} · <button type="button" class="text"
            onClick=${() => open("help")}>keys</button></p>
        </div>
      </aside>
      <main id="main"><${Content} key=${`${shown.name} ${shown.role}`} who=${shown} /></main></div>`}
    <${Notice} /><${Questions} />
    ${front?.what === "palette" && html`<${Palette} key=${front.turn} who=${shown} close=${close} />`}
      ${front?.what === "help" && html`<${Help} key=${front.turn} close=${close} />`}
    ${who === null && html`<${Login} again=${!!last} />`}`;
}
