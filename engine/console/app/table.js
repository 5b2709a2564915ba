// Tables: rows of equal height, of which only those in sight are in the document.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./lib.js";

const HEIGHT = 36; // pixels of a row: as `--row` in app.css
const SPARE = 12; // rows above and below those in sight
const FEW = 60; // up to so many are all there

/** Which rows are in sight; all while there are few. */
function useSight(body, rows) {
  const [range, set] = useState([0, FEW]);
  useLayoutEffect(() => {
    if (rows <= FEW) return set([0, rows]);
    let frame;
    const look = () => {
      frame = undefined;
      if (!body.current) return;
      const top = -body.current.getBoundingClientRect().top;
      const first = Math.max(0, Math.min(rows - 1, Math.floor(top / HEIGHT) - SPARE));
      const last = Math.min(rows, first + Math.ceil(window.innerHeight / HEIGHT) + 2 * SPARE);
      set((was) => (was[0] === first && was[1] === last ? was : [first, last]));
    };
    const soon = () => (frame ??= requestAnimationFrame(look));
    look();
    window.addEventListener("scroll", soon, { passive: true });
    window.addEventListener("resize", soon);
    return () => {
      window.removeEventListener("scroll", soon);
      window.removeEventListener("resize", soon);
      cancelAnimationFrame(frame);
    };
  }, [rows, body]);
  return rows <= FEW ? [0, rows] : range;
}

/**
 * `columns`: [{name, of(row), kind: "money" | "num" | undefined, low: hidden on a phone}]. `start`: how many rows are
 * before these, on pages that came before. `keyOf(row)` names a row.
 */
export function Table({ caption, columns, rows, keyOf, start = 0, total, tall }) {
  const body = useRef(null);
  const [first, last] = useSight(body, rows.length);
  const shown = rows.slice(first, last);
  const space = (count) => count > 0 && html`<tr class="space" aria-hidden="true" key=${`space-${count}-${first}`}>
    <td colspan=${columns.length} style=${{ height: `${count * HEIGHT}px` }}></td></tr>`;
  const clip = (column) => [column.kind, column.low && "low"].filter(Boolean).join(" ");
  return html`<div class=${`table ${tall ? "tall" : ""}`} tabindex="0" role="region" aria-label=${caption}>
    <table aria-rowcount=${total ?? (rows.length > FEW ? start + rows.length + 1 : undefined)}>
      <caption class="unseen">${caption}</caption>
      <thead><tr>${columns.map((column) => html`<th scope="col" class=${clip(column)} key=${column.name}>${column.name}
        </th>`)}</tr></thead>
      <tbody ref=${body}>${space(first)}${shown.map((row, place) =>
        html`<tr key=${keyOf(row)} data-row aria-rowindex=${rows.length > FEW ? start + first + place + 2 : undefined}>
        ${columns.map((column) => html`<td class=${clip(column)} key=${column.name}>${column.of(row)}</td>`)}</tr>`)}
          ${space(rows.length - last)}</tbody>
    </table></div>`;
}

/** Pages that the engine cuts: `next` of the answer before leads on, and those before are kept by their beginnings. */
export function Pager({ place, size, shown, next, onNext, onBack, what }) {
  const from = place * size + 1;
  return html`<nav class="pager" aria-label=${`Pages of ${what}`}>
    <span class="num" role="status">${shown ? `${from}–${from + shown - 1}` : "0"}
      ${!next && !place ? "" : next ? " of more" : ` of ${from + shown - 1}`}</span>
    <button type="button" disabled=${!place} onClick=${onBack} data-key="p">Back</button>
    <button type="button" disabled=${!next} onClick=${onNext} data-key="n">Next</button></nav>`;
}

/** Where one is in such a list: `begin` is what to ask with. */
export function usePages(key) {
  const [state, set] = useState({ key, starts: [undefined] });
  const now = state.key === key ? state : { key, starts: [undefined] };
  useEffect(() => {
    if (state.key !== key) set({ key, starts: [undefined] });
  }, [key]);
  return {
    begin: now.starts.at(-1),
    place: now.starts.length - 1,
    onNext: (next) => set({ key, starts: [...now.starts, next] }),
    onBack: () => set({ key, starts: now.starts.slice(0, -1) }),
  };
}
