// One batch: what to do now, its sums at each step, its legs by state with ages, its files, and its legs.
import { html, useState } from "../lib.js";
import { abort, approve } from "../actions.js";
import { me, useCall } from "../api.js";
import { Do } from "../dialog.js";
import { age, base64, bytes, count, hex, share, short, sum, typed, word } from "../format.js";
import { AsCommand, Bar, Card, Empty, Facts, Id, Money, Page, Since, Skeleton, State, Time, Times, Written, Wrong } from "../ui.js";
import { Table } from "../table.js";
import { useStore } from "../store.js";
import { Legs } from "./found.js";
import { Said } from "./said.js";

const STATES = ["READY", "SENT", "ACCEPTED", "UNKNOWN", "CONFIRMED", "REJECTED", "RETURNED"];

/** From what was owed to what has arrived. */
function Steps({ report }) {
  const { batch, payIns = [], payOuts = [] } = report, of = (side, state) =>
    sum(side.filter((one) => one.state === `LEG_STATE_${state}`).map((one) => one.sum));
  const collects = batch.payInLegs && batch.payInLegs !== "0";
  const steps = [
    ["To pay out", batch.total, "all legs to parties", batch.total],
    collects && ["Collected", of(payIns, "CONFIRMED"), html`of <${Money} units=${batch.payInTotal}
      asset=${batch.asset} /> pay-ins`, batch.payInTotal],
    ["Paid out", of(collects ? payOuts : [...payOuts, ...payIns], "CONFIRMED"), "confirmed by the rail", batch.total],
    ["Under way", report.inFlight, "sent, accepted or unknown", batch.total],
    ["Owed again", batch.owedAgain, "rejected or returned", batch.total],
    ["Carried", batch.carried, "left for the next window", batch.total],
    batch.advanced && batch.advanced !== "0" && ["Advanced", batch.advanced, "by the clearing account, until rests add up",
      batch.total],
    report.heldBack && report.heldBack !== "0" && ["Held back", report.heldBack,
      `${count(report.heldBackLegs)} legs that never left`, batch.total],
  ].filter(Boolean);
  return html`<ol class="steps">${steps.map(([name, value, what, whole]) =>
    html`<li key=${name}><h3>${name}</h3><${Money} units=${value ?? "0"} asset=${batch.asset} />
    <${Bar} value=${share(value ?? "0", whole)} label=${`${name}: share`}
      tone=${["Owed again", "Held back"].includes(name) ? "warn" : name === "Under way" ? "info" : "good"} />
      <span class="dim">${what}</span></li>`)}</ol>`;
}

/** Legs by state, pay-ins and pay-outs apart; of unknown ones how old they are. */
function ByState({ report, chosen, choose }) {
  const { batch, payIns = [], payOuts = [], unknown = {} } = report;
  const rows = STATES.flatMap((name) => {
    const state = `LEG_STATE_${name}`, [pi, po] = [payIns, payOuts].map((side) => side.find((of) => of.state === state));
    return pi || po ? [{ state, pi, po }] : [];
  });
  const ages = unknown.oldestUs ? html`${count(unknown.underAnHour)} under an hour, ${count(unknown.underADay)} under a
    day, ${count(unknown.older)} older; the oldest for <${Since} us=${unknown.oldestUs} />` : "";
  const columns = [
    { name: "State", of: ({ state }) => html`<button type="button" class="row text" aria-pressed=${chosen === state}
      onClick=${() => choose(chosen === state ? undefined : state)}><${State} name=${state} prefix="LEG_STATE_" />
      </button>` },
    { name: "Pay-ins", kind: "num", of: ({ pi }) => count(pi?.legs) },
      { name: "Sum in", kind: "money", of: ({ pi }) => html`<${Money} units=${pi?.sum ?? "0"} asset=${batch.asset} />` },
    { name: "Pay-outs", kind: "num", of: ({ po }) => count(po?.legs) },
      { name: "Sum out", kind: "money", of: ({ po }) => html`<${Money} units=${po?.sum ?? "0"} asset=${batch.asset} />` },
    { name: "Age", low: true, of: ({ state }) => (state === "LEG_STATE_UNKNOWN" ? ages
      : ["LEG_STATE_READY", "LEG_STATE_SENT", "LEG_STATE_ACCEPTED"].includes(state)
      ? html`<${Since} us=${batch.approvedAtUs ?? batch.computedAtUs} /> <span
      class="dim">since the batch was ${batch.approvedAtUs ? "approved" : "computed"}</span>` : "") },
  ];
  return html`<${Table} caption="Legs by state" columns=${columns} rows=${rows} keyOf=${({ state }) => state} />`;
}

