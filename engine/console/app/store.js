// Values that several parts of the page look at, and what they prefer.
import { useEffect, useState } from "./lib.js";

export class Store {
  constructor(value) {
    this.value = value;
    this.listeners = new Set();
  }

  set(value) {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const listener of this.listeners) listener(value);
  }

  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

export function useStore(store) {
  const [value, set] = useState(store.value);
  useEffect(() => {
    set(store.value);
    return store.listen(set);
  }, [store]);
  return value;
}

function kept(name, otherwise) {
  const store = new Store(localStorage.getItem(name) ?? otherwise);
  store.listen((value) => localStorage.setItem(name, value));
  return store;
}

/** "auto", "light" or "dark". */
export const theme = kept("theme", "auto");
/** "utc" or "local". */
export const zone = kept("zone", "utc");

/** What is said to screen readers, and shown for some seconds. */
export const notice = new Store(undefined);
export const say = (text, how = "good") => notice.set({ text, tone: how, at: Date.now() });

/** Whom this session revealed; gone with the page, and when the session ends. */
export const revealed = new Store({});
