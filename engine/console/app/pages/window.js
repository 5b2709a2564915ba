// One window: what was owed, what netting leaves of it, who is in it, and its proof.
import { html, useState } from "../lib.js";
import { createBatch, dispute, endDispute } from "../actions.js";
import { call, items, useAsked, useCall } from "../api.js";
import { Do } from "../dialog.js";
import { CLEARING, abs, base64, count, hex, share, typed, word } from "../format.js";
import { may } from "../rights.js";
import { say } from "../store.js";
import { Table } from "../table.js";
import { AsCommand, Bar, Card, Empty, Facts, Icon, Id, Money, Page, PartyOf, Skeleton, State, Times, Written,
  Wrong, assets, save } from "../ui.js";
import { Graph } from "./graph.js";

const TOP = 20;

/** Gross, then set off per pair, then per party: in count and in value. */
function Funnel({ totals }) {
  const steps = [["Gross", "pairs", totals.pairs, totals.gross],
    ["Bilateral", "pairs set off", totals.netPairs, totals.netBilateral],
    ["Multilateral", "positions", totals.positions, totals.netMultilateral]];
  const most = { count: steps.reduce((top, [, , value]) => (BigInt(value ?? 0) > top ? BigInt(value ?? 0) : top), 1n),
    sum: steps.reduce((top, step) => (abs(step[3]) > top ? abs(step[3]) : top), 1n) };
  return html`<div class="funnel">${steps.map(([name, what, number, value]) => html`<div class="step" key=${name}>
    <h3>${name}</h3>
    <div class="pair"><span class="num">${count(number)} <span class="dim">${what}</span></span>
      <${Bar} value=${share(number ?? "0", most.count)} label=${`${count(number)} ${what}`} tone="idle" /></div>
    <div class="pair"><${Money} units=${value} asset=${totals.asset} />
      <${Bar} value=${share(value, most.sum)} label=${`${name}: its share of the largest sum`} /></div></div>`)}
    ${totals.carriedIn && totals.carriedIn !== "0" && html`<p class="dim carried">Carried in from earlier batches: <${Money}
      units=${totals.carriedIn} asset=${totals.asset} />. It is in the nets, not in the gross.</p>`}</div>`;
}

async function proof(number, asset, party) {
  const chunks = await items("GetProof", { window: number, asset, position: { partyId: base64(party), pairs: true } });
  const parts = chunks.map(({ content }) => Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0)));
  save(`window-${number}-asset-${asset}-${party.slice(0, 8)}.proof.json`, parts, "application/json");
  say("The proof is saved. Check it offline: tallystick proof check FILE");
}

function Positions({ number, asset, who }) {
  const body = { window: number, asset, limit: 200, largestFirst: true };
  const { data, error, again } = useAsked(`positions ${number} ${asset}`, async () => {
    const [positions, gross, net] = await Promise.all(["ListNetPositions", "ListObligations",
      "ListNetObligations"].map((name) => call(name, body)));
    return { positions: (positions.items ?? []).slice(0, TOP), gross: gross.items ?? [], net: net.items ?? [] };
  });
  const [failed, setFailed] = useState(undefined);
  const fetchProof = (party) => proof(number, asset, party).then(() => setFailed(undefined), setFailed);
  const most = data?.positions.length ? abs(data.positions[0].amount) : 1n;
  const columns = [
    { name: "Party", of: ({ partyId }) => html`<${PartyOf} id=${hex(partyId)} row />` },
    { name: "Position", kind: "money", of: ({ amount }) => html`<${Money} units=${amount} asset=${asset} sign />` },
    { name: "Side", of: ({ amount }) => html`<span class=${BigInt(amount) < 0n ? "warn-text" : "good-text"}>
      ${BigInt(amount) < 0n ? "pays" : "gets"}</span>` },
    { name: "Share", low: true, of: ({ amount }) => html`<${Bar} value=${share(amount, most)}
      tone=${BigInt(amount) < 0n ? "warn" : "good"} />` },
    { name: "Proof", of: ({ partyId }) => may(who, "GetProof") && hex(partyId) !== CLEARING
      && html`<button type="button" class="quiet" aria-label=${`Download the proof of ${hex(partyId).slice(0, 8)}`}
      title="Download the proof" onClick=${() => fetchProof(hex(partyId))}><${Icon} name="down" /></button>` },
  ];
  const code = assets.value[asset]?.code ?? asset;
  return html`<${Wrong} error=${error ?? failed} again=${error && again} />
    <${Card} title=${`Largest positions, ${code}`} action=${html`<${AsCommand}
      line=${`tallystick window positions ${number} --asset ${asset} --largest-first --limit ${TOP}`} what="Positions" />`}>
      ${!data ? !error && html`<${Skeleton} rows=${8} />` : html`<${Table} caption=${`Largest positions in ${code}`}
        columns=${columns} rows=${data.positions} keyOf=${({ partyId }) => partyId} />`}
      ${data?.positions[0] && html`<p class="dim pad below">The proof of a position, as a command: <code>tallystick proof
        position ${number} --asset ${asset} --party ${typed(hex(data.positions[0].partyId))} --out FILE</code></p>`}<//>
    <${Card} title=${`Netting, ${code}`}>${data ? html`<${Graph} data=${data} asset=${asset}
      model=${assets.value[asset]?.model} />` : html`<div class="graph-room"></div>`}<//>`;
}