function Files({ submissions, asset }) {
  const rows = submissions.flatMap((of) => (of.attempts ?? []).map((attempt, place) => ({ ...of, attempt, place })));
  const columns = [
    { name: "File or call", of: ({ attempt }) => html`<code>${attempt.name}</code>` },
    { name: "Left", low: true, of: ({ attempt }) => html`<${Time} us=${attempt.atUs} />` },
    { name: "Legs", kind: "num", of: ({ legs }) => count(legs) },
    { name: "Control sum", kind: "money", of: ({ sum: of }) => html`<${Money} units=${of} asset=${asset} />` },
    { name: "Bytes", kind: "num", low: true, of: ({ attempt }) => bytes(attempt.bytes) },
    { name: "BLAKE3", of: ({ attempt }) => html`<${Id} id=${hex(attempt.digest)} kind="digest" />` },
    { name: "By state", low: true, of: ({ byState = [] }) =>
      html`<span class="dim">${byState.map(({ state, legs }) => `${count(legs)} ${word(state, "LEG_STATE_")}`).join(" · ")}
      </span>` },
  ];
  return rows.length ? html`<${Table} caption="Files and digests" columns=${columns} rows=${rows}
    keyOf=${({ attempt, number, place }) => `${attempt.name} ${number} ${place}`} />`
    : html`<${Empty} title="Nothing has left">Files appear here with their digests when the batch is approved, each before it
    leaves.<//>`;
}

/** Why this person may not approve, where it is not for their role. */
function whyNotApprove(batch, who) {
  return batch.fourEyes && batch.createdBy === who.name ? `You computed this batch: another person must approve it.`
    : undefined;
}

/** What it is: of the batch alone, so that it is there at once, however many legs there are to count. */
function About({ id, batch, outbox }) {
  const both = batch.approvedAtUs && batch.endedAtUs;
  return html`<${Facts} of=${[
    ["State", html`<${State} name=${batch.state} prefix="BATCH_STATE_" />`],
    ["Id", html`<${Id} id=${id} kind="batch" />`],
    ["Windows", (batch.windows ?? []).map((number, place) =>
      html`${place ? ", " : ""}<a href=${`#/windows/${number}`} key=${number}>${number}</a>`)],
    ["Rail", batch.rail],
    ["Computed", html`<${Times} us=${batch.computedAtUs} />`],
    ["Computed by", batch.createdBy || "anyone"],
    ["Approved", batch.approvedAtUs ? html`<${Times} us=${batch.approvedAtUs} />` : "not yet"],
    ["Approved by", batch.approvedBy || (batch.fourEyes ? `another person than ${batch.createdBy || "who computed it"}`
      : "–")],
    batch.approvedKey && ["Signed with", html`<${Id} id=${hex(batch.approvedKey)} kind="key" />`],
    batch.endedAtUs && ["Ended", html`<${Times} us=${batch.endedAtUs} />`],
    both && ["From approval to end", age((Number(batch.endedAtUs) - Number(batch.approvedAtUs)) / 1000)],
    batch.abortReason && ["Aborted by", html`${batch.abortedBy}: <${Written} text=${batch.abortReason} />`],
    outbox && ["Outbox", html`<code>${outbox}</code>`],
  ]} />`;
}

function Todo({ todo = [], troubles = [] }) {
  return html`<ul class="todo">${todo.map((text) => html`<li key=${text}><p><${Said} text=${text} /></p></li>`)}
    ${troubles.map((text) => html`<li key=${text} class="bad-text"><p><${Written} text=${text} /></p></li>`)}</ul>`;
}

export function OneBatch({ id }) {
  const who = useStore(me), body = { batchId: base64(id) };
  const { data: batch, error, again } = useCall("GetBatch", body, ["batches", "legs"]);
  const { data: report, error: failed, again: anew } = useCall("GetReconciliation", body, ["batches", "legs"]);
  const [state, choose] = useState(undefined);
  const name = word(batch?.state, "BATCH_STATE_"), line = `tallystick batch approve ${typed(id)}`;
  const actions = batch && html`
    ${name === "computed" && html`<${Do} call="ApproveBatch" main label="Approve" why=${who && whyNotApprove(batch, who)}
      ask=${() => approve(batch)} line=${line} />`}
    ${["computed", "approved"].includes(name) && html`<${Do} call="AbortBatch" danger hide label="Abort"
      ask=${() => abort(batch)} line=${`tallystick batch abort ${typed(id)} --reason TEXT`} />`}
    <${AsCommand} line=${`tallystick batch report ${typed(id)}`} what="This report" />`;
  const counted = (rows, what) => (report ? what() : !failed && html`<${Skeleton} rows=${rows} />`);
  return html`<${Page} title=${`Batch ${short(id)}`} trail=${[["Batches", "#/batches"]]} actions=${actions}>
    <${Wrong} error=${error} again=${again} />${!error && html`<${Wrong} error=${failed} again=${anew} />`}
    ${!batch && !error && html`<div class="card"><${Skeleton} rows=${12} /></div>`}
    ${batch && html`
      <${Card} title="What to do now">${counted(1, () => html`<${Todo} ...${report} />`)}<//>
      <${Card} title="What it is"><${About} id=${id} batch=${batch} outbox=${report?.outbox} /><//>
      <${Card} title="Sums at each step">${counted(3, () => html`<${Steps} report=${report} />`)}<//>
      <${Card} title="Legs by state">
        ${counted(2, () => html`<${ByState} report=${report} chosen=${state} choose=${choose} />`)}<//>
      <${Card} title="Files and digests">
        ${counted(2, () => html`<${Files} submissions=${report.submissions ?? []} asset=${batch.asset} />`)}<//>
      <${Legs} title=${state ? `Legs that are ${word(state, "LEG_STATE_")}` : "Legs"}
        asked=${{ ...body, ...(state ? { states: [state] } : {}) }}
          line=${`tallystick leg find --batch ${typed(id)}${state ? ` --state ${word(state, "LEG_STATE_")}` : ""}`}
          inBatch />`}
  <//>`;
}
