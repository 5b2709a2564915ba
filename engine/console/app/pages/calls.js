// Calls as the audit log has them: reads and refused ones, too.
import { html } from "../lib.js";
import { call, useAsked } from "../api.js";
import { micros } from "../format.js";
import { Pager, Table, usePages } from "../table.js";
import { AsCommand, Card, Empty, Skeleton, Time, Wrong } from "../ui.js";

const SIZE = 100, NAMES = 50, CALLS = 10;

/** When a call came, in microseconds since 1970. */
const at = (line) => String(Date.parse(line.at) * 1000);

/** Lines until there are enough: one call looks through a bounded number of them, and may find none. */
async function lines(asked, limit) {
  const found = [];
  let next, calls = 0;
  do {
    const answer = await call("ListAuditLog", { ...asked, limit: limit - found.length, ...(next ? { next } : {}) });
    found.push(...(answer.lines ?? []));
    next = answer.next;
    calls += 1;
  } while (next && found.length < limit && calls < CALLS);
  return { found, next };
}

/** When each of these last called, as far as one look goes back. */
export async function lastUse(names) {
  const some = names.slice(0, NAMES);
  const answers = await Promise.all(some.map((name) => call("ListAuditLog", { name, limit: 1 })));
  return Object.fromEntries(some.map((name, place) => [name, answers[place].lines?.[0]]).filter(([, line]) =>
    line).map(([name, line]) => [name, at(line)]));
}

const about = (of) => Object.entries(of ?? {}).map(([name, value]) => `${name} ${value}`).join(", ");
const COLUMNS = [
  { name: "When", of: (line) => html`<${Time} us=${at(line)} />` },
  { name: "Who", of: ({ name, role }) => html`${name || html`<span class="dim">nobody known</span>`} <span class="dim">
    ${role}</span>` },
  { name: "Call", of: ({ call: of }) => html`<code>${of}</code>` },
  { name: "Result", of: ({ result }) => html`<span class=${`state ${result === "OK" ? "good" : "bad"}`}>${result}</span>` },
  { name: "About", low: true, of: ({ about: of }) => html`<span class="cut wide-cut" title=${about(of)}>${about(of) || "–"}
    </span>` },
  { name: "From", low: true, of: ({ from }) => html`<span class="num">${from}</span>` },
  { name: "Request", low: true, of: ({ requestId }) => (requestId
    ? html`<span class="cut id" title=${requestId}>${requestId}</span>` : html`<span class="dim">–</span>`) },
  { name: "Took", kind: "num", low: true, of: ({ tookUs }) => micros(Number(tookUs ?? 0)) },
];
const keyOf = (line) => `${line.at} ${line.call} ${line.from} ${line.requestId} ${line.tookUs}`;

function Shown({ title, rows, line, note = "On the engine's machine, from its files.", again, error, data, empty, children, start }) {
  return html`<${Card} title=${title} action=${html`<button type="button" onClick=${again}>Look again</button>
    <${AsCommand} line=${line} what=${title} note=${note} />`}><${Wrong} error=${error} again=${again} />
    ${!data ? !error && html`<${Skeleton} rows=${8} />` : rows.length
      ? html`<${Table} caption=${title} columns=${COLUMNS} rows=${rows} keyOf=${keyOf} start=${start} />${children}` : empty}
      <//>`;
}

/** A page after the other. */
export function Calls({ title, asked, line }) {
  const pages = usePages(JSON.stringify(asked));
  const body = { ...asked, limit: SIZE, ...(pages.begin ? { next: pages.begin } : {}) };
  const { data, error, again } = useAsked(`calls ${JSON.stringify(body)}`, () => call("ListAuditLog", body));
  const rows = data?.lines ?? [];
  return html`<${Shown} title=${title} rows=${rows} line=${line} again=${again} error=${error} data=${data}
    start=${pages.place * SIZE}
    empty=${data?.next ? html`<${Pager} ...${pages} size=${SIZE} shown=${0} next=${data.next}
      onNext=${() => pages.onNext(data.next)} what=${title} />`
      : html`<${Empty} title="No call found">None is like that: name fewer things above.<//>`}>
    <${Pager} ...${pages} size=${SIZE} shown=${rows.length} next=${data?.next} onNext=${() => pages.onNext(data.next)}
      what=${title} /><//>`;
}

const DENIED = ["UNAUTHENTICATED", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED"];

/** The newest that were refused for who asked, what they may, or how often. */
export function Denied() {
  const { data, error, again } = useAsked("denied", async () => {
    const all = await Promise.all(DENIED.map((result) => lines({ result }, SIZE)));
    return all.flatMap(({ found }) => found).sort((a, b) => (a.at < b.at ? 1 : -1)).slice(0, SIZE);
  });
  return html`<${Shown} title="Denied calls, the newest first" rows=${data ?? []} line=${`tallystick audit-log --data-dir DIR --result ${DENIED.join(" --result ")}`}
    note="On the engine's machine, from its files."
    again=${again} error=${error} data=${data}
    empty=${html`<${Empty} title="Nothing was denied">Calls with a wrong key, or beyond a role, appear here.<//>`} />`;
}
