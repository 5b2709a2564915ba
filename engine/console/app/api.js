// Calls of the engine: the same as on the command line, in JSON.
import { useEffect, useRef, useState } from "./lib.js";
import { Store, revealed, say } from "./store.js";

/** Who is logged in; `null`: nobody; `undefined`: not known yet. */
export const me = new Store(undefined);
/** Why nobody is logged in any more, in the engine's words. */
export const ended = new Store(undefined);
/** "live", "reconnecting", "refused", or "off". */
export const link = new Store("off");

/** What names this browser's login for its pages; no other server on this host is sent it, as a cookie is. */
const SESSION = "session", UNNAMED = "of ";
const kept = () => {
  const value = localStorage.getItem(SESSION);
  return value?.startsWith(UNNAMED) ? undefined : value;
};

/** Two tabs have one cookie: whoever logs in in one is logged in in all. */
const person = (who) => `${who.name} ${who.role}`;
/** The person who was logged in last: what pages show and ask is for them alone. */
export const whose = new Store(undefined);
let last;
me.listen((who) => {
  if (!who) return;
  last = who;
  whose.set(person(who));
});
whose.listen(() => revealed.set({}));

export class Refused extends Error {
  constructor(status, { code = "UNAVAILABLE", message = "the engine does not answer", retryAfterMs } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfterMs });
  }
}

// What nobody asked for, such as asking again when something has changed, does not keep a session alive.
const IDLE = 15_000;
let touched = Date.now();
for (const kind of ["pointerdown", "keydown", "wheel", "touchstart"]) {
  window.addEventListener(kind, () => (touched = Date.now()), { passive: true, capture: true });
}

/** `login`: as whom this page acts; the engine refuses it where the cookie is of another login. */
async function post(path, body, login) {
  const headers = { "content-type": "application/json", "x-tallystick-console": "1" };
  if (login) headers["x-tallystick-login"] = login;
  if (Date.now() - touched > IDLE) headers["x-tallystick-auto"] = "1";
  let answer;
  try {
    answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body ?? {}) });
  } catch {
    throw new Refused(0);
  }
  return read(answer);
}

/** Words for refusals that come without any, from before the engine's services. */
const BARE = { 408: "it took too long to arrive: try again", 413: "what was sent is too long: write less",
  431: "what the browser sends is too long: clear this address's cookies" };

async function read(answer) {
  const said = await answer.json().catch(() => (answer.ok ? {} : { message: BARE[answer.status] }));
  if (answer.ok) return said;
  if (answer.status === 429 && !said.retryAfterMs) said.retryAfterMs = Number(answer.headers.get("retry-after") ?? 0) * 1000;
  throw new Refused(answer.status, said);
}

// The engine makes so many calls of pages at once, of all people together: a page asks for a few at a time.
const AT_ONCE = 4, OWN_AT_ONCE = 2, TRIES = 5;
// Of whoever sees their own alone it makes fewer.
const atOnce = () => (["party", "facilitator"].includes(me.value?.role) ? OWN_AT_ONCE : AT_ONCE);
let busy = 0;
const waiting = [];

async function inTurn(act) {
  if (busy >= atOnce()) await new Promise((go) => waiting.push(go));
  else busy += 1;
  try {
    return await act();
  } finally {
    // Whoever waits takes this place.
    if (waiting.length) waiting.shift()();
    else busy -= 1;
  }
}

/** The login has ended: the page says why, in the engine's words where there are any. */
export function end(error) {
  ended.set(error?.message);
  me.set(null);
}

/** Asks who is logged in here by now. Another person than the page shows: it is theirs from then on, and nothing is done. */
export async function sure() {
  const was = me.value;
  let who;
  while (!who) {
    const login = kept();
    try {
      who = await whoami();
    } catch (error) {
      if (error.status !== 401 && error.status !== 409) throw error;
      // Another tab has logged in meanwhile: what was asked is of the past.
      if (kept() && kept() !== login) continue;
      if (me.value === was) end(error);
      throw error;
    }
  }
  if (!was || (person(was) === person(who) && was.login === who.login)) return who;
  me.set(who);
  if (person(was) === person(who)) return who;
  throw new Refused(409, { code: "ABORTED", message: replaced(who, was) });
}

/** Says that a page is another person's now. */
function replaced(who, was) {
  const message = `${who.name || "Somebody else"} is logged in in this browser now, not ${was.name || "you"}. Nothing was done.`;
  say(message, "bad");
  return message;
}

const reads = (method) => /^(Get|List|Find|Watch)/.test(method);

