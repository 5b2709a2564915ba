// Amounts are whole numbers of an asset's units; people write decimals. Nothing is ever rounded.
import { TallystickError } from "./errors.js";

/** An asset as the engine knows it. */
export interface Asset {
  /** `EUR`, or a CAIP-19 name. */
  code: string;
  number: number;
  /** One unit is 10^-scale. */
  scale: number;
}

/** `"0.0001"` in units of 10^-scale. An amount that has more digits than the asset is an error. */
export function units(text: string, { code, scale }: Asset): bigint {
  const found = /^(\d+)(?:\.(\d+))?$/.exec(text.trim());
  if (!found) throw new TallystickError(`"${text}" is no amount: write it as in 0.0001`);
  const [, before = "0", after = ""] = found;
  const digits = after.replace(/0+$/, "");
  if (digits.length > scale) {
    throw new TallystickError(`${text} ${code} has more digits than the asset's ${scale}: nothing is rounded here`);
  }
  return BigInt(before + digits.padEnd(scale, "0"));
}

/** The other way: `100n` with scale 6 is `"0.0001"`. */
export function decimal(amount: bigint, scale: number): string {
  const digits = amount.toString().padStart(scale + 1, "0");
  const after = scale ? digits.slice(-scale).replace(/0+$/, "") : "";
  return digits.slice(0, digits.length - scale) + (after && `.${after}`);
}

/** Takes a price apart: `"0.0001 EUR"`, `"$0.01"` and plain numbers, which are US dollars as everywhere in x402. */
export function parsePrice(price: string | number): { amount: string; code: string } {
  const text = typeof price === "number" ? written(price) : price.trim();
  const found = /^(\$)?\s*(\d+(?:\.\d+)?)(?:\s+(\S+))?$/.exec(text);
  if (!found || (found[1] && found[3])) {
    throw new TallystickError(`"${price}" is no price: write it as in "0.0001 EUR"`);
  }
  return { amount: found[2] ?? "0", code: found[3] ?? "USD" };
}

/** A number as its shortest decimals: small ones JavaScript writes as `1e-7`. */
function written(price: number): string {
  const [digits = "", exponent] = String(price).split("e-");
  if (exponent === undefined) return digits;
  const after = digits.split(".")[1]?.length ?? 0;
  return price.toFixed(Math.min(100, Number(exponent) + after));
}
