// Where one is: a path behind `#`, and what is asked of it behind `?`.
import { Store } from "./store.js";

/** As it was before it was put into an address; undefined if it never was. */
function plain(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function read() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(plain);
  // What cannot be read is no page.
  const [page, ...of] = parts.includes(undefined) ? [path] : parts;
  return { page, of, query: Object.fromEntries(new URLSearchParams(query)), hash: location.hash };
}

/** The code of a login link (`#login=CODE`), until somebody takes it. */
export const code = new Store(undefined);

/** It leaves the address at once: `back` stands there instead. */
function coded(back) {
  const [, text] = /^#login=(.*)$/.exec(location.hash) ?? [];
  if (text === undefined) return false;
  history.replaceState(null, "", back);
  code.set(plain(text) ?? text);
  return true;
}

coded("#/");
export const route = new Store(read());
window.addEventListener("hashchange", ({ oldURL }) => {
  if (!coded(new URL(oldURL).hash || "#/")) route.set(read());
});

export const to = (path) => {
  location.hash = path;
};

/** Changes what is asked for without a step to go back to. */
export function ask(path, query) {
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== undefined));
  const text = asked.toString();
  history.replaceState(null, "", `#${path}${text ? `?${text}` : ""}`);
  route.set(read());
}
