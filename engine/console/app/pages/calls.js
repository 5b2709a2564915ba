// Calls as the audit log has them: reads and refused ones, too.
import { html } from "../lib.js";
import { call, useAsked } from "../api.js";
import { micros } from "../format.js";
import { Pager, Table, usePages } from "../table.js";
import { AsCommand, Card, Empty, Skeleton, Time, Wrong } from "../ui.js";

const SIZE = 100;

/** When each of these last called. */
export async function lastUse(names) {
  const answers = await Promise.all(names.slice(-100).map((by) => call("ListCalls", { by, limit: 1 }).catch(() => ({}))));
  return Object.fromEntries(names.slice(-100).map((name, place) => [name, answers[place].calls?.[0]?.atUs]).filter(([, at]) => at));
}

const about = (of) => Object.entries(of ?? {}).map(([name, value]) => `${name} ${value}`).join(", ");
const COLUMNS = [
  { name: "When", of: ({ atUs }) => html`<${Time} us=${atUs} />` },
  { name: "Who", of: ({ name, role }) => html`${name || html`<span class="dim">nobody known</span>`} <span class="dim">${role}</span>` },
  { name: "Call", of: ({ call: of }) => html`<code>${of}</code>` },
  { name: "Result", of: ({ result }) => html`<span class=${`state ${result === "OK" ? "good" : "bad"}`}>${result}</span>` },
  { name: "About", low: true, of: ({ about: of }) => html`<span class="cut wide-cut" title=${typeof of === "string" ? of : about(of)}>${typeof of === "string" ? of : about(of) || "–"}</span>` },
  { name: "From", low: true, of: ({ from }) => html`<span class="num">${from}</span>` },
  { name: "Request", low: true, of: ({ requestId }) => (requestId ? html`<span class="cut id" title=${requestId}>${requestId}</span>` : html`<span class="dim">–</span>`) },
  { name: "Took", kind: "num", low: true, of: ({ tookUs }) => micros(Number(tookUs ?? 0)) },
];

export function Calls({ title, asked, line, empty }) {
  const key = JSON.stringify(asked), pages = usePages(key);
  const body = { ...asked, limit: SIZE, ...(pages.begin ? { next: pages.begin } : {}) };
  const { data, error, again } = useAsked(`calls ${JSON.stringify(body)}`, () => call("ListCalls", body), ["access"]);
  const rows = data?.calls ?? [];
  return html`<${Card} title=${title} action=${html`<button type="button" onClick=${again}>Look again</button><${AsCommand} line=${line} what=${title} />`}><${Wrong} error=${error} again=${again} />
    ${!data ? !error && html`<${Skeleton} rows=${8} />` : rows.length ? html`<${Table} caption=${title} columns=${COLUMNS} rows=${rows} keyOf=${(row) => `${row.atUs} ${row.call} ${row.from} ${row.requestId} ${row.tookUs}`} start=${pages.place * SIZE} />
      <${Pager} ...${pages} size=${SIZE} shown=${rows.length} next=${data.next} onNext=${() => pages.onNext(data.next)} what=${title} />` : empty ?? html`<${Empty} title="No call is so">Ask for less at once.<//>`}<//>`;
}
