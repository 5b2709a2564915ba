// One party: what it owes and may owe, who signs for it, what happened to it. Its name and accounts only when asked for.
import { html, useState } from "../lib.js";
import { revokeSigner, setLimit, suspend } from "../actions.js";
import { call, items, me, useAsked } from "../api.js";
import { Do } from "../dialog.js";
import { base64, count, hex, short, typed, word } from "../format.js";
import { may } from "../rights.js";
import { revealed, say, useStore } from "../store.js";
import { Pager, Table, usePages } from "../table.js";
import { AsCommand, Card, Empty, Facts, Icon, Id, Money, NoSuch, Page, Skeleton, State, Time, Written, Wrong, assets } from "../ui.js";
import { AboutOf } from "./about.js";
import { Used, room } from "./parties.js";

/** Its name and accounts: hidden until somebody asks, which is a line of the audit log. */
function Personal({ id, party }) {
  const shown = useStore(revealed)[id] ?? party;
  const [error, setError] = useState(undefined);
  const open = !shown.masked;
  const reveal = async () => {
    try {
      const whole = await call("RevealParty", { partyId: base64(id) });
      revealed.set({ ...revealed.value, [id]: { ...whole, masked: false } });
      say("Revealed. That you looked is in the audit log.");
    } catch (failed) {
      setError(failed);
    }
  };
  const accounts = Object.entries(shown.accounts ?? {});
  const action = !open && !party.erased && html`<button type="button" onClick=${reveal}>
    <${Icon} name="eye" /> Reveal</button><${AsCommand} line=${`tallystick party show ${typed(id)}`} what="Reveal"
      note="The command shows the name at once. In the audit log it is GetParty, not RevealParty." />`;
  return html`<${Card} title="Name and accounts" action=${action}><${Wrong} error=${error} />
    ${party.erased ? html`<${Empty} title="Erased">Its name and accounts are unreadable for ever.<//>`
      : html`<${Facts} of=${[
      ["Name", html`<span class=${open ? "" : "hidden"} data-name><${Written} text=${shown.name} /></span>`],
      ...accounts.flatMap(([rail, { fields = {} }]) => Object.entries(fields).map(([field, value]) =>
        [`${rail} ${field}`, html`<span class=${open ? "" : "hidden"}><${Written} text=${value} /></span>`])),
      !accounts.length && ["Accounts", "none: no rail can pay it"],
    ]} />`}
    ${!open && !party.erased && html`<p class="dim pad">Hidden. Who reveals it is written down in the audit log, with the
      time.</p>`}<//>`;
}

function Exposures({ id }) {
  const all = useStore(assets), numbers = Object.keys(all).map(Number);
  const { data, error, again } = useAsked(`exposure ${id} ${numbers}`,
    () => Promise.all(numbers.map((asset) => call("GetExposure", { partyId: base64(id), asset }))),
    ["parties", "windows", "batches"]);
  const rows = (data ?? []).map((exposure) => ({ creditLimit: "0", prefund: "0", unsettled: "0", ...exposure }));
  const columns = [
    { name: "Asset", of: ({ asset }) => all[asset]?.code ?? asset },
      { name: "Used", of: (exposure) => html`<${Used} exposure=${exposure} />` },
    { name: "Owed", kind: "money", of: ({ unsettled, asset }) => html`<${Money} units=${unsettled} asset=${asset} />` },
    { name: "Limit", kind: "money", low: true, of: ({ creditLimit, asset }) =>
      html`<${Money} units=${creditLimit} asset=${asset} />` },
    { name: "Deposits", kind: "money", low: true, of: ({ prefund, asset }) =>
      html`<${Money} units=${prefund} asset=${asset} />` },
    { name: "May still owe", kind: "money", low: true, of: (exposure) =>
      html`<${Money} units=${(BigInt(room(exposure)) - BigInt(exposure.unsettled)).toString()} asset=${exposure.asset} />` },
    { name: "Change", of: (exposure) => html`<${Do} call="SetCreditLimit" hide label="Set limit"
      ask=${() => setLimit(id, exposure, all[exposure.asset])}
      line=${`tallystick limit set --party ${typed(id)} --asset ${exposure.asset} UNITS`} />` },
  ];
  return html`<${Card} title="Exposure" wide><${Wrong} error=${error} again=${again} />
    ${!data ? !error && html`<${Skeleton} rows=${2} />` : rows.length
    ? html`<${Table} caption="Exposure by asset" columns=${columns} rows=${rows} keyOf=${({ asset }) => asset} />`
    : html`<${Empty} title="No asset yet">Create one: <code>tallystick asset add --help</code>.<//>`}<//>`;
}

