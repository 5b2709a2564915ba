// Who pays and is paid. Names and accounts are hidden until somebody asks for them, and that is in the audit log.
import { html, useState } from "../lib.js";
import { call, useAsked } from "../api.js";
import { base64, count, hex, quoted, sum, used } from "../format.js";
import { may, own } from "../rights.js";
import { ask, to } from "../route.js";
import { useStore } from "../store.js";
import { Pager, Table, usePages } from "../table.js";
import { AsCommand, Bar, Card, Empty, Id, Money, Page, Skeleton, Written, Wrong, assets } from "../ui.js";
import { OneParty } from "./party.js";

const SIZE = 50, MOST = 10, AT_ONCE = 8;

export const room = ({ creditLimit, prefund }) => sum([creditLimit, prefund]);
/** How much of it is used, as a bar and in words. */
export function Used({ exposure }) {
  const part = used(exposure.unsettled, room(exposure)), percent = Math.floor(part * 100);
  const words = part === Infinity ? "beyond" : percent || (exposure.unsettled ?? "0") === "0" ? `${percent} %` : "< 1 %";
  return html`<span class="used"><${Bar} value=${part} label=${words} tone=${part >= 0.9 ? "bad" : part >= 0.75 ? "warn" : "good"} />
    <span class="num">${words}</span></span>`;
}

