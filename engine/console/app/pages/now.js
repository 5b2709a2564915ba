// What the engine does right now: figures and charts, once a second, of the last five minutes.
import { html, useEffect, useMemo, useState } from "../lib.js";
import { link, useCall } from "../api.js";
import { age, bytes, count, micros } from "../format.js";
import { now, why } from "../live.js";
import { useStore } from "../store.js";
import { Bar, Card, Empty, Icon, Page, Since, Skeleton } from "../ui.js";
import { Table } from "../table.js";
import { Chart, Ring } from "./chart.js";
import { Said } from "./said.js";

const HOUR = 3_600_000;
const KEPT = 300; // seconds that the charts show
const refused = (outcomes = {}) => Object.entries(outcomes).filter(([name]) =>
  !["credited", "stale"].includes(name)).reduce((all, [, value]) => all + value, 0);
const ms = (us) => (us === undefined || us === null ? null : us / 1000);
const rate = (value) => count(Math.round(value ?? 0));

const SERIES = {
  rates: [["credited", 1], ["stale", 2], ["refused", 3]],
  ack: [["p50", 1], ["p99", 2], ["p99.9", 3]],
};

/** What was told, as long as the page is open; while it pauses nothing is added. */
const rings = { rates: new Ring(KEPT, 3), ack: new Ring(KEPT, 3) };
now.listen((said) => {
  if (!said?.vouchersPerSecond) return;
  const { vouchersPerSecond: rates, ackUs: ack = {} } = said;
  rings.rates.add(said.atMs / 1000, [rates.credited ?? 0, rates.stale ?? 0, refused(rates)]);
  rings.ack.add(said.atMs / 1000, [ms(ack.p50), ms(ack.p99), ms(ack.p999)]);
});

function Tile({ name, value, more, tone }) {
  return html`<div class=${`tile ${tone ?? ""}`}><h3>${name}</h3><p class="big num">${value}</p><p class="dim">${more ?? " "}
    </p></div>`;
}

function Tiles({ of }) {
  const { window = {}, disk = {}, journal = {}, ackUs = {}, vouchersPerSecond: rates = {} } = of;
  return html`<div class="tiles" aria-label="Figures" role="group">
    <${Tile} name="Credited a second" value=${rate(rates.credited)}
      more=${`${rate(rates.stale)} stale, ${rate(refused(rates))} refused`} />
    <${Tile} name="Ack, p99" value=${micros(ackUs.p99)} more=${`p50 ${micros(ackUs.p50)}, p99.9 ${micros(ackUs.p999)}`} />
    <${Tile} name="Groups a second" value=${rate(journal.groupsPerSecond)}
      more=${`of the journal, fsync p99 ${micros(journal.syncUs?.p99)}`} />
    <${Tile} name="Open window" value=${html`<a href=${`#/windows/${window.number}`}>${window.number ?? "–"}</a>`}
      more=${window.sinceMs ? html`open for <${Since} us=${String(window.sinceMs * 1000)} />` : "the first one"} />
    <${Tile} name="Disk, free" tone=${disk.low ? "is-bad" : ""} value=${bytes(disk.freeBytes)}
      more=${`vouchers are taken above ${bytes(disk.reserveBytes)}`} />
    <${Tile} name="Memory" value=${bytes(of.memoryBytes)} more=${`of the engine, up for ${age(of.uptimeMs)}`} /></div>`;
}

function Outcomes({ of }) {
  const rates = { credited: 0, stale: 0, ...of.vouchersPerSecond };
  // In the order of what there was since the start, so that rows do not change places.
  const shown = Object.entries(rates).sort(([a], [b]) => (of.vouchers?.[b] ?? 0) - (of.vouchers?.[a] ?? 0)
    || a.localeCompare(b)).slice(0, 8);
  const most = Math.max(1, ...Object.values(rates));
  const columns = [{ name: "Outcome", of: ([name]) => name.replaceAll("_", " ") },
    { name: "A second", kind: "num", of: ([, value]) => rate(value) },
    { name: "Since the start", kind: "num", low: true, of: ([name]) => count(of.vouchers?.[name]) },
    { name: "Share", of: ([name, value]) => html`<${Bar} value=${value / most}
    tone=${name === "credited" ? "good" : name === "stale" ? "idle" : "bad"}
    label=${`${name}: ${rate(value)} a second`} />` }];
  return html`<${Table} caption="Outcomes" columns=${columns} rows=${shown} keyOf=${([name]) => name} />`;
}

