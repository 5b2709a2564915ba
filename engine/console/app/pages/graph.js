// The largest parties of a window and what they owe each other, before netting and after it; the same as tables.
import { html } from "../lib.js";
import { CLEARING, abs, hex, share } from "../format.js";
import { Table } from "../table.js";
import { Money, PartyOf } from "../ui.js";

const PARTIES = 8, EDGES = 28, SIZE = 340, RING = 118, MIDDLE = SIZE / 2;

/** Who moves most: the parties with the largest positions, then those with the largest sums. */
function parties({ positions, gross }) {
  const all = new Set(positions.map(({ partyId }) => hex(partyId)).filter((id) => id !== CLEARING).slice(0, PARTIES));
  for (const { payer, payee } of gross) {
    if (all.size >= PARTIES) break;
    all.add(hex(payer)).add(hex(payee));
  }
  return [...all].slice(0, PARTIES);
}

/** Of what is owed, the part among these parties, the largest first. */
function among(rows, of) {
  const edges = rows.map(({ payer, payee, amount }) => ({ from: hex(payer), to: hex(payee), amount }));
  return edges.filter(({ from, to }) => of.includes(from) && of.includes(to)).sort((a, b) =>
    (abs(b.amount) > abs(a.amount) ? 1 : -1)).slice(0, EDGES);
}

/** Multilateral: each party against the clearing account. */
function cleared(positions, of) {
  return positions.filter(({ partyId }) => of.includes(hex(partyId))).map(({ partyId, amount }) => (BigInt(amount) < 0n
    ? { from: hex(partyId), to: CLEARING, amount: abs(amount).toString() } : { from: CLEARING, to: hex(partyId), amount }));
}

function places(of) {
  const at = Object.fromEntries(of.map((party, place) => {
    const angle = (place / of.length) * 2 * Math.PI - Math.PI / 2;
    return [party, [MIDDLE + RING * Math.cos(angle), MIDDLE + RING * Math.sin(angle)]];
  }));
  return { ...at, [CLEARING]: [MIDDLE, MIDDLE] };
}

/** A line from one to the other, bent so that both directions are seen, ending before the circle. */
function path([x1, y1], [x2, y2]) {
  const [dx, dy] = [x2 - x1, y2 - y1], long = Math.hypot(dx, dy) || 1, gap = 15;
  const bend = 0.13;
  const [ax, ay] = [x1 + (dx / long) * gap, y1 + (dy / long) * gap],
    [bx, by] = [x2 - (dx / long) * gap, y2 - (dy / long) * gap];
  return `M${ax.toFixed(1)} ${ay.toFixed(1)} Q${((x1 + x2) / 2 - dy * bend).toFixed(1)} ${((y1 + y2) / 2 + dx * bend).toFixed(1)} ${bx.toFixed(1)} ${by.toFixed(1)}`;
}

function Picture({ name, edges, of, most, clearing }) {
  const at = places(of), mark = `arrow-${name}`;
  const nodes = clearing ? [...of, CLEARING] : of;
  return html`<figure class="graph"><svg viewBox=${`0 0 ${SIZE} ${SIZE}`} role="img"
    aria-label=${`${name} netting: ${edges.length} payments among ${of.length} parties; the table below says the same`}>
    <defs><marker id=${mark} viewBox="0 0 8 8" refX="6" refY="4" markerWidth="6" markerHeight="6"
      markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8z" class="arrow" /></marker></defs>
    ${edges.map(({ from, to, amount }) => html`<path key=${from + to} class="edge" d=${path(at[from], at[to])}
      stroke-width=${(1 + 6 * share(amount, most)).toFixed(2)} marker-end=${`url(#${mark})`} />`)}
    ${nodes.map((party) => html`<g key=${party} class=${party === CLEARING ? "node clearing" : "node"}>
      <circle cx=${at[party][0]} cy=${at[party][1]} r=${party === CLEARING ? 14 : 11} />
      <text x=${at[party][0]} y=${at[party][1] + (at[party][1] < MIDDLE - 10 ? -17 : at[party][1] > MIDDLE + 10 ? 25
        : party === CLEARING ? 28 : -17)}>${party === CLEARING ? "clearing" : party.slice(0, 8)}</text></g>`)}
  </svg><figcaption>${name} netting: <strong>${edges.length}
    </strong> payments among the ${of.length} largest parties</figcaption></figure>`;
}

export function Graph({ data, asset, model }) {
  const of = parties(data), multilateral = model !== "SETTLEMENT_MODEL_BILATERAL";
  const before = among(data.gross, of), after = multilateral ? cleared(data.positions, of) : among(data.net, of);
  const most = [...before, ...after].reduce((top, { amount }) => (abs(amount) > top ? abs(amount) : top), 1n);
  const columns = [
    { name: "From", of: ({ from }) => html`<${PartyOf} id=${from} />` },
      { name: "To", of: ({ to }) => html`<${PartyOf} id=${to} />` },
    { name: "Amount", kind: "money", of: ({ amount }) => html`<${Money} units=${amount} asset=${asset} />` },
  ];
  const table = (name, edges) => html`<h3 class="pad-in">${name} netting</h3>
    <${Table} caption=${`${name} netting, among the largest parties`} columns=${columns} rows=${edges}
    keyOf=${({ from, to }) => from + to} />`;
  return html`<div class="graphs"><${Picture} name="Before" edges=${before} of=${of} most=${most} />
    <${Picture} name="After" edges=${after} of=${of} most=${most} clearing=${multilateral} /></div>
    <details class="as-table"><summary>The same as tables</summary>${table("Before", before)}${table("After", after)}
      </details>`;
}