const NEAR_COLUMNS = [
  { name: "Party", of: ({ partyId }) => html`<${Id} row id=${hex(partyId)} kind="party"
    href=${`#/parties/${hex(partyId)}`} />` },
  { name: "Used", of: (exposure) => html`<${Used} exposure=${exposure} />` },
  { name: "Owed", kind: "money", of: ({ unsettled, asset }) => html`<${Money} units=${unsettled} asset=${asset} />` },
  { name: "Of", kind: "money", low: true, of: (exposure) =>
    html`<${Money} units=${room(exposure)} asset=${exposure.asset} />` },
];

/** The asset in which somebody is nearest, of all of them; some are asked for at once. */
async function fullest(numbers) {
  const firsts = [];
  for (let from = 0; from < numbers.length; from += AT_ONCE) {
    firsts.push(...await Promise.all(numbers.slice(from, from + AT_ONCE).map((asset) => call("ListExposures", { asset, limit: 1 }))));
  }
  const parts = firsts.map(({ exposures: [of] = [] }) => (of ? used(of.unsettled, room(of)) : -1));
  return numbers[parts.indexOf(Math.max(...parts))];
}

/** All parties, the nearest to their limit first, in one asset at a time. */
function Near() {
  const all = useStore(assets), numbers = Object.keys(all).map(Number);
  const [chosen, choose] = useState(undefined);
  const sought = useAsked(`fullest ${numbers}`, async () => (numbers.length > 1 ? fullest(numbers) : numbers[0]));
  const asset = chosen ?? sought.data ?? (sought.error && numbers[0]), pages = usePages(`near ${asset}`), skip = pages.begin ?? 0;
  const { data, error, again } = useAsked(`near ${asset} ${skip}`, async () => (asset === undefined
    ? numbers.length ? undefined : {} : call("ListExposures", { asset, limit: MOST, skip: String(skip) })), ["windows", "batches", "parties"]);
  const rows = data?.exposures ?? [], behind = Number(data?.total ?? 0) - Number(data?.sorted ?? 0);
  const next = skip + rows.length < Number(data?.sorted ?? 0) && skip + rows.length;
  return html`<${Card} title="Nearest to their limit" action=${html`
    ${numbers.length > 1 && html`<div class="tabs" role="group" aria-label="Asset">${numbers.map((number) => html`<button
      type="button" key=${number} aria-pressed=${number === asset} onClick=${() => choose(number)}>${all[number].code}
      </button>`)}</div>`}
    ${asset !== undefined && html`<${AsCommand} line=${`tallystick party list --by exposure --asset ${asset} --limit ${MOST}`}
      what="Nearest to their limit" />`}`}>
    <${Wrong} error=${error} again=${again} />
    ${!data ? !error && html`<${Skeleton} rows=${MOST} />` : rows.length
      ? html`<${Table} caption="Exposures nearest to their limit" columns=${NEAR_COLUMNS} rows=${rows}
      keyOf=${({ partyId }) => partyId} /><${Pager} ...${pages} size=${MOST} shown=${rows.length} next=${next}
      onNext=${() => pages.onNext(next)} what="exposures" />${behind > 0 && html`<p class="dim pad below">${count(behind)} more
        parties are further from their limit than these ${count(data.sorted)}: they are not shown.</p>`}`
      : html`<${Empty} title="Nobody owes or may owe anything">A limit or a deposit lets a party pay:
        <code>tallystick limit set --help</code>.<//>`}<//>`;
}

const COLUMNS = [
  { name: "Party", of: ({ partyId }) => html`<${Id} row id=${hex(partyId)} kind="party"
    href=${`#/parties/${hex(partyId)}`} />` },
  { name: "Name", of: ({ name, erased }) => html`<span class="cut">${erased ? html`<span class="dim">erased</span>` : html`<${Written}
    text=${name} />`}</span>` },
  { name: "Accounts", low: true, of: ({ accounts = {} }) => Object.keys(accounts).join(", ")
    || html`<span class="dim">none</span>` },
  { name: "State", of: ({ suspended, erased }) => html`<span class=${`state ${suspended ? "bad" : "good"}`}>
    ${erased ? "erased" : suspended ? "suspended" : "active"}</span>` },
];

function Search({ query }) {
  const [text, set] = useState(query.name ?? query.id ?? "");
  const isId = /^[0-9a-f]{8,64}$/i.test(text.trim());
  const find = async (event) => {
    event.preventDefault();
    if (!isId) return ask("/parties", { name: text.trim() });
    const { found = [] } = await call("FindIds", { kind: "ID_KIND_PARTY", prefix: text.trim().toLowerCase() });
    return found.length === 1 ? to(`/parties/${hex(found[0].id)}`) : ask("/parties", { id: text.trim().toLowerCase() });
  };
  return html`<form class="inline-search" role="search" aria-label="Parties" onSubmit=${find}>
    <label class="unseen" for="find-party">A part of the name, or 8 or more first digits of the id</label>
    <input id="find-party" type="text" placeholder="Name, or first digits of the id" value=${text}
      onInput=${(event) => set(event.target.value)} autocomplete="off" spellcheck=${false} />
      <button type="submit">Find</button></form>`;
}

function All({ query }) {
  const pages = usePages(JSON.stringify(query));
  const asked = { limit: SIZE, ...(query.name ? { name: query.name } : {}), ...(pages.begin ? { after: pages.begin } : {}) };
  const { data, error, again } = useAsked(JSON.stringify([asked, query.id]), async () => {
    if (!query.id) {
      const answer = await call("ListParties", asked);
      return { rows: answer.parties ?? [], next: answer.next };
    }
    const { found = [] } = await call("FindIds", { kind: "ID_KIND_PARTY", prefix: query.id });
    const { parties = [] } = found.length ? await call("ListParties", { partyIds: found.map(({ id }) => id) }) : {};
    return { rows: parties };
  }, ["parties"]);
  const rows = data?.rows ?? [], sought = query.name || query.id;
  return html`<${Page} title="Parties" about="Names and accounts are hidden. Whoever reveals one is in the audit log.">
    <${Near} />
    <${Card} title=${sought ? `Parties: ${sought}` : "All parties, by their ids"}
      action=${html`<${Search} query=${query} key=${sought} />
      <${AsCommand} line=${sought ? `tallystick party find ${quoted(sought)}` : "tallystick party list"} what="Parties" />`}>
      <${Wrong} error=${error} again=${again} />
      ${!data ? !error && html`<${Skeleton} rows=${10} />` : rows.length
        ? html`<${Table} caption="Parties" columns=${COLUMNS} rows=${rows} keyOf=${({ partyId }) => partyId} />
        <${Pager} ...${pages} size=${SIZE} shown=${rows.length} next=${data.next} onNext=${() => pages.onNext(data.next)}
          what="parties" />`
        : html`<${Empty} title=${sought ? "No party is called so" : "No party yet"}>
          ${sought ? html`Look among <a href="#/parties">all of them</a>.`
          : html`Register the first one: <code>tallystick party add --help</code>.`}<//>`}<//><//>`;
}

/** Of an owner: their own. */
function Own({ who }) {
  return html`<${Page} title="Your parties">${own(who)?.length
    ? html`<${Card} title="Parties"><${Table} caption="Your parties" columns=${[COLUMNS[0]]}
    rows=${own(who).map((party) => ({ partyId: base64(party) }))}
    keyOf=${({ partyId }) => partyId} /><//>` : html`<${Empty}
    title="No party is yours">An operator names them in your identity.<//>`}<//>`;
}

/** A signer's digits lead to whom it signs for. */
function BySigner({ signer }) {
  const { data, error } = useAsked(`signer ${signer}`, () => call("GetBudgets", { signer: base64(signer) }));
  if (data) setTimeout(() => to(`/parties/${hex(data.partyId)}`));
  return html`<${Page} title="Parties"><${Wrong} error=${error} />${!error && html`<${Skeleton} />`}<//>`;
}

export default function Parties({ of: [id], query, who }) {
  if (id) return html`<${OneParty} id=${id} key=${id} />`;
  if (query.signer) return html`<${BySigner} signer=${query.signer} />`;
  return may(who, "ListParties") ? html`<${All} query=${query} />` : html`<${Own} who=${who} />`;
}