const PERIODS = { BUDGET_PERIOD_TOTAL: "in total", BUDGET_PERIOD_MONTH: "a month", BUDGET_PERIOD_DAY: "a day",
  BUDGET_PERIOD_HOUR: "an hour" };

function Signers({ id }) {
  const pages = usePages(`signers ${id}`);
  const { data, error, again } = useAsked(`signers ${id} ${pages.begin}`, async () => {
    const { signers = [], next } = await call("ListSigners",
      { partyId: base64(id), limit: 20, ...(pages.begin ? { after: pages.begin } : {}) });
    const budgets = await Promise.all(signers.map(({ signer }) => call("GetBudgets", { signer })));
    return { rows: signers.map((signer, place) => ({ ...signer, budgets: budgets[place].budgets ?? [] })), next };
  }, ["parties"]);
  const columns = [
    { name: "Signer", of: ({ signer }) => html`<${Id} id=${hex(signer)} kind="signer" />` },
    { name: "State", of: ({ revoked }) => html`<span class=${`state ${revoked ? "idle" : "good"}`}>
      ${revoked ? "revoked" : "signs"}</span>` },
    { name: "Budgets", of: ({ budgets }) => (budgets.length
      ? html`<ul class="budgets">${budgets.map(({ budget, used }) =>
      html`<li key=${JSON.stringify(budget)}><${Money} units=${used ?? "0"} asset=${budget.asset} /> of <${Money}
      units=${budget.amount ?? "0"} asset=${budget.asset} /> ${PERIODS[budget.period]}
      ${budget.payee ? html` to <span class="id">${short(hex(budget.payee))}</span>` : ""}</li>`)}</ul>`
      : html`<span class="dim">none</span>`) },
    { name: "Change", of: ({ signer, revoked }) => !revoked
      && html`<${Do} call="RevokeSigner" hide danger label="Revoke" ask=${() => revokeSigner(hex(signer))}
      line=${`tallystick signer revoke ${typed(hex(signer))}`} />` },
  ];
  return html`<${Card} title="Signers and budgets" action=${html`<${AsCommand}
    line=${`tallystick signer list --party ${typed(id)}`} what="Signers" />`}><${Wrong} error=${error} again=${again} />
    ${!data ? !error && html`<${Skeleton} rows=${2} />` : data.rows.length
      ? html`<${Table} caption="Signers" columns=${columns} rows=${data.rows} keyOf=${({ signer }) => signer} />
      ${(data.next || pages.place > 0) && html`<${Pager} ...${pages} size=${20} shown=${data.rows.length} next=${data.next}
      onNext=${() => pages.onNext(data.next)} what="signers" />`}`
      : html`<${Empty} title="No key signs for it">Let one: <code>tallystick signer add --party ${typed(id)} --key
      KEY</code>.<//>`}<//>`;
}

const NEWEST = 100; // windows that one call looks through