/**
 * One call. What only reads is asked again when the engine says that it has too much to do; what changes something asks
 * first who is logged in. When the session has ended the login stands over the page.
 */
export async function call(method, body) {
  if (!reads(method)) await sure();
  for (let tries = 1; ; tries += 1) {
    const login = me.value?.login;
    try {
      return await inTurn(() => post(`/api/call/${method}`, body, login));
    } catch (error) {
      if (error.status === 401) end(error);
      // The same person has logged in anew: as that one.
      if (error.status === 409 && login && tries < TRIES && (await sure()).login !== login) continue;
      if (error.status !== 429 || !error.retryAfterMs || tries === TRIES || !reads(method)) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.min(error.retryAfterMs * tries, 5_000)));
    }
  }
}

export const items = async (method, body) => (await call(method, body)).items ?? [];

/** An id of a change: a repeated one changes nothing more. */
export const requestId = () => crypto.randomUUID();

export async function login(body) {
  const said = await post("/api/login", body);
  if (said.login) localStorage.setItem(SESSION, said.login);
  const who = await whoami();
  ended.set(undefined);
  me.set(who);
}

export async function logout() {
  try {
    const { login: of } = await sure();
    await post("/api/logout", {}, of);
  } catch (error) {
    // Of another person: it is not this one's to end.
    if (error.status === 409) return;
  }
  end();
}

export async function whoami() {
  let answer;
  const login = kept();
  try {
    answer = await fetch("/api/me", login ? { headers: { "x-tallystick-login": login } } : {});
  } catch {
    throw new Refused(0);
  }
  return read(answer);
}

// Whether somebody has logged in from here: a page that nobody has logged in to asks nothing. Another tab's newer login stays.
let mine;
me.listen((who) => {
  if (who) localStorage.setItem(SESSION, (mine = who.login ?? UNNAMED + person(who)));
  else if (localStorage.getItem(SESSION) === mine) localStorage.removeItem(SESSION);
});
// Another tab may have logged out, or in, also as another.
const look = () => me.value && sure().catch(() => undefined);
window.addEventListener("storage", ({ key, newValue }) => key === SESSION && (me.value === null && newValue ? begin() : look()));
window.addEventListener("focus", look);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && look());

/** Whether somebody has logged in from this browser. */
export const hasBegun = () => !!localStorage.getItem(SESSION);

/** Asks who is logged in, until the engine says so. */
export async function begin() {
  mine = localStorage.getItem(SESSION);
  if (!mine) return me.set(null);
  try {
    const who = await whoami(), was = last;
    me.set(who);
    if (was && person(was) !== person(who)) replaced(who, was);
  } catch (error) {
    if ([401, 403, 409].includes(error.status)) return me.set(null);
    link.set("reconnecting");
    setTimeout(begin, 1000);
  }
  return undefined;
}

const watchers = new Set();
/** Tells pages that something they show has changed; without words: ask again whatever you show. */
export function changed(what) {
  for (const watcher of watchers) watcher(what);
}

/**
 * What `ask` gives, asked again when one of `watch` has changed and when the engine is back. What was there stays while
 * it is asked again, so that nothing jumps. `key`: what it depends on.
 */
export function useAsked(key, ask, watch = []) {
  const [state, set] = useState({ key, loading: true });
  const latest = useRef({});
  latest.current = { key, ask, busy: latest.current.busy, again: latest.current.again };
  const run = async () => {
    const mine = latest.current;
    try {
      const data = await mine.ask();
      if (latest.current.key === mine.key) set({ key: mine.key, data });
    } catch (error) {
      if (latest.current.key === mine.key) set((now) => ({ key: mine.key, data: now.key === mine.key ? now.data : undefined,
        error }));
    }
  };
  const paced = useRef(undefined);
  useEffect(() => {
    set((now) => (now.key === key ? now : { key, loading: true }));
    run();
    const watcher = (what) => {
      if (what && !what.some((one) => watch.includes(one))) return;
      // However often it changes: once in half a second.
      paced.current ??= setTimeout(() => {
        paced.current = undefined;
        run();
      }, what ? 500 : 0);
    };
    watchers.add(watcher);
    return () => {
      watchers.delete(watcher);
      clearTimeout(paced.current);
      paced.current = undefined;
    };
  }, [key]);
  return { ...(state.key === key ? state : { loading: true }), again: run };
}

/** One call as `useAsked`. */
export function useCall(method, body, watch = []) {
  const key = method && `${method} ${JSON.stringify(body ?? {})}`;
  return useAsked(key, async () => (method ? call(method, body) : undefined), watch);
}
