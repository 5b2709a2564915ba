// Bundles: one signature over the totals of several channels. tests/vectors/bundles.json holds examples.
import { blake3 } from "@noble/hashes/blake3.js";
import { fromHex, integer, join } from "./bytes.js";
import { channelId } from "./voucher.js";
import type { AgentKey, Channel } from "./voucher.js";

const ENTRIES_MAX = 64;
const BUNDLE = Uint8Array.of(0x56, 0x02);

/** A channel and its total now. */
export interface BundleEntry {
  channel: Channel;
  cumulative: bigint;
}

// The option's name is `context`: @noble/hashes ignores any other, and the hash would be a plain one.
function derive(name: string, ...parts: Uint8Array[]): Uint8Array {
  return blake3(join(...parts), { context: new TextEncoder().encode(`tallystick 2026-11 ${name}`) });
}

/** What is signed: that each of these channels has this total now. 1 to 64 of them, in the order in which they are sent. */
export function bundleMessage(network: string, signer: string, entries: readonly BundleEntry[]): Uint8Array {
  const count = entries.length;
  if (count < 1 || count > ENTRIES_MAX) {
    throw new RangeError(`a bundle has 1 to ${ENTRIES_MAX} entries, not ${count}: sign several`);
  }
  let level = entries.map(({ channel, cumulative }) =>
    derive("bundle leaf v1", fromHex(channelId(network, signer, channel), 32, "the channel id"), integer(cumulative, 8)),
  );
  while (level.length > 1) {
    const above: Uint8Array[] = [];
    for (let at = 0; at < level.length; at += 2) {
      const pair = level.slice(at, at + 2);
      // An odd one moves up unchanged.
      above.push(pair.length === 2 ? derive("bundle node v1", ...pair) : join(...pair));
    }
    level = above;
  }
  const ids = [fromHex(network, 32, "the network id"), fromHex(signer, 32, "the signer")];
  return join(BUNDLE, derive("bundle v1", ...ids, integer(BigInt(count), 4), ...level));
}

/** A signed bundle: 96 bytes and 60 for each entry, as the field `packed_bundles` of a frame holds it. */
export function packedBundle(key: AgentKey, network: string, entries: readonly BundleEntry[]): Uint8Array {
  const signature = key.sign(bundleMessage(network, key.signer, entries));
  const parts = entries.flatMap(({ channel, cumulative }) => [
    fromHex(channel.payee, 32, "the payee"),
    integer(BigInt(channel.asset), 4),
    integer(channel.lane, 8),
    integer(channel.expiresAt, 8),
    integer(cumulative, 8),
  ]);
  return join(fromHex(key.signer, 32, "the signer"), signature, ...parts);
}
