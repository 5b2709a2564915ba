// Where one is: a path behind `#`, and what is asked of it behind `?`.
import { Store } from "./store.js";

function read() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decodeURIComponent);
  return { page: parts[0], of: parts.slice(1), query: Object.fromEntries(new URLSearchParams(query)), hash: location.hash };
}

export const route = new Store(read());
window.addEventListener("hashchange", () => route.set(read()));

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
