// Amounts, ids, times and states as people read them. No floats: amounts are whole units, as text or BigInt.

/** `units` (text) in wholes of an asset with this scale: "-1,234.500000". */
export function wholes(units, scale) {
  const value = BigInt(units || "0");
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, "0");
  const cut = digits.length - scale;
  const whole = digits.slice(0, cut).replace(/\B(?=(\d{3})+$)/g, ",");
  return (value < 0n ? "−" : "") + whole + (scale ? `.${digits.slice(cut)}` : "");
}

/**
 * What somebody typed ("1,234.5") in units, as text; undefined if it is no amount of this asset. A comma stands between
 * thousands alone: in half of the world it is the point.
 */
export function units(text, scale) {
  const match = /^(\d+|\d{1,3}(?:,\d{3})+)(?:\.(\d+))?$/.exec(text.trim());
  if (!match || (match[2] ?? "").length > scale) return undefined;
  return BigInt(match[1].replaceAll(",", "") + (match[2] ?? "").padEnd(scale, "0")).toString();
}

/** Why `units` does not take it, and what to write. */
export function noAmount(text, scale) {
  const [whole, ...rest] = text.trim().split(".");
  if (whole.includes(",") && !/^\d{1,3}(,\d{3})+$/.test(whole) && /^[\d,]*$/.test(whole + rest.join(""))) {
    return `A comma stands between thousands: write ${scale ? "1.50, or 1,500.00" : "1500, or 1,500"}.`;
  }
  return scale ? `An amount with at most ${scale} digits behind the point, like 1,234.50.` : "A whole amount, like 1,234.";
}

/** The share of two amounts in thousandths: for the length of a bar, never for a sum. */
export function share(part, whole) {
  const [a, b] = [BigInt(part || "0"), BigInt(whole || "0")];
  return b === 0n ? 0 : Number(((a < 0n ? -a : a) * 1000n) / (b < 0n ? -b : b)) / 1000;
}

/** As `share`, of what somebody may owe: whoever owes and may owe nothing is beyond any share. */
export function used(unsettled, room) {
  return BigInt(room || "0") === 0n && BigInt(unsettled || "0") !== 0n ? Infinity : share(unsettled, room);
}

export const abs = (value) => (BigInt(value || "0") < 0n ? -BigInt(value) : BigInt(value || "0"));
export const sum = (values) => values.reduce((all, value) => all + BigInt(value || "0"), 0n).toString();

/** Bytes come and go as base64; people see hexadecimal digits. */
export function hex(base64) {
  return Array.from(atob(base64 ?? ""), (letter) => letter.charCodeAt(0).toString(16).padStart(2, "0")).join("");
}

export function base64(digits) {
  return btoa((digits.match(/../g) ?? []).map((pair) => String.fromCharCode(parseInt(pair, 16))).join(""));
}

export const CLEARING = "00".repeat(32);
export const short = (id) => (id.length > 16 ? id.slice(0, 8) + "…" + id.slice(-4) : id);
/** As the command line takes ids: the first digits do. */
export const typed = (id) => (id.length > 32 ? id.slice(0, 16) : id);

export const count = (value) => String(value ?? 0).replace(/\B(?=(\d{3})+$)/g, ",");

/** "BATCH_STATE_SETTLED_WITH_CARRY" -> "settled with carry". */
export function word(name, prefix) {
  return (name ?? "").replace(prefix, "").replaceAll("_", " ").toLowerCase();
}

const TONES = {
  open: "info", closed: "idle", disputed: "bad", batched: "warn", settled: "good", computed: "warn", approved: "info",
  submitting: "info", "settled with carry": "good", aborted: "idle", ready: "idle", sent: "info", accepted: "info",
  unknown: "bad", confirmed: "good", rejected: "warn", returned: "warn", void: "idle", withdrawn: "idle",
};
export const tone = (state) => TONES[state] ?? "idle";

const pad = (value) => String(value).padStart(2, "0");
/** Microseconds since 1970 as "2026-11-30 13:18:43", in UTC or in local time. */
export function clock(us, local = false) {
  const at = new Date(Number(us) / 1000);
  if (local) {
    return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  }
  return at.toISOString().slice(0, 19).replace("T", " ");
}

/** How long: "3 min", "2 h 5 min", "4 d 3 h". */
export function age(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000)), minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  if (minutes < 1) return `${seconds} s`;
  if (hours < 1) return `${minutes} min`;
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function bytes(value) {
  const steps = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = Number(value ?? 0), step = 0;
  while (size >= 1024 && step < steps.length - 1) {
    size /= 1024;
    step += 1;
  }
  return `${size.toFixed(step && size < 100 ? 1 : 0)} ${steps[step]}`;
}

/** Microseconds as they are felt: "850 µs", "1.24 ms". */
export function micros(us) {
  if (us === undefined || us === null) return "–";
  if (us < 1000) return `${Math.round(us)} µs`;
  return us < 1_000_000 ? `${(us / 1000).toFixed(us < 10_000 ? 2 : 1)} ms` : `${(us / 1_000_000).toFixed(2)} s`;
}

/** What is written, with what turns writing round or is not seen made visible: "\\u{202e}". */
export const clear = (text) => String(text ?? "").replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu,
  (letter) => `\\u{${letter.codePointAt(0).toString(16)}}`);

/** A word of the command line, quoted where a shell would take it apart. */
export function quoted(text) {
  return /^[\w.,:@/=+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** An option with what somebody wrote: behind `=`, for it may look like an option itself. */
export const option = (name, text, otherwise) => {
  const said = (otherwise ? text : text?.trim()) || otherwise;
  return said ? ` --${name}=${quoted(said)}` : "";
};
