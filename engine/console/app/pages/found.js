// A table of legs, a page at a time, from the engine's own search.
import { html, useState } from "../lib.js";
import { call, useAsked } from "../api.js";
import { CLEARING, count, hex, short } from "../format.js";
import { Pager, Table, usePages } from "../table.js";
import { AsCommand, Card, Empty, Money, PartyOf, Skeleton, State, Time, Told, Wrong } from "../ui.js";

const SIZE = 500, CALLS = 20;

/** A leg's own address: its key alone is enough for people, its batch makes it quick to find. */
export const legAt = ({ leg, batchId }) => `#/legs/${leg.key}?batch=${hex(batchId)}`;

function columns(inBatch) {
  return [
    { name: "Leg", of: (found) => html`<span class="id"><a class="row" href=${legAt(found)}>
      <${Told} kind="leg" id=${found.leg.key}>${found.leg.key.slice(0, 8)}<//></a><span class="full" aria-hidden="true">
      ${found.leg.key}</span></span>` },
    { name: "State", of: ({ leg }) => html`<${State} name=${leg.state} prefix="LEG_STATE_" />` },
    { name: "From", low: true, of: ({ leg }) => html`<${PartyOf} id=${hex(leg.from) || CLEARING} />` },
    { name: "To", low: true, of: ({ leg }) => html`<${PartyOf} id=${hex(leg.to) || CLEARING} />` },
    { name: "Amount", kind: "money", of: ({ leg, asset }) => html`<${Money} units=${leg.amount} asset=${asset} />` },
    !inBatch && { name: "Batch", low: true, of: ({ batchId }) =>
      html`<a href=${`#/batches/${hex(batchId)}`} class="id">${short(hex(batchId))}</a>` },
    { name: "Left", low: true, of: ({ sentAtUs }) => html`<${Time} us=${sentAtUs} />` },
    { name: "Reference", low: true, of: ({ leg }) => html`<span class="cut" title=${leg.railReference || leg.reason}>
      ${leg.railReference || html`<span class="dim">${leg.reason || "–"}</span>`}</span>` },
  ].filter(Boolean);
}

/** `asked`: the request without its paging. */
export function Legs({ title, asked, line, inBatch, empty }) {
  const [largest, setLargest] = useState(false);
  const sought = { ...asked, ...(inBatch && largest ? { largestFirst: true } : {}) };
  const pages = usePages(JSON.stringify(sought));
  const body = { ...sought, limit: SIZE, ...(pages.begin ? { next: pages.begin } : {}) };
  const { data, error, again } = useAsked(JSON.stringify(body), async () => {
    // One call looks through a bounded number of legs: it may find none and lead on all the same.
    const rows = [];
    let answer = { next: body.next }, calls = 0;
    do {
      answer = await call("FindLegs", { ...body, ...(answer.next ? { next: answer.next } : {}), limit: SIZE - rows.length });
      rows.push(...(answer.legs ?? []));
      calls += 1;
    } while (answer.next && rows.length < SIZE && calls < CALLS);
    return { rows, next: answer.next };
  }, ["legs", "batches"]);
  const rows = data?.rows ?? [];
  const action = html`${inBatch && html`<button type="button" aria-pressed=${largest} onClick=${() => setLargest(!largest)}>
    Largest first</button>`}${line && html`<${AsCommand} line=${`${line}${inBatch && largest ? " --largest-first" : ""}`}
      what=${title} />`}`;
  return html`<${Card} title=${title} action=${action}>
    <${Wrong} error=${error} again=${again} />
    ${!data ? !error && html`<${Skeleton} rows=${10} />` : rows.length || data.next ? html`
      <${Table} caption=${title} columns=${columns(inBatch)} rows=${rows} keyOf=${({ leg }) => leg.key}
        start=${pages.place * SIZE} />
      <${Pager} ...${pages} size=${SIZE} shown=${rows.length} next=${data.next} onNext=${() => pages.onNext(data.next)}
        what=${`${title}, ${count(rows.length)} here`} />`
      : empty ?? html`<${Empty} title="No leg found">None is like that: name fewer things, or see <a href="#/batches">all batches</a>.<//>`}
        <//>`;
}
