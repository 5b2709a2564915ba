// What happened, from the journal; and who asked what, from the audit log.
import { html, useState } from "../lib.js";
import { items, me, useAsked } from "../api.js";
import { base64, hex, option, short, typed, word } from "../format.js";
import { may, own } from "../rights.js";
import { ask } from "../route.js";
import { useStore } from "../store.js";
import { Pager, Table, usePages } from "../table.js";
import { AsCommand, Card, Empty, Page, Skeleton, Time, Wrong } from "../ui.js";
import { AboutOf, aboutText } from "./about.js";
import { Calls } from "./calls.js";

const SIZE = 100;

/** What an event names, as links. */
function Names({ entry }) {
  const { partyId, batchId, window, signer } = entry;
  return html`${partyId && html`<a class="id" href=${`#/parties/${hex(partyId)}`}>party ${short(hex(partyId))}</a> `}
    ${batchId && html`<a class="id" href=${`#/batches/${hex(batchId)}`}>batch ${short(hex(batchId))}</a> `}
    ${window && html`<a href=${`#/windows/${window}`}>window ${window}</a> `}
    ${signer && html`<span class="id">signer ${short(hex(signer))}</span>`}`;
}

const COLUMNS = [
  { name: "When", of: ({ atUs }) => html`<${Time} us=${atUs} />` },
  { name: "What", of: ({ kind }) => word(kind, "") },
  { name: "By", of: ({ caller, role }) => html`${caller || html`<span class="dim">${role || "the engine"}</span>`}` },
  { name: "Names", of: (entry) => html`<${Names} entry=${entry} />` },
  { name: "About", low: true, of: (entry) => html`<span class="cut wide-cut" title=${aboutText(entry)}><${AboutOf}
    entry=${entry} /></span>` },
  { name: "Signed", low: true, of: ({ signedWith, proposer }) =>
    (signedWith ? html`<span class="state info">signed</span>` : proposer
    ? html`<span class="dim">proposed by ${proposer}</span>` : "") },
  { name: "Record", kind: "num", low: true, of: ({ lsn }) => lsn },
];

function History({ query }) {
  const mine = own(useStore(me)), party = mine && (mine.includes(query.party) ? query.party : mine[0]);
  const asked = { ...(party ? { partyId: base64(party) } : {}), ...(query.by ? { by: query.by } : {}), ...(query.kind ? { kinds: [query.kind] } : {}),
    ...(query.request ? { requestId: query.request } : {}) };
  const pages = usePages(JSON.stringify(asked));
  const { data, error, again } = useAsked(`history ${JSON.stringify(asked)} ${pages.begin}`, async () => {
    const rows = await items("ListHistory", { ...asked, limit: SIZE + 1, newestFirst: true,
      ...(pages.begin ? { beforeLsn: pages.begin } : {}) });
    return { rows: rows.slice(0, SIZE), next: rows.length > SIZE && rows[SIZE - 1].lsn };
  }, ["windows", "batches", "legs", "parties", "access"]);
  const rows = data?.rows ?? [], next = data?.next;
  const line = [`tallystick history --newest ${SIZE}`, party && ` --party ${typed(party)}`, option("by", query.by), option("kind", query.kind),
    option("request-id", query.request)].filter(Boolean).join("");
  return html`<${Card} title="What changed, the newest first" action=${html`<${AsCommand} line=${line} what="History" />`}>
    <${Wrong} error=${error} again=${again} />
    ${!data ? !error && html`<${Skeleton} rows=${10} />` : rows.length
      ? html`<${Table} caption="History" columns=${COLUMNS} rows=${rows} keyOf=${({ lsn }) => lsn}
      start=${pages.place * SIZE} />
      <${Pager} ...${pages} size=${SIZE} shown=${rows.length} next=${next} onNext=${() => pages.onNext(next)}
        what="the history" />` : html`<${Empty} title="Nothing found">No change is like that: name fewer things above.<//>`}<//>`;
}

const FIELDS = {
  history: [["by", "By", "ann"], ["kind", "Kind", "limit_set"], ["request", "Request", "its id"]],
  calls: [["by", "By", "ann"], ["call", "Call", "RevealParty"], ["result", "Result", "PERMISSION_DENIED"]],
};

function Filter({ of, query }) {
  const [text, set] = useState(query), mine = own(useStore(me)) ?? [];
  return html`<form class="card search" role="search" aria-label="Audit log"
    onSubmit=${(event) => { event.preventDefault(); ask("/audit", { ...text, show: of }); }}>
    ${FIELDS[of].map(([name, label, hint]) => html`<div class="field" key=${name}><label for=${`audit-${name}`}>${label}
      </label><input id=${`audit-${name}`} type="text" placeholder=${hint} autocomplete="off" spellcheck=${false}
      value=${text[name] ?? ""} onInput=${(event) => set({ ...text, [name]: event.target.value.trim() })} /></div>`)}
    ${mine.length > 1 && html`<div class="field"><label for="audit-party">Party</label><select id="audit-party"
      value=${text.party ?? mine[0]} onChange=${(event) => set({ ...text, party: event.target.value })}>${mine.map((id) =>
      html`<option key=${id} value=${id} selected=${id === (text.party ?? mine[0])}>${short(id)}</option>`)}</select></div>`}
    <div class="search-do"><button type="submit" class="main">Find</button>
      <button type="button" onClick=${() => { set({}); ask("/audit", { show: of }); }}>Clear</button></div></form>`;
}

export default function Audit({ query }) {
  const who = useStore(me), calls = may(who, "ListAuditLog");
  const of = query.show === "calls" && calls ? "calls" : "history";
  const asked = { ...(query.by ? { name: query.by } : {}), ...(query.call ? { call: query.call } : {}),
    ...(query.result ? { result: query.result } : {}) };
  // Its files are on the engine's machine: the command reads them there.
  const line = ["tallystick audit-log --data-dir DIR", option("by", query.by), option("call", query.call),
    option("result", query.result)].join("");
  return html`<${Page} title="Audit log"
    about="What changed is in the journal for ever. Who asked what, reads and refused calls included, is in the audit log.">
    ${calls && html`<nav class="tabs" aria-label="Which log">
      ${[["history", "What changed"], ["calls", "Who asked"]].map(([name, text]) =>
      html`<a class="tab" key=${name} href=${`#/audit?show=${name}`} aria-current=${name === of ? "page" : undefined}>${text}
      </a>`)}</nav>`}
    <${Filter} of=${of} query=${query} key=${JSON.stringify(query)} />
    ${of === "calls" ? html`<${Calls} title="Who asked what, the newest first" asked=${asked} line=${line} />`
      : html`<${History} query=${query} />`}<//>`;
}
