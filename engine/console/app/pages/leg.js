// The life of one leg, with what each step rests on.
import { html } from "../lib.js";
import { reportLeg, resolveLeg } from "../actions.js";
import { call, me, useAsked } from "../api.js";
import { Do } from "../dialog.js";
import { CLEARING, base64, count, hex, short, typed, word } from "../format.js";
import { may, own } from "../rights.js";
import { useStore } from "../store.js";
import { Card, Empty, Facts, Id, Money, Page, PartyOf, Skeleton, State, Times, Written, Wrong } from "../ui.js";
import { AboutOf, firstWord, moved } from "./about.js";

const KINDS = ["legs_submitted", "legs_moved", "legs_booked", "leg_proposed"];
/** Records of all batches that are looked through for those of one: each page is a look through the journal's events. */
const PAGE = 500, PAGES = 10;

/** The leg itself. */
async function find(key, batch, who) {
  const mine = own(who)?.map(base64);
  const { legs = [] } = await call("FindLegs", { key, ...(mine?.length ? { partyIds: mine } : {}), ...(batch ? { batchId: base64(batch) } : {}), limit: 2 });
  return { found: legs.find(({ leg }) => leg.key === key) ?? legs[0] };
}

/** What the journal says of a batch's legs, the newest first; `more`: the oldest were too far away. */
async function moves(found) {
  const all = [];
  for (let page = 0; page < PAGES; page += 1) {
    const { items: some = [], more } = await call("ListHistory", { kinds: KINDS, sinceUs: found.batchAtUs, limit: PAGE, newestFirst: true,
      ...(all.length ? { beforeLsn: all.at(-1).lsn } : {}) });
    all.push(...some);
    if (!some.length || (some.length < PAGE && !more)) return { all, more: false };
  }
  return { all, more: true };
}

/** Its batch, and what the journal says of the batch's legs: it takes longer, so the leg is shown before. */
async function life(found) {
  const [report, { all, more }] = await Promise.all([call("GetReconciliation", { batchId: found.batchId }), moves(found)]);
  // People's words name the leg by its place.
  return { report, more, history: all.filter(({ batchId, leg }) => batchId === found.batchId
    && (leg ?? found.index ?? 0) === (found.index ?? 0)) };
}