function Statement({ id, who }) {
  const [all, setAll] = useState(false);
  const { data, error, again } = useAsked(`statement ${id} ${all}`, async () => {
    const lines = [];
    // The newest, at first; who may not know which these are sees them from the first one on.
    const { openWindow = "1" } = all || !may(who, "GetStatus") ? {} : await call("GetStatus");
    const first = Math.max(1, Number(openWindow) - NEWEST);
    let nextWindow = String(first);
    // Windows in which nothing happened are looked through, too, a bounded number a call.
    do {
      const answer = await call("GetStatement", { partyId: base64(id), firstWindow: nextWindow });
      lines.push(...(answer.lines ?? []));
      nextWindow = answer.nextWindow ?? "0";
    } while (nextWindow !== "0" && lines.length < 200);
    return { lines: lines.reverse(), more: nextWindow !== "0", first };
  }, ["windows", "batches"]);
  const sumOf = (name) => ({ name: name[0].toUpperCase() + name.slice(1), kind: "money", low: name !== "net",
    of: (line) => html`<${Money} units=${line[name] ?? "0"} asset=${line.asset} sign=${name === "net"} />` });
  const columns = [
    { name: "Window", of: ({ window }) => html`<a class="row num" href=${`#/windows/${window}`}>${window}</a>` },
      { name: "Closed", low: true, of: ({ cutAtUs }) => html`<${Time} us=${cutAtUs} />` },
    sumOf("sent"), sumOf("received"), sumOf("carried"), sumOf("net"),
    { name: "Settled by", of: ({ batchId, batchState }) => (batchId
      ? html`<a class="id" href=${`#/batches/${hex(batchId)}`}>${short(hex(batchId))}
      </a> <${State} name=${batchState} prefix="BATCH_STATE_" />` : html`<span class="dim">no batch yet</span>`) },
  ];
  return html`<${Card} title="Statement" action=${html`<${AsCommand} line=${`tallystick party statement ${typed(id)}`}
    what="Statement" />`}><${Wrong} error=${error} again=${again} />
    ${!data ? !error && html`<${Skeleton} rows=${4} />` : data.lines.length
      ? html`<${Table} caption="Statement" columns=${columns} rows=${data.lines}
      keyOf=${({ window, asset }) => `${window} ${asset}`} />
      ${data.more && html`<p class="dim pad">There is more: the command shows all.</p>`}`
      : html`<${Empty} title=${data.first > 1 ? "Nothing lately" : "Nothing yet"}>In no ${data.first > 1
        ? `window from ${count(data.first)} on` : "sealed window"} it owed anything, or was owed.<//>`}
    ${data?.first > 1 && html`<p class="pad"><button type="button" onClick=${() => setAll(true)}>Look through windows before
      ${" "}${count(data.first)}, too</button></p>`}<//>`;
}

function History({ id }) {
  const { data, error, again } = useAsked(`history ${id}`,
    () => items("ListHistory", { partyId: base64(id), limit: 50, newestFirst: true }), ["parties"]);
  const columns = [
    { name: "When", of: ({ atUs }) => html`<${Time} us=${atUs} />` }, { name: "What", of: ({ kind }) => word(kind, "") },
    { name: "By", of: ({ caller, role }) => html`${caller || role || "–"}` },
      { name: "About", kind: "text", low: true, of: (entry) => html`<${AboutOf} entry=${entry} />` },
  ];
  return html`<${Card} title="What happened to it" action=${html`<${AsCommand}
    line=${`tallystick history --newest 50 --party ${typed(id)}`} what="History" />`}>
      <${Wrong} error=${error} again=${again} />
    ${!data ? !error && html`<${Skeleton} rows=${4} />` : data.length
      ? html`<${Table} caption="History" columns=${columns} rows=${data} keyOf=${({ lsn }) => lsn} />`
      : html`<${Empty} title="Nothing yet">Changes of this party appear here.<//>`}<//>`;
}

export function OneParty({ id }) {
  const who = useStore(me), named = /^[0-9a-f]{64}$/.test(id);
  const { data: party, error, again } = useAsked(`party ${id}`, async () =>
    (named ? call("GetParty", { partyId: base64(id) }) : undefined), ["parties"]);
  if (!named) return html`<${NoSuch} what="party" href="#/parties" all="Parties" />`;
  const actions = party && !party.erased && html`<${Do} call="UpsertParty" hide danger=${!party.suspended}
    label=${party.suspended ? "Resume" : "Suspend"} ask=${() => suspend(id, !!party.suspended)}
    line=${`tallystick party ${party.suspended ? "resume" : "suspend"} ${typed(id)}`} />`;
  return html`<${Page} title=${`Party ${short(id)}`} trail=${[["Parties", "#/parties"]]} actions=${actions}>
    <${Wrong} error=${error} again=${again} />
    ${!party && !error && html`<div class="card"><${Skeleton} rows=${8} /></div>`}
    ${party && html`${party.suspended && html`<div class="alarm bad">
      <strong>Suspended</strong> It can neither pay nor be paid.</div>`}
      <${Card} title="What it is"><${Facts} of=${[["Id", html`<${Id} id=${id} whole kind="party" />`],
        ["State", html`<span class=${`state ${party.suspended ? "bad" : "good"}`}>${party.suspended ? "suspended" : "active"}
        </span>`], may(who, "FindLegs") && ["Its legs", html`<a href=${`#/legs?party=${id}`}>Find them</a>`]]} /><//>
      <${Exposures} id=${id} />
      <${Personal} id=${id} party=${party} /><${Signers} id=${id} />
      <${Statement} id=${id} who=${who} /><${History} id=${id} />`}
  <//>`;
}

