// Who may call, until when, when they last did, what was refused; and what waits for a second person.
import { html } from "../lib.js";
import { confirmProposal, revokeIdentity, withdrawProposal } from "../actions.js";
import { items, me, useAsked } from "../api.js";
import { Do } from "../dialog.js";
import { age, hex, short, typed, word } from "../format.js";
import { may } from "../rights.js";
import { useStore } from "../store.js";
import { Table } from "../table.js";
import { AsCommand, Card, Changes, Empty, Id, Page, Skeleton, Time, Wrong } from "../ui.js";
import { Denied, lastUse } from "./calls.js";

const SOON = 14 * 86_400; // seconds

function Expiry({ at }) {
  if (!at || at === "0") return html`<span class="dim">no end</span>`;
  const left = Number(at) - Date.now() / 1000;
  return html`<span class=${left < 0 ? "bad-text" : left < SOON ? "warn-text" : ""}>
    ${left < 0 ? "expired" : `in ${age(left * 1000)}`}</span> <span class="dim"><${Time} us=${String(Number(at) * 1e6)} />
    </span>`;
}

const state = (of) => (of.revokedLsn && of.revokedLsn !== "0" ? "revoked"
  : of.expiresAt && of.expiresAt !== "0" && Number(of.expiresAt) * 1000 < Date.now() ? "expired" : "in force");

function Identities({ who }) {
  const { data, error, again } = useAsked("identities", async () => {
    const all = await items("ListIdentities");
    return { all: all.reverse(), used: may(who, "ListAuditLog")
      ? await lastUse(all.filter((of) => state(of) === "in force").map(({ name }) => name)) : {} };
  }, ["access"]);
  const columns = [
    { name: "Name", of: ({ name }) => html`<strong>${name}</strong>` },
      { name: "Role", of: ({ role }) => word(role, "ROLE_") },
    { name: "State", of: (of) => html`<span class=${`state ${state(of) === "in force" ? "good" : state(of) === "expired"
      ? "warn" : "idle"}`}>${state(of)}</span>` },
    { name: "Known by", low: true, of: ({ kind, certificate }) =>
      (kind === "key" ? "API key" : kind === "signed" ? "own key" : html`certificate ${certificate}`) },
    { name: "Expires", low: true, of: ({ expiresAt }) => html`<${Expiry} at=${expiresAt} />` },
    data && Object.keys(data.used).length > 0 && { name: "Last use", low: true,
      of: ({ name }) => (data.used[name] ? html`<${Time} us=${data.used[name]} />`
      : html`<span class="dim">not lately</span>`) },
    { name: "For", low: true, of: ({ partyIds = [] }) => (partyIds.length
      ? html`<a class="id" href=${`#/parties/${hex(partyIds[0])}`}>${short(hex(partyIds[0]))}</a>
      ${partyIds.length > 1 ? ` and ${partyIds.length - 1}` : ""}` : html`<span class="dim">all</span>`) },
    { name: "Change", of: (of) => state(of) !== "revoked" && html`<${Do} call="RevokeIdentity" hide danger label="Revoke"
      ask=${() => revokeIdentity(of.name)} line=${`tallystick access revoke ${of.name}`} />` },
  ].filter(Boolean);
  return html`<${Card} title="Identities" action=${html`<${AsCommand} line="tallystick access list" what="Identities" />`}>
    <${Wrong} error=${error} again=${again} />
    ${!data ? !error && html`<${Skeleton} rows=${5} />` : data.all.length
      ? html`<${Table} caption="Identities" columns=${columns} rows=${data.all} keyOf=${({ name }) => name} />`
      : html`<${Empty} title="No identity yet">Operators of the configuration are not listed here. Give somebody an
      identity: <code>tallystick access add --name NAME --role auditor --expires 90d</code>.<//>`}
    ${may(who, "AddIdentity") && html`<p class="dim pad below">A key is made on your own machine, and only its digest is
      sent: <code>tallystick access add --name NAME --role ROLE --expires 90d --out FILE</code>, and another one for a
      name: <code>tallystick access rotate NAME --out FILE</code></p>`}<//>`;
}

function Proposals({ who }) {
  const { data, error, again } = useAsked("proposals", () => items("ListProposals"), ["access", "parties"]);
  return html`<${Card} title="Waits for a second person" action=${html`<${AsCommand} line="tallystick proposal list"
    what="Proposals" />`}><${Wrong} error=${error} again=${again} />
    ${!data ? !error && html`<${Skeleton} rows=${2} />` : data.length
      ? html`<ul class="todo">${data.map((of) => html`<li key=${of.proposal}>
      <div class="todo-of"><code>${of.kind}</code> <${Id} id=${hex(of.proposal)} kind="proposal" /> <span
        class="dim">by ${of.proposer}, <${Time} us=${of.proposedAtUs} since />; until <${Time} us=${of.expiresAtUs} /></span>
        </div>
      <${Changes} of=${of} />
      ${of.partyId && html`<p>Of party <${Id} id=${hex(of.partyId)} kind="party" href=${`#/parties/${hex(of.partyId)}`} />
        </p>`}${of.why && html`<p class="warn-text">Nobody can confirm it any more: ${of.why}.</p>`}
      <div class="actions">${!of.why && html`<${Do} call="ConfirmProposal" main label="Confirm"
        why=${of.proposer === who.name ? "You proposed it: another person confirms it." : undefined}
        ask=${() => confirmProposal(of)} line=${`tallystick proposal confirm ${typed(hex(of.proposal))}`} />`}
        <${Do} call="WithdrawProposal" hide danger label="Withdraw" ask=${() => withdrawProposal(of)}
          line=${`tallystick proposal withdraw ${typed(hex(of.proposal))} --reason TEXT`} /></div></li>`)}</ul>`
      : html`<${Empty} title="Nothing waits">Where four eyes are on, what moves money or lets somebody in comes here until
        another person confirms it.<//>`}<//>`;
}

export default function Access() {
  const who = useStore(me);
  const desk = may(who, "ListProposals");
  return html`<${Page} title="Access" about="Who may call the engine, as what, and until when.">
    ${desk && html`<${Proposals} who=${who} />`}<${Identities} who=${who} />
    ${may(who, "ListAuditLog") && html`<${Denied} />`}<//>`;
}
