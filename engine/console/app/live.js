// Events of the engine. Goes on by itself when the engine was away.
import { changed, link, me, whoami } from "./api.js";
import { Store } from "./store.js";

/** What the page Now shows, once a second. */
export const now = new Store(undefined);
let source, again;

function open() {
  clearTimeout(again);
  source?.close();
  source = new EventSource("/api/live");
  source.addEventListener("open", () => {
    const was = link.value;
    link.set("live");
    // Whatever happened meanwhile was not told.
    if (was === "reconnecting") changed();
  });
  source.addEventListener("now", ({ data }) => now.set(JSON.parse(data)));
  source.addEventListener("changed", ({ data }) => changed(JSON.parse(data).what));
  source.addEventListener("error", lost);
}

async function lost() {
  source?.close();
  source = undefined;
  if (!me.value) return;
  if (link.value !== "off") link.set("reconnecting");
  try {
    const who = await whoami();
    if (who.name !== me.value?.name) me.set(who);
  } catch (error) {
    if (error.status === 401) return void me.set(null);
  }
  clearTimeout(again);
  again = setTimeout(() => me.value && open(), 1000);
}

me.listen((who) => {
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