/** The steps, the oldest first: {at, what, by, rests}. */
function steps({ found, report, history = [] }) {
  const { leg, file } = found, batch = report?.batch;
  const sent = report?.submissions?.flatMap((of) => of.attempts ?? []).find(({ name, atUs }) => name === file
    && atUs === found.sentAtUs)
    ?? report?.submissions?.flatMap((of) => of.attempts ?? []).find(({ name }) => name === file);
  const all = [{ at: found.batchAtUs, state: "ready", what: "Computed with its batch", by: batch?.createdBy,
    rests: html`<a href=${`#/batches/${hex(found.batchId)}`}>batch ${short(hex(found.batchId))}</a>` }];
  if (batch?.approvedAtUs) all.push({ at: batch.approvedAtUs, what: "Its batch was approved", by: batch.approvedBy,
    rests: batch.approvedKey ? html`signed with <${Id} id=${hex(batch.approvedKey)} kind="key" />` : "" });
  if (found.sentAtUs && found.sentAtUs !== "0") {
    all.push({ at: found.sentAtUs, state: "sent", what: "Its exact bytes were journaled, then left", by: "the engine",
      rests: html`<code>${file}</code>${sent ? html`, ${count(sent.bytes)} bytes, BLAKE3 <${Id} id=${hex(sent.digest)}
      kind="digest" />, record ${count(sent.lsn)}` : ""}` });
  }
  const state = word(leg.state, "LEG_STATE_");
  for (const entry of history) {
    const [index, said, evidence] = (entry.kind === "leg_proposed" && firstWord(entry)) || [];
    if (index !== undefined) {
      all.push({ at: entry.atUs, what: html`A word: it is <${State} name=${said} prefix="" />`, key: entry.lsn,
        by: entry.caller || entry.role,
        rests: html`evidence: <${Written} text=${evidence} />, record ${count(entry.lsn)}` });
      continue;
    }
    if (entry.kind === "legs_moved" && !entry.about.toLowerCase().includes(state)) continue;
    if (entry.kind === "legs_submitted" || (entry.kind === "legs_moved"
      && Number(entry.atUs) < Number(found.sentAtUs ?? 0))) continue;
    const [legs, , by] = (entry.kind === "legs_moved" && moved(entry)) || [];
    all.push({ at: entry.atUs, state: legs ? state : undefined, key: entry.lsn,
      what: legs ? `${legs} ${legs === "1" ? "leg" : "legs"} of its batch, by ${by}` : html`<${AboutOf} entry=${entry} />`,
      by: entry.caller || (by ? "" : entry.role), rests: html`record ${count(entry.lsn)}
      ${entry.requestId ? html`, request <code>${entry.requestId}</code>` : ""}` });
  }
  return all.sort((a, b) => Number(a.at) - Number(b.at));
}

function Life({ data }) {
  return html`<ol class="life">${steps(data).map((step) =>
    html`<li key=${step.key ?? step.at}><div class="life-at"><${Times} us=${step.at} /></div>
    <div><p>${step.state && html`<${State} name=${step.state} prefix="" /> `}<strong>${step.what}</strong>
      ${step.by ? html` <span class="dim">by ${step.by}</span>` : ""}</p>
      ${step.rests && html`<p class="dim">${step.rests}</p>`}</div></li>`)}</ol>
    <p class="dim pad below">A move of many legs is one record: what is shown are those to this leg's state, of its
      batch.</p>
    ${data.more && html`<p class="pad below" role="note">There are older steps: the newest ${count(PAGE * PAGES)} moves of all
      batches were looked through. All of them: <code>tallystick history --kind ${KINDS.join(",")}</code>.</p>`}`;
}

export function OneLeg({ leg: key, batch }) {
  const who = useStore(me);
  const { data, error, again } = useAsked(`leg ${key} ${batch}`, () => find(key, batch, who), ["legs", "batches"]);
  const { found } = data ?? {}, whole = !!found && may(who, "ListBatches");
  const { data: more, error: failed, again: anew } = useAsked(`life ${whole && found.batchId} ${whole && found.leg.key}`,
    async () => (whole ? life(found) : undefined), ["legs", "batches"]);
  const report = more?.report;
  const leg = found?.leg, state = word(leg?.state, "LEG_STATE_");
  const said = leg?.proposal ?? report?.proposals?.find((of) => of.key === key);
  const own = said && said.operator === who?.name && said.operator
    ? "You said the first word: another person says the second." : undefined;
  const batchId = found && hex(found.batchId);
  const actions = leg && html`
    ${state === "unknown" && html`<${Do} call="ResolveLeg" main label=${said && !own ? "Say the second word" : "Resolve"}
      why=${own} ask=${() => resolveLeg(found, said)}
      line=${`tallystick leg resolve ${typed(batchId)} ${leg.key} --word WORD --evidence TEXT`} />`}
    ${["sent", "accepted", "confirmed"].includes(state) && html`<${Do} call="ReportLegs" hide label="Report"
      ask=${() => reportLeg(found)} line=${`tallystick leg report ${typed(batchId)} --key ${leg.key} --word WORD`} />`}`;
  return html`<${Page} title=${`Leg ${key.slice(0, 8)}`} trail=${[["Legs", "#/legs"],
    ...(batchId && may(who, "ListBatches") ? [[`Batch ${short(batchId)}`, `#/batches/${batchId}`]] : [])]}
    actions=${actions}>
    <${Wrong} error=${error} again=${again} />
    ${!data && !error && html`<div class="card"><${Skeleton} rows=${8} /></div>`}
    ${data && !found && html`<${Empty} title="There is no such leg">A key begins with other letters, or the leg is of another
      party. Look for it: <a href="#/legs">Legs</a>.<//>`}
    ${found && html`
      ${said && html`<div class="alarm" role="status"><strong>First word</strong> ${said.operator} says it is <${State}
        name=${said.state} prefix="LEG_STATE_" />${said.railReference ? html`, reference <code>${said.railReference}</code>`
        : ""}. Evidence: <${Written} text=${said.evidence || "none"} />. It moves when another person says the same.</div>`}
      <${Card} title="What it is"><${Facts} of=${[
        ["State", html`<${State} name=${leg.state} prefix="LEG_STATE_" />`],
          ["Amount", html`<strong><${Money} units=${leg.amount} asset=${found.asset} /></strong>`],
        ["From", html`<${PartyOf} id=${hex(leg.from) || CLEARING} />`],
          ["To", html`<${PartyOf} id=${hex(leg.to) || CLEARING} />`], ["Rail", found.rail],
        ["Key", html`<${Id} id=${leg.key} whole kind="key" />`],
          ["Rail's reference", leg.railReference ? html`<${Id} id=${leg.railReference} whole kind="reference" />` : "–"],
        leg.reason && ["What was said", html`<${Written} text=${leg.reason} />`], ["Its batch",
          html`<${State} name=${found.batchState} prefix="BATCH_STATE_" />`],
      ]} /><//>
      <${Card} title="Its life"><${Wrong} error=${failed} again=${anew} />
        ${!whole || more ? html`<${Life} data=${{ found, ...more }} />` : !failed && html`<${Skeleton} rows=${4} />`}<//>`}
  <//>`;
}
