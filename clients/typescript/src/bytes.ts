// Bytes, as the wire wants them. Nothing here needs Node.

/** Bytes from hexadecimal digits; `size` of them, or an error that says what was expected. */
export function fromHex(text: string, size: number, what: string): Uint8Array {
  if (text.length !== size * 2 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw new TypeError(`${what} must be ${size * 2} hexadecimal digits`);
  }
  return Uint8Array.from({ length: size }, (_, at) => parseInt(text.slice(at * 2, at * 2 + 2), 16));
}

/** Bytes as small hexadecimal digits. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** An unsigned integer, little endian. It must fit. */
export function integer(value: bigint, size: number): Uint8Array {
  if (value < 0n || value >> BigInt(size * 8)) {
    throw new RangeError(`${value} does not fit into ${size} bytes`);
  }
  return Uint8Array.from({ length: size }, (_, at) => Number((value >> BigInt(at * 8)) & 0xffn));
}

/** All of it in a row. */
export function join(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Base64 as URLs and JSON Web Tokens have it. */
export function base64url(bytes: Uint8Array): string {
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** Digits of a whole number that fits into 64 bits; undefined for anything else. */
export function whole(value: unknown): bigint | undefined {
  if (typeof value !== "string" || !/^\d{1,20}$/.test(value)) return undefined;
  const number = BigInt(value);
  return number >> 64n ? undefined : number;
}
