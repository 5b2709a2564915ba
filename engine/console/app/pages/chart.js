// Charts of what was told lately. A ring holds so many seconds and no more.
import { html, useEffect, useRef, useState } from "../lib.js";
import { theme, useStore } from "../store.js";

/** The last `size` points of several series. */
export class Ring {
  constructor(size, series) {
    this.size = size;
    this.data = Array.from({ length: series + 1 }, () => []);
    this.held = false;
    this.listeners = new Set();
  }

  add(at, values) {
    if (this.held || at <= (this.data[0].at(-1) ?? 0)) return;
    [at, ...values].forEach((value, place) => {
      this.data[place].push(value);
      if (this.data[place].length > this.size) this.data[place].shift();
    });
    for (const listener of this.listeners) listener();
  }
}

const HEIGHT = 190;
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

function options(width, series) {
  const font = "11px system-ui, sans-serif", axis = { stroke: color("--dim"), font,
    grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
  const time = (_, ticks) => ticks.map((at) => new Date(at * 1000).toISOString().slice(11, 19));
  return {
    width, height: HEIGHT, legend: { show: false }, cursor: { y: false, points: { size: 6 } },
    scales: { x: { time: true }, y: { range: (_, least, most) => [0, Math.max(1, (most ?? 0) * 1.15)] } },
    axes: [{ ...axis, size: 26, values: time, space: 90, incrs: [1, 2, 5, 10, 15, 30, 60, 120] },
      { ...axis, size: 52, values: (_, ticks) => ticks.map((value) => compact.format(value)) }],
    series: [{}, ...series.map(([label, place]) => ({ label, stroke: color(`--chart-${place}`), width: 1.6,
      points: { size: 4 }, spanGaps: false, dash: place === 2 ? [6, 3] : place === 3 ? [2, 3] : undefined }))],
  };
}

export function Chart({ ring, series, unit }) {
  const place = useRef(null), [last, setLast] = useState([]);
  const look = useStore(theme), [dark, setDark] = useState(matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const media = matchMedia("(prefers-color-scheme: dark)"), changed = () => setDark(media.matches);
    media.addEventListener("change", changed);
    return () => media.removeEventListener("change", changed);
  }, []);
  useEffect(() => {
    let plot, gone = false, watcher;
    const show = () => setLast(ring.data.slice(1).map((values) => values.at(-1)));
    const draw = () => {
      plot?.setData(ring.data);
      show();
    };
    show();
    ring.listeners.add(draw);
    import("../../vendor/uPlot.esm.js").then(({ default: Plot }) => {
      if (gone) return;
      plot = new Plot(options(place.current.clientWidth, series), ring.data, place.current);
      watcher = new ResizeObserver(() => plot.setSize({ width: place.current.clientWidth, height: HEIGHT }));
      watcher.observe(place.current);
    });
    return () => {
      gone = true;
      ring.listeners.delete(draw);
      watcher?.disconnect();
      plot?.destroy();
    };
  }, [ring, look, dark]);
  const said = series.map(([label], at) => [label, last[at] === undefined || last[at] === null ? "–"
    : compact.format(last[at])]);
  return html`<div class="chart"><ul class="legend">${said.map(([label, value], at) =>
    html`<li key=${label}><svg viewBox="0 0 22 4" aria-hidden="true" class=${`key key-${at + 1}`}><path d="M0 2h22" /></svg>
    ${label} <strong class="num">${value}</strong></li>`)}</ul>
    <div ref=${place} class="plot" role="img" aria-label=${`The last five minutes; now ${said.map(([label, value]) =>
      `${label} ${value}`).join(", ")} ${unit}`}></div></div>`;
}
