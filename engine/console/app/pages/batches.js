// What must be done now, and all batches.
import { html } from "../lib.js";
import { ackTroubles } from "../actions.js";
import { call, items, useAsked } from "../api.js";
import { Do } from "../dialog.js";
import { count, hex, short, word } from "../format.js";
import { Pager, Table, usePages } from "../table.js";
import { AsCommand, Card, Empty, Id, Money, NoSuch, Page, Since, Skeleton, State, Time, Wrong } from "../ui.js";
import { OneBatch } from "./batch.js";
import { Said } from "./said.js";

const SIZE = 50, OPEN = 100;

const point = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);
/** Whether a sentence asks for something: the engine also says what it does itself, and when to look again. */
const asks = (text) => !text.startsWith("Nothing") && !text.startsWith("Look again");

/** What `tallystick todo` says: what waits for a second person, then each batch, then what is open beside them. */
async function todo() {
  const [open, proposals, status, troubles] = await Promise.all([
    items("ListBatches", { limit: OPEN, open: true }), items("ListProposals"), call("GetStatus"), items("ListTroubles"),
  ]);
  const reports = await Promise.all(open.map(({ batchId }) => call("GetReconciliation", { batchId })));
  const ids = new Set(open.map(({ batchId }) => batchId));
  return [
    ...proposals.map((of) => ({ key: of.proposal, since: of.proposedAtUs, href: "#/access", what: of.why
      ? `Withdraw what ${of.proposer} proposed (${of.kind}): nobody can confirm it any more (${of.why}).`
        : `Look at what ${of.proposer} proposes (${of.kind}); if you are another, and it is right, confirm it.` })),
    ...reports.flatMap(({ batch, todo: all = [] }) => all.filter(asks).map((what) =>
      ({ key: batch.batchId + what, batch, since: batch.approvedAtUs ?? batch.computedAtUs, what }))),
    ...(status.verifyAlarms ? [{ key: "alarm",
      what: "Check this machine: valid signatures were rejected (`tallystick status`)." }] : []),
    ...(status.schedule ?? []).filter(({ trouble }) => trouble).map((of) =>
      ({ key: `schedule ${of.asset}`, what: `The schedule of asset ${of.asset} is held up: ${point(of.trouble)}` })),
    ...(status.standing ?? []).map((why) => ({ key: why, what: `Blocked: ${point(why)}` })),
    ...(status.webhooksPaused
      ? [{ key: "webhooks", what: `${status.webhooksPaused} webhooks are paused: \`tallystick webhook list\`.` }] : []),
    ...troubles.filter(({ batchId }) => !ids.has(batchId)).map((of) =>
      ({ key: `trouble ${of.number}`, since: of.atUs, trouble: of,
      what: `Trouble ${of.number} (${of.source}): ${point(of.text)}` })),
  ];
}

function Todo() {
  const { data, error, again } = useAsked("todo", todo, ["batches", "legs", "access"]);
  return html`<${Card} title="What to do now" action=${html`<${AsCommand} line="tallystick todo" what="What to do now" />`}>
    <${Wrong} error=${error} again=${again} />
    ${!data ? !error && html`<${Skeleton} rows=${3} />` : data.length
      ? html`<ul class="todo">${data.map((one) => html`<li key=${one.key}>
      <div class="todo-of">${one.batch
        ? html`<a href=${`#/batches/${hex(one.batch.batchId)}`}>batch ${short(hex(one.batch.batchId))}
        </a> <${State} name=${one.batch.state} prefix="BATCH_STATE_" />` : one.href ? html`<a href=${one.href}>proposal</a>`
        : html`<span>engine</span>`}
        ${one.since && html`<span class="dim">for <${Since} us=${one.since} /></span>`}</div>
      <p><${Said} text=${one.what} /></p>${one.trouble && html`<${Do} call="AckTroubles" hide label="Take it away"
        ask=${() => ackTroubles([one.trouble.number])}
        line=${`tallystick trouble ack ${one.trouble.number} --note TEXT`} />`}</li>`)}</ul>`
      : html`<${Empty} title="Nothing to do">No batch waits for a person. The next one comes when a window is closed and
        batched: <a href="#/windows">Windows</a>.<//>`}
  <//>`;
}

const COLUMNS = [
  { name: "Batch", of: ({ batchId }) => html`<${Id} row id=${hex(batchId)} kind="batch"
    href=${`#/batches/${hex(batchId)}`} />` },
  { name: "State", of: ({ state }) => html`<${State} name=${state} prefix="BATCH_STATE_" />` },
  { name: "Computed", low: true, of: ({ computedAtUs }) => html`<${Time} us=${computedAtUs} />` },
  { name: "Windows", low: true, of: ({ windows = [] }) => (windows.length > 3 ? `${windows[0]}–${windows.at(-1)}`
    : windows.join(", ")) },
  { name: "Rail", low: true, of: ({ rail }) => rail },
  { name: "Legs", kind: "num", low: true, of: ({ legs }) => count(legs) },
  { name: "Total", kind: "money", of: ({ total, asset }) => html`<${Money} units=${total} asset=${asset} />` },
  { name: "By state", low: true, of: ({ legsByState = [] }) =>
    html`<span class="dim">${legsByState.map(({ state, legs }) => `${count(legs)} ${word(state, "LEG_STATE_")}`).join(" · ")}
    </span>` },
];

function All() {
  const pages = usePages("batches");
  const asked = { limit: SIZE + 1, newestFirst: true, ...(pages.begin ? { before: pages.begin } : {}) };
  const { data, error, again } = useAsked(JSON.stringify(asked), () => items("ListBatches", asked), ["batches", "legs"]);
  const rows = (data ?? []).slice(0, SIZE), next = (data ?? []).length > SIZE && rows.at(-1).computedLsn;
  return html`<${Page} title="Batches" about="From closed windows to legs that a rail moves.">
    <${Todo} />
    <${Card} title="All batches, the newest first"><${Wrong} error=${error} again=${again} />
      ${!data ? !error && html`<${Skeleton} rows=${8} />` : rows.length
        ? html`<${Table} caption="Batches" columns=${COLUMNS} rows=${rows} keyOf=${({ batchId }) => batchId} />
        <${Pager} ...${pages} size=${SIZE} shown=${rows.length} next=${next} onNext=${() => pages.onNext(next)}
          what="batches" />`
        : html`<${Empty} title="No batch yet">Close a window, then make a batch of it: <a href="#/windows">Windows</a>.<//>`}
          <//><//>`;
}

export default function Batches({ of: [id], who }) {
  if (id && !/^[0-9a-f]{64}$/.test(id)) return html`<${NoSuch} what="batch" href="#/batches" all="Batches" />`;
  return id ? html`<${OneBatch} id=${id} who=${who} key=${id} />` : html`<${All} />`;
}
