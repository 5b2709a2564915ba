// Keys: j and k along rows, g and a letter to a page, ? for help, Ctrl or Cmd with K for the palette.
import { html, useEffect } from "./lib.js";
import { useModal } from "./modal.js";
import { sees } from "./rights.js";
import { Icon } from "./ui.js";

export const PAGES = [
  ["now", "Now", "n"], ["windows", "Windows", "w"], ["batches", "Batches", "b"], ["legs", "Legs", "l"],
  ["parties", "Parties", "p"], ["access", "Access", "a"], ["audit", "Audit log", "u"],
];

const typing = (target) => target.closest?.("input, textarea, select, dialog, [contenteditable]");

function along(step) {
  const links = [...document.querySelectorAll("tr[data-row] a.row")];
  if (!links.length) return;
  const at = links.findIndex((link) => link.closest("tr").contains(document.activeElement));
  const next = links[at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.max(0, Math.min(links.length - 1, at + step))];
  next.focus({ preventScroll: true });
  next.closest("tr").scrollIntoView({ block: "nearest" });
}

/** `open`: what opens the palette and the help. */
export function useKeys(who, open) {
  useEffect(() => {
    let gone = 0;
    const press = (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        return open("palette");
      }
      if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return undefined;
      if (Date.now() - gone < 1_500) {
        gone = 0;
        const page = PAGES.find(([, , letter]) => letter === event.key);
        if (page && sees(who, page[0])) location.hash = `/${page[0]}`;
        return undefined;
      }
      if (event.key === "g") gone = Date.now();
      else if (event.key === "j" || event.key === "k") along(event.key === "j" ? 1 : -1);
      else if (event.key === "?") open("help");
      else if (event.key === "/") {
        event.preventDefault();
        open("palette");
      } else if (event.key === "n"
        || event.key === "p") document.querySelector(`.pager [data-key="${event.key}"]:not(:disabled)`)?.click();
      else if (event.key === "c"
        || event.key === "y") document.activeElement.closest("tr, .id")?.querySelector(".copy")?.click();
      return undefined;
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [who, open]);
}

const KEYS = [
  ["Ctrl K or /", "find a page, an action, an id"], ["g, then a letter",
    PAGES.map(([, name, letter]) => `${letter} ${name}`).join(" · ")],
  ["j, k", "next row, row before"], ["Enter", "open the row"], ["n, p", "next page, page before"],
    ["Esc", "close what stands in front"], ["?", "this help"],
];

export function Help({ close }) {
  return html`<dialog ...${useModal(close)} class="front" aria-labelledby="help"><header><h2 id="help">Keys</h2>
    <button type="button" class="quiet" aria-label="Close" onClick=${close}><${Icon} name="close" /></button></header>
    <dl class="keys">${KEYS.map(([key, does]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${does}</dd></div>`)}
      </dl></dialog>`;
}