export function OneWindow({ number, who }) {
  const { data: window, error, again } = useCall("GetWindow", { number }, ["windows", "batches"]);
  const [asset, choose] = useState(undefined);
  const title = `Window ${number}`, state = word(window?.state, "WINDOW_STATE_");
  const totals = window?.totals ?? [], chosen = totals.find((of) => of.asset === asset) ?? totals[0];
  const actions = window && html`
    ${state === "closed" && totals.length > 0 && html`<${Do} call="CreateBatch" main label="Make a batch"
      ask=${() => createBatch([number], totals)}
      line=${`tallystick batch create --window ${number} --asset ${chosen.asset} --rail RAIL`} />`}
    ${["closed", "batched"].includes(state) && html`<${Do} call="DisputeWindow" danger label="Dispute"
      ask=${() => dispute(number)} line=${`tallystick window dispute ${number} --reason TEXT`} />`}
    ${state === "disputed" && html`<${Do} call="EndDispute" main label="End the dispute" ask=${() => endDispute(number)}
      line=${`tallystick window release ${number} --reason TEXT`} />`}`;
  return html`<${Page} title=${title} trail=${[["Windows", "#/windows"]]} actions=${actions}>
    <${Wrong} error=${error} again=${again} />
    ${!window && !error && html`<div class="card"><${Skeleton} rows=${6} /></div>`}
    ${window && html`
      ${window.dispute && html`<div class="alarm bad" role="status">
        <strong>Disputed</strong> <${Written} text=${window.dispute} />. It cannot be batched until the dispute ends.</div>`}
      <${Card} title="What it is"><${Facts} of=${[
        ["State", html`<${State} name=${window.state} prefix="WINDOW_STATE_" />`],
          ["Closed", html`<${Times} us=${window.cutAtUs} />`],
        ["Vouchers credited", count(window.vouchersCredited)],
          ["Records", window.cutLsn ? `${count(window.firstLsn)} to ${count(window.cutLsn)}`
          : `from ${count(window.firstLsn)}`],
        window.root && ["Root of what is owed", html`<${Id} id=${hex(window.root)} kind="root" />`],
        window.archiveDigest && ["Archive of its evidence", html`<${Id} id=${hex(window.archiveDigest)} kind="digest" />`],
      ]} />
      ${window.cutLsn && html`<p class="dim pad">All that proves it, as a command: <code>tallystick evidence
        export ${number} --out window-${number}.tallyexp</code></p>`}<//>
      ${totals.length > 1 && html`<div class="tabs" role="group" aria-label="Asset">
        ${totals.map((of) => html`<button type="button" key=${of.asset} aria-pressed=${of === chosen}
        onClick=${() => choose(of.asset)}>${assets.value[of.asset]?.code ?? of.asset}</button>`)}</div>`}
      ${chosen ? html`<${Card} title=${`What netting leaves, ${assets.value[chosen.asset]?.code ?? chosen.asset}`}>
        <${Funnel} totals=${chosen} /><//>
        ${window.cutLsn && html`<div class="grid"><${Positions} key=${chosen.asset} number=${number} asset=${chosen.asset}
          who=${who} /></div>`}`
        : html`<${Card} title="What netting leaves"><${Empty}
          title=${state === "open" ? "This window is open" : "Nothing is owed in it"}>
          ${state === "open" ? "Its sums are known when it is closed."
          : "Vouchers that are credited are owed in the window that is open then."}<//><//>`}`}
  <//>`;
}
