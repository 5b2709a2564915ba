// What the engine does right now: figures and charts, once a second, of the last five minutes.
import { html, useEffect, useMemo, useState } from "../lib.js";
import { link } from "../api.js";
import { age, bytes, count, micros } from "../format.js";
import { now } from "../live.js";
import { useStore } from "../store.js";
import { Bar, Card, Empty, Icon, Page, Since, Skeleton } from "../ui.js";
import { Table } from "../table.js";
import { Chart, Ring } from "./chart.js";
import { Said } from "./said.js";

const KEPT = 300; // seconds that the charts show
const REFUSED = (outcomes) => Object.entries(outcomes).filter(([name]) => !["credited", "stale"].includes(name)).reduce((all, [, value]) => all + value, 0);
const ms = (us) => (us === undefined || us === null ? null : us / 1000);
const rate = (value) => count(Math.round(value ?? 0));

const SERIES = {
  rates: [["credited", 1], ["stale", 2], ["refused", 3]],
  ack: [["p50", 1], ["p99", 2], ["p99.9", 3]],
};

/** What was told, as long as the page is open; while it pauses nothing is added. */
const rings = { rates: new Ring(KEPT, 3), ack: new Ring(KEPT, 3) };
now.listen((said) => {
  if (!said?.outcomes) return;
  rings.rates.add(said.atMs / 1000, [said.outcomes.credited ?? 0, said.outcomes.stale ?? 0, REFUSED(said.outcomes)]);
  rings.ack.add(said.atMs / 1000, [ms(said.ack?.p50), ms(said.ack?.p99), ms(said.ack?.p999)]);
});

function Tile({ name, value, more, tone }) {
  return html`<div class=${`tile ${tone ?? ""}`}><h3>${name}</h3><p class="big num">${value}</p><p class="dim">${more ?? " "}</p></div>`;
}

function Tiles({ of }) {
  const window = of.window ?? {}, disk = of.disk ?? {};
  return html`<div class="tiles" aria-label="Figures" role="group">
    <${Tile} name="Credited a second" value=${rate(of.outcomes?.credited)} more=${`${rate(of.outcomes?.stale)} stale, ${rate(REFUSED(of.outcomes ?? {}))} refused`} />
    <${Tile} name="Ack, p99" value=${micros(of.ack?.p99)} more=${`p50 ${micros(of.ack?.p50)}, p99.9 ${micros(of.ack?.p999)}`} />
    <${Tile} name="Groups a second" value=${rate(of.groups)} more=${of.fsyncMs === undefined ? "of the journal" : `of the journal, fsync ${micros(of.fsyncMs * 1000)}`} />
    <${Tile} name=${html`Open window <a href=${`#/windows/${window.number}`}>${window.number ?? "–"}</a>`} value=${count(window.vouchers)} more=${html`vouchers credited${window.sinceUs ? html`, open for <${Since} us=${String(window.sinceUs)} />` : ""}`} />
    <${Tile} name="Disk, free" value=${bytes(disk.free)} more=${disk.used === undefined ? "" : `${bytes(disk.used)} used by the ledger`} />
    <${Tile} name="Memory" value=${bytes(of.memory)} more="of the engine" /></div>`;
}

function Outcomes({ of }) {
  const rows = Object.entries(of.outcomes ?? {}).sort(([a, x], [b, y]) => y - x || a.localeCompare(b));
  const most = Math.max(1, ...rows.map(([, value]) => value));
  const shown = rows.filter(([name, value]) => value > 0 || ["credited", "stale", "bad_signature", "over_limit"].includes(name)).slice(0, 8);
  const columns = [{ name: "Outcome", of: ([name]) => name.replaceAll("_", " ") }, { name: "A second", kind: "num", of: ([, value]) => rate(value) }, { name: "Share", of: ([name, value]) => html`<${Bar} value=${value / most} tone=${name === "credited" ? "good" : name === "stale" ? "idle" : "bad"} label=${`${name}: ${rate(value)} a second`} />` }];
  return html`<${Table} caption="Outcomes" columns=${columns} rows=${shown} keyOf=${([name]) => name} />`;
}

function Queues({ of }) {
  const columns = [{ name: "Queue", of: ({ name }) => name }, { name: "Depth", kind: "num", of: ({ depth }) => count(depth) }, { name: "Bound", kind: "num", of: ({ bound }) => (bound ? count(bound) : "–") },
    { name: "Full", of: ({ name, depth, bound }) => (bound ? html`<${Bar} value=${depth / bound} tone=${depth / bound > 0.9 ? "bad" : depth / bound > 0.6 ? "warn" : "good"} label=${`${name}: ${Math.round((100 * depth) / bound)} % full`} />` : "") }];
  return html`<${Table} caption="Queues" columns=${columns} rows=${of.queues ?? []} keyOf=${({ name }) => name} />`;
}

function Alarms({ of }) {
  const all = of.alarms ?? [];
  return html`<${Card} title="Alarms" wide><div class="alarms" role="status">${all.length ? all.map(({ level, text, todo }) => html`<div class=${`alarm ${level === "critical" ? "bad" : ""}`} key=${text}><strong>${level}</strong> ${text}${todo ? html` <${Said} text=${todo} />` : ""}</div>`) : html`<p class="calm"><span class="state good">all is well</span> <span class="dim">Nothing keeps the engine from going on. What waits for a person is in <a href="#/batches">Batches</a>.</span></p>`}</div><//>`;
}

export default function Now() {
  const latest = useStore(now), state = useStore(link);
  const [held, hold] = useState(undefined);
  const of = held ?? latest;
  useEffect(() => {
    for (const ring of Object.values(rings)) ring.held = !!held;
    return () => Object.values(rings).forEach((ring) => (ring.held = false));
  }, [held]);
  const charts = useMemo(() => ({ rates: SERIES.rates, ack: SERIES.ack }), []);
  const actions = html`<button type="button" aria-pressed=${!!held} onClick=${() => hold(held ? undefined : latest)}><${Icon} name=${held ? "play" : "pause"} /> ${held ? "Go on" : "Pause"}</button>`;
  if (!of) return html`<${Page} title="Now" actions=${actions}><div class="card"><${Skeleton} rows=${12} /></div><//>`;
  if (!of.outcomes) return html`<${Page} title="Now"><${Empty} title="Not for your role">Figures of the engine are for operators, approvers and auditors.<//><//>`;
  return html`<${Page} title="Now" about=${html`${held ? "Paused. " : state === "reconnecting" ? "The engine does not answer: these are its last figures. " : ""}Up for ${age(of.atMs - of.startedAtUs / 1000)}, at record ${count(of.lsn)}, signatures checked by ${of.backendText || of.backend}.`} actions=${actions}>
    <${Alarms} of=${of} /><${Tiles} of=${of} />
    <div class="grid"><${Card} title="Vouchers a second"><${Chart} ring=${rings.rates} series=${charts.rates} held=${!!held} unit="a second" /><//>
      <${Card} title="Ack latency, milliseconds"><${Chart} ring=${rings.ack} series=${charts.ack} held=${!!held} unit="ms" /><//>
      <${Card} title="Outcomes"><${Outcomes} of=${of} /><//><${Card} title="Queues"><${Queues} of=${of} /><//></div><//>`;
}

