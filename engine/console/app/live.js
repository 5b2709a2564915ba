// Events of the engine. Goes on by itself when the engine was away.
import { changed, end, link, me, sure, whose } from "./api.js";
import { Store } from "./store.js";

const SOON = 1_000, LATE = 30_000; // milliseconds until it is tried again

/** What the page Now shows, once a second. */
export const now = new Store(undefined);
/** Why the engine does not tell this page what goes on, in its words. */
export const why = new Store(undefined);
let source, again, wait = SOON;

const address = () => `/api/live${me.value?.login ? `?login=${encodeURIComponent(me.value.login)}` : ""}`;

function open() {
  clearTimeout(again);
  source?.close();
  source = new EventSource(address());
  source.addEventListener("open", () => {
    const was = link.value;
    link.set("live");
    why.set(undefined);
    wait = SOON;
    // Whatever happened meanwhile was not told.
    if (was === "reconnecting" || was === "refused") changed();
  });
  source.addEventListener("now", ({ data }) => now.set(JSON.parse(data)));
  source.addEventListener("changed", ({ data }) => changed(JSON.parse(data).what));
  source.addEventListener("ended", ({ data }) => end(JSON.parse(data)));
  source.addEventListener("error", lost);
}

/** Events tell nothing of a refusal: asked for once more, in a way that does. */
async function refusal() {
  const stop = new AbortController();
  try {
    const answer = await fetch(address(), { signal: stop.signal });
    return answer.ok ? undefined : (await answer.json()).message ?? `status ${answer.status}`;
  } catch {
    return undefined;
  } finally {
    stop.abort();
  }
}

async function lost() {
  const opened = link.value === "live";
  source?.close();
  source = undefined;
  if (!me.value) return;
  if (opened) link.set("reconnecting");
  let said;
  try {
    await sure();
    if (!opened && !source) said = await refusal();
  } catch {
    // The engine is away, or the page is another's now: then it is open again already.
    if (me.value && link.value !== "refused") link.set("reconnecting");
  }
  if (!me.value || source) return;
  if (said) link.set("refused");
  why.set(said);
  wait = said ? Math.min(2 * wait, LATE) : SOON;
  clearTimeout(again);
  again = setTimeout(() => me.value && open(), wait);
}

// Who comes back to a page that was refused may have closed another one.
document.addEventListener("visibilitychange", () => link.value === "refused" && me.value && !source && open());

whose.listen(() => now.set(undefined));
me.listen((who) => {
  why.set(undefined);
  wait = SOON;
  if (who) {
    // What was refused while nobody was logged in is asked for again.
    changed();
    return open();
  }
  clearTimeout(again);
  source?.close();
  source = undefined;
  link.set("off");
  return undefined;
});