function Queues({ of }) {
  const columns = [{ name: "Queue", of: ({ name }) => name },
    { name: "Depth", kind: "num", of: ({ depth }) => count(depth) },
    { name: "Bound", kind: "num", of: ({ bound }) => (bound ? count(bound) : "–") },
    { name: "Full", of: ({ name, depth, bound }) => (bound ? html`<${Bar} value=${depth / bound}
      tone=${depth / bound > 0.9 ? "bad" : depth / bound > 0.6 ? "warn" : "good"}
      label=${`${name}: ${Math.round((100 * depth) / bound)} % full`} />` : "") }];
  return html`<${Table} caption="Queues" columns=${columns} rows=${of.queues ?? []} keyOf=${({ name }) => name} />`;
}

/** What waits for a person, as `tallystick status --check` says it. */
function waits({ legsUnknown = "0", proposalsOpen = "0", oldestComputedUs = "0", schedule = [] } = {}) {
  const legs = (number) => (number === "1" ? "1 leg is" : `${count(number)} legs are`);
  const since = (us) => age(Date.now() - Number(us) / 1000);
  return [
    legsUnknown !== "0" && html`<a href="#/legs?state=UNKNOWN">${legs(legsUnknown)}
      </a> UNKNOWN: find out what became of ${legsUnknown === "1" ? "it" : "them"}.`,
    proposalsOpen !== "0" && html`Waiting for a second person: <a href="#/access">${count(proposalsOpen)} proposed</a>.`,
    oldestComputedUs !== "0" && Date.now() - Number(oldestComputedUs) / 1000 > HOUR
      && html`<a href="#/batches">A batch</a> has waited for its approval for ${since(oldestComputedUs)}.`,
    ...schedule.filter(({ trouble }) => trouble).map((of) =>
      html`The schedule of asset ${of.asset} is held up: ${of.trouble}`),
  ].filter(Boolean);
}

function Alarms({ of }) {
  const { data: status } = useCall("GetStatus", {}, ["batches", "legs", "access", "windows"]);
  const all = of.alarms ?? [], more = waits(status);
  return html`<${Card} title="Alarms" wide><div class="alarms" role="status">
    ${all.map((text) => html`<div class=${`alarm ${text.includes("wait for a person") ? "" : "bad"}`} key=${text}>
      <${Said} text=${text} /></div>`)}
    ${more.map((text, place) => html`<div class="alarm" key=${place}>${text}</div>`)}
    ${!all.length && !more.length && html`<p class="calm"><span class="state good">all is well</span>${" "}
      <span class="dim">Nothing keeps the engine from going on, and nothing waits for a person.</span></p>`}
    </div><//>`;
}

export default function Now() {
  const latest = useStore(now), state = useStore(link), reason = useStore(why);
  const [held, hold] = useState(undefined);
  const of = held ?? latest;
  useEffect(() => {
    for (const ring of Object.values(rings)) ring.held = !!held;
    return () => Object.values(rings).forEach((ring) => (ring.held = false));
  }, [held]);
  const charts = useMemo(() => ({ rates: SERIES.rates, ack: SERIES.ack }), []);
  const actions = html`<button type="button" aria-pressed=${!!held} onClick=${() => hold(held ? undefined : latest)}>
    <${Icon} name=${held ? "play" : "pause"} /> ${held ? "Go on" : "Pause"}</button>`;
  if (!of) {
    // What waits for a person is known before the first figures are told.
    return html`<${Page} title="Now" about="Figures come once a second." actions=${actions}><${Alarms} of=${{}} />
      <div class="card">${reason ? html`<${Empty} title="The engine tells this page no figures">${reason}. It is asked
        again by itself.<//>` : html`<${Skeleton} rows=${12} />`}</div><//>`;
  }
  if (!of.vouchersPerSecond) return html`<${Page} title="Now">
    <${Empty} title="Not for your role">Figures of the engine are for operators, approvers and auditors.<//><//>`;
  return html`<${Page} title="Now" about=${html`${held ? "Paused. " : state === "reconnecting"
    ? "The engine does not answer: these are its last figures. " : state === "refused"
    ? `These are not the newest figures: ${reason}. ` : ""}At record ${count(of.position)}. Signatures are checked
    by ${of.verify?.text || of.verify?.backend}, on ${of.verify?.threads} threads.`} actions=${actions}>
    <${Alarms} of=${of} /><${Tiles} of=${of} />
    <div class="grid"><${Card} title="Vouchers a second"><${Chart} ring=${rings.rates} series=${charts.rates} held=${!!held}
      unit="a second" /><//>
      <${Card} title="Ack latency, milliseconds"><${Chart} ring=${rings.ack} series=${charts.ack} held=${!!held} unit="ms" />
        <//>
      <${Card} title="Outcomes"><${Outcomes} of=${of} /><//><${Card} title="Queues"><${Queues} of=${of} /><//></div><//>`;
}

