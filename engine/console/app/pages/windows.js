// All windows, and one of them.
import { html, useLayoutEffect, useRef } from "../lib.js";
import { createBatch, closeWindow } from "../actions.js";
import { useAsked, call, items } from "../api.js";
import { Do } from "../dialog.js";
import { count, word } from "../format.js";
import { Pager, Table, usePages } from "../table.js";
import { Card, Empty, Money, NoSuch, Page, Skeleton, State, Time, Wrong } from "../ui.js";
import { OneWindow } from "./window.js";

const SIZE = 50, STRIP = 60;

/** The newest windows as a band: one block each, in words and colours, the oldest on the left. */
function Timeline({ windows }) {
  const shown = [...windows].slice(0, STRIP).reverse(), band = useRef(null);
  // The newest are in sight where there is no room for all.
  useLayoutEffect(() => {
    band.current.scrollLeft = band.current.scrollWidth;
  }, [windows]);
  return html`<ol ref=${band} class="timeline" aria-label="The newest windows, the oldest first">${shown.map((window) => {
    const state = word(window.state, "WINDOW_STATE_");
    return html`<li key=${window.number}><a href=${`#/windows/${window.number}`} class=${`block of-${state}`}><span>
      <span class="unseen">window </span>${window.number}</span><small>${state}</small></a></li>`;
  })}</ol>`;
}

const first = (window) => window.totals?.[0];
const COLUMNS = [
  { name: "Window", of: ({ number }) => html`<a class="row num" href=${`#/windows/${number}`}>${number}</a>` },
  { name: "State", of: ({ state }) => html`<${State} name=${state} prefix="WINDOW_STATE_" />` },
  { name: "Closed", of: ({ cutAtUs }) => html`<${Time} us=${cutAtUs} />`, low: true },
  { name: "Vouchers", kind: "num", of: ({ vouchersCredited }) => count(vouchersCredited), low: true },
  { name: "Pairs", kind: "num", of: (window) => (first(window) ? count(first(window).pairs) : "–"), low: true },
  { name: "Gross", kind: "money", of: (window) => (first(window)
    ? html`<${Money} units=${first(window).gross} asset=${first(window).asset} />` : "–") },
  { name: "Positions", kind: "num", of: (window) => (first(window) ? count(first(window).positions) : "–"), low: true },
  { name: "Net", kind: "money", of: (window) => (first(window)
    ? html`<${Money} units=${first(window).netMultilateral} asset=${first(window).asset} />` : "–"), low: true },
  { name: "More", of: ({ totals = [] }) => (totals.length > 1 ? html`<span class="dim">and ${totals.length - 1} more</span>`
    : ""), low: true },
];

export default function Windows({ of: [number], who }) {
  if (number && !/^[1-9]\d{0,18}$/.test(number)) return html`<${NoSuch} what="window" href="#/windows" all="Windows" />`;
  return number ? html`<${OneWindow} number=${number} who=${who} key=${number} />` : html`<${All} />`;
}

function All() {
  const pages = usePages("windows");
  const asked = { limit: SIZE + 1, newestFirst: true, ...(pages.begin ? { before: pages.begin } : {}) };
  const { data, error, again } = useAsked(JSON.stringify(asked), async () => {
    const [rows, status] = await Promise.all([items("ListWindows", asked), call("GetStatus")]);
    return { rows, open: { number: status.openWindow, vouchersCredited: status.windowVouchers } };
  }, ["windows"]);
  const rows = (data?.rows ?? []).slice(0, SIZE), next = (data?.rows ?? []).length > SIZE && rows.at(-1).number;
  const toBatch = rows.filter(({ state, totals }) => state === "WINDOW_STATE_CLOSED" && totals?.length);
  const actions = html`${toBatch.length > 0 && html`<${Do} call="CreateBatch" hide label=${`Batch ${toBatch.length} closed`}
    ask=${() => createBatch(toBatch.map((window) => window.number).reverse(), toBatch.flatMap((window) => window.totals))}
    line=${`tallystick batch create --window ${toBatch.map((window) =>
    window.number).reverse().join(",")} --asset ASSET --rail RAIL`} />`}
    <${Do} call="CloseWindow" main label="Close window" ask=${() => closeWindow(data?.open)}
      line="tallystick window close" />`;
  return html`<${Page} title="Windows" about="A window holds the vouchers that settle together. Exactly one is open."
    actions=${actions}>
    <${Wrong} error=${error} again=${again} />
    <${Card} title="Timeline" wide>${data ? html`<${Timeline} windows=${data.rows} />` : html`<div class="timeline"></div>`}
      <//>
    <${Card} title="All windows, the newest first">
      ${!data ? !error && html`<${Skeleton} rows=${10} />` : rows.length
        ? html`<${Table} caption="Windows" columns=${COLUMNS} rows=${rows} keyOf=${({ number }) => number} />
        <${Pager} ...${pages} size=${SIZE} shown=${rows.length} next=${next} onNext=${() => pages.onNext(next)}
          what="windows" />` : html`<${Empty} title="No window yet">The first one opens with the first
          voucher: <code>tallystick voucher sign --help</code>.<//>`}
    <//><//>`;
}
