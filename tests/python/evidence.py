"""Checks an evidence export and proofs, written from docs/FORMATS.md alone: shares nothing with the engine.

    evidence.py FILE [PROOF_OR_RECEIPT ...]

Re-derives channel ids, signatures, obligations, positions, roots, the chain of events and the engine's keys.
Exits 0 only if all hold.
"""
import json
import pathlib
import struct
import sys
from collections import defaultdict

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import wire

ZERO = bytes(32)
# How many bytes the fields of each kind of event take at the end of its body, behind the envelope.
FIELDS = {16: 17, 18: 72, 19: 32, 20: 52, 21: 60, 22: 96, 23: 49, 24: 40, 25: 168, 26: 72, 32: 8, 34: 152, 35: 16,
          36: 16, 54: 40, 58: 44, 59: 112, 60: 72, 61: 206, 62: 96, 63: 141, 65: 16, 66: 8, 67: 117, 90: 71, 91: 8,
          92: 41, 110: 9}


class Wrong(Exception):
    """Something is not as it must be."""


def must(holds, what):
    if not holds:
        raise Wrong(what)


def derive(context, data):
    return blake3(data, derive_key_context=f"tallystick 2026-11 {context}").digest()


def signed(key, signature, data, what):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
    except InvalidSignature as wrong:
        raise Wrong(f"{what}: the signature is not valid") from wrong


def numbers(layout, data):
    return struct.unpack("<" + layout, data)


def siblings(place, count):
    """Of each digest of a path, from the leaf up: whether it is on the left."""
    while count > 1:
        if place ^ 1 < count:
            yield place % 2 == 1
        place, count = place // 2, (count + 1) // 2


def pieces_of(data):
    """The pieces that lie one after the other: each says how long its path is."""
    at, found = 0, []
    while at < len(data):
        place, count = data[at + 84:at + 86]
        end = at + 176 + 32 * len(list(siblings(place, count)))
        must(end <= len(data), "a whole piece of evidence")
        found.append(Piece(data[at:end]))
        at = end
    return found


class Piece:
    """One piece of evidence: a voucher, or an entry of a bundle with its path."""

    def __init__(self, data):
        self.data = data
        self.before, self.lsn = numbers("QQ", data[:16])
        v, self.path = data[16:176], rows(data[176:], 32)
        self.channel = v[:68] + v[72:88]
        self.signer, self.payee, self.signature = v[:32], v[32:64], v[96:]
        self.asset, self.reserved, self.lane, self.expires_at, self.cumulative = numbers(
            "IIQqQ", v[64:96])

    def check(self, network):
        """The voucher by its own bytes; gives its channel."""
        must(self.cumulative > self.before, "a voucher's rise")
        channel = wire.channel_id(
            network, self.signer, self.payee, self.asset, self.lane, self.expires_at)
        if self.reserved == 0:
            must(self.path == [], "a voucher has no path")
            message = b"\x56\x01" + channel + struct.pack("<Qq", self.cumulative, self.expires_at)
        else:
            message = b"\x56\x02" + self.bundle(network, channel)
        signed(self.signer, self.signature, message, f"channel {channel.hex()}")
        return channel

    def bundle(self, network, channel):
        """What the path gives for an entry: the hash that the signature is over."""
        place, count, zeros = self.reserved & 255, self.reserved >> 8 & 255, self.reserved >> 16
        must(place < count <= 64 and zeros == 0, "an entry's place")
        sides = list(siblings(place, count))
        must(len(sides) == len(self.path), "an entry's path")
        digest = derive("bundle leaf v1", channel + struct.pack("<Q", self.cumulative))
        for is_left, other in zip(sides, self.path):
            digest = derive("bundle node v1", other + digest if is_left else digest + other)
        return derive("bundle v1", network + self.signer + struct.pack("<I", count) + digest)


def obligation_leaf(window, asset, kind, payer, payee, amount, digest):
    head = struct.pack("<QIB", window, asset, kind) + payer + payee
    return head + amount.to_bytes(16, "little") + digest


def position_leaf(window, asset, party, net):
    return struct.pack("<QIB", window, asset, 2) + party + net.to_bytes(16, "little", signed=True)


def window_root(window, assets):
    body = b"".join(struct.pack("<I", asset) + left + right for asset, left, right in assets)
    return derive("window root v1", struct.pack("<QQ", window, len(assets)) + body)


def window_statement(network, window, root, cut, credited):
    """`cut` is position, digest and timestamp of the record that closed it."""
    lsn, digest, at = cut
    body = network + struct.pack("<Q", window) + root
    body += struct.pack("<Q32sqQ", lsn, digest, at, credited)
    return derive("window statement v2", body)


def text(body, place):
    """The text whose field is at a place of a body."""
    field = body[place:place + 8]
    if field[0] & 0xc0 != 0x80:
        return field.rstrip(b"\xff")
    length, offset = numbers("Ii", field)
    length = length & 63 | length >> 8 << 6
    return body[place + offset:place + offset + length]


def listed(body, place):
    """Where the elements of the list are whose field is at a place of a body, and how many there are."""
    offset, count = numbers("iI", body[place:place + 8])
    return place + offset, count


def sized(said):
    """A text as it is signed: its length, and its bytes."""
    return struct.pack("<I", len(said)) + said


def sealed_party(body):
    """The sealed name of a party, and its sealed accounts by rail."""
    at, count = listed(body, len(body) - 17)
    name = body[at:at + count]
    first, rails = listed(body, len(body) - 8)
    accounts = {}
    for place in (first + 16 * n for n in range(rails)):
        at, count = listed(body, place + 8)
        accounts[text(body, place)] = body[at:at + count]
    return name, accounts


def sections(data):
    """The sections of an export, each (kind, body)."""
    must(data[:16] in (b"TALLYEXP\x02" + bytes(7), b"TALLYEXP\x03" + bytes(7)), "the file header")
    # From version 3 on the first digest covers the header.
    at, link, kind = 16, ZERO if data[8] == 2 else data[:16] + bytes(16), 0
    while kind != 8:
        must(len(data) >= at + 8, "the file is cut")
        kind, zeros, length = data[at], data[at + 1:at + 4], numbers("I", data[at + 4:at + 8])[0]
        end = at + 8 + length
        must(zeros == bytes(3) and len(data) >= end + 32, "a section's head")
        link = derive("export section v1", link + data[at:end])
        must(data[end:end + 32] == link, "a section's digest")
        yield kind, data[at + 8:end]
        at = end + 32
    must(at == len(data), "nothing after the end")


class History:
    """What the events say."""

    def __init__(self, records):
        self.signers, self.parties, self.cuts, self.seals, self.keys = {}, {}, {}, {}, []
        self.network, self.batches, self.first = None, 0, 2
        # Operators' own keys: those in force, and all that there ever were.
        self.own, self.had, self.signed = {}, set(), 0
        link, last, at, self.digests = ZERO, 0, None, {}
        for record in records:
            head, body = record[:128], record[128:]
            version, kind, zero, _, lsn, time, count, length = numbers("HBBIQqII", head[:32])
            must((version, zero, count, length) == (5, 0, 1, len(body)), f"record {lsn}: its head")
            must(derive("journal record v2", head[:96] + body) == head[96:], f"record {lsn}: digest")
            must(head[64:96] == link and lsn > last, f"record {lsn}: its event link")
            must(at is None or time >= at, f"record {lsn}: time goes back")
            must((lsn == 1) == (kind == 1) and kind not in (2, 3, 4), f"record {lsn}: genesis first")
            link, last, at = head[96:], lsn, time
            self.take(kind, lsn, time, body, link)
            self.digests[lsn] = link
        self.last = last

    def end(self, body):
        """The signed end of the export."""
        lsn, digest, _, key, signature = numbers("Q32sq32s64s", body)
        must(lsn == self.last and digest == self.digests[lsn], "the end names the last event")
        must(key == self.keys[-1], "the end's key")
        signed(key, signature, derive("export end v1", self.network + body[:48]), "the end")

    def caller(self, kind, body):
        """Who made an event happen: the name, and whether there was a request. The envelope stands before the fields."""
        must(kind in FIELDS, f"kind {kind} is known")
        place = len(body) - FIELDS[kind] - 51
        name, (role, via, asked) = text(body, place), body[place + 8:place + 11]
        must((role, via, name) in ((0, 0, b""), (0, 1, b"schedule"), (2, 2, b""))
             or (role, via) == (1, 2) and name not in (b"", b"schedule")
             or role in (1, 3, 4, 5, 6) and via in (3, 4, 5) and name not in (b"", b"schedule"), "a caller")
        must(asked == (via != 0), "a request of whoever asked, and none of the engine's own")
        return name, asked

    def take(self, kind, lsn, time, body, digest):
        if kind == 1:
            self.network = body[-40:-8]
            return
        name, asked = self.caller(kind, body)
        if kind == 18:
            own = body[-72:]
            self.signers.setdefault(own[:32], [own[32:64], lsn, None])
        elif kind == 19:
            self.signers[body[-32:]][2] = lsn
        elif kind == 22:
            key, proof = body[-96:-64], body[-64:]
            if self.keys:
                statement = derive("key statement v1", self.network + key)
                signed(self.keys[-1], proof, statement, "the engine's new key")
            else:
                must(proof == bytes(64) and not asked, "the engine's first key")
            must(key not in self.had, "the engine's key is no operator's")
            self.keys.append(key)
        elif kind == 23:
            own = body[-49:]
            self.parties[own[:32]] = sealed = sealed_party(body)
            must(40 <= len(sealed[0]) <= 296 and all(len(one) >= 40 for one in sealed[1].values()), "a sealed party")
        elif kind == 24:
            must(body[-40:-8] in self.parties, "an erased party was registered")
        elif kind == 32:
            window = numbers("Q", body[-8:])[0]
            self.cuts[window] = (self.first, lsn, digest, time)
            self.first = lsn + 1
        elif kind == 34:
            self.seal(body)
        elif kind == 61:
            operator, own = name, body[-FIELDS[61]:]
            key, history = own[-96:-64], numbers("Q", own[-104:-96])[0]
            must(key == self.keys[-1], "the batch's key")
            must(history in self.digests, "an event before the batch")
            said = self.network + own[1:33] + struct.pack("<Q", history) + self.digests[history]
            said += own[:1] + struct.pack("<Q", len(operator)) + operator
            signed(key, own[-64:], derive("batch statement v2", said), "a batch")
            self.batches += 1
        elif kind in (25, 26):
            self.own_key(kind, name, body)
        elif kind == 62:
            self.under(name, derive("operator approval v1", self.network + body[-96:-64]), body[-64:])
        elif kind == 63:
            self.moved(name, body)
        elif kind == 67:
            place = len(body) - FIELDS[67]
            own, evidence = body[place:], text(body, place + 45)
            word = own[32:37] + sized(text(body, place + 37)) + sized(evidence)
            self.under(name, self.words(own[:32], blake3(evidence).digest(), [word]), own[-64:])

    def words(self, batch, evidence, words):
        said = batch + evidence + struct.pack("<I", len(words)) + b"".join(words)
        return derive("operator words v1", self.network + said)

    def moved(self, name, body):
        place = len(body) - FIELDS[63]
        own, (first, count) = body[place:], listed(body, place + 69)
        words = []
        for at in range(first, first + 101 * count, 101):
            words.append(body[at:at + 5] + sized(text(body, at + 85)) + sized(text(body, at + 93)))
        must(own[36] == 3 or own[-64:] == bytes(64), "only an operator's word is signed")
        self.under(name if own[36] == 3 else b"", self.words(own[:32], own[37:69], words), own[-64:])

    def own_key(self, kind, name, body):
        """An operator's key comes or goes."""
        place = len(body) - FIELDS[kind]
        operator, signature = text(body, place), body[-64:]
        before = self.own.get(operator)
        must(name not in (b"", b"schedule"), "an operator changes a key")
        if kind == 26:
            must(before is not None, "a key that is removed is in force")
            self.under(name, derive("operator key removal v1", self.network + sized(operator) + before), signature)
            del self.own[operator]
            return
        key, possession = body[place + 8:place + 40], body[place + 40:place + 104]
        must(name == operator and key not in self.had | set(self.keys), "a new key of the caller's own")
        said = derive("operator key v1", self.network + sized(operator) + key + (before or ZERO))
        signed(key, possession, said, "the possession of an operator's key")
        self.under(name, said, signature)
        self.own[operator] = key
        self.had.add(key)

    def under(self, name, statement, signature):
        """Who has a key signs, and nobody else."""
        key = self.own.get(name)
        must((key is None) == (signature == bytes(64)), f"{name}: signs, if they have a key")
        if key is not None:
            signed(key, signature, statement, f"what {name} says")
            self.signed += 1

    def seal(self, body):
        place = len(body) - 152
        own = body[place:]
        window, root, credited = numbers("Q32sQ", own[:48])
        offset, count = numbers("iI", own[48:56])
        key, signature = own[56:88], own[88:]
        at = place + 48 + offset
        assets = []
        for n in range(count):
            row = body[at + 156 * n:at + 156 * (n + 1)]
            wide = [int.from_bytes(row[a:a + 16], "little") for a in (68, 92, 116, 140)]
            few = [numbers("Q", row[a:a + 8])[0] for a in (84, 108, 132)]
            assets.append((numbers("I", row[:4])[0], row[4:36], row[36:68], wide, few))
        must(key == self.keys[-1], f"window {window}: its key")
        must(window_root(window, [a[:3] for a in assets]) == root, f"window {window}: its root")
        statement = window_statement(self.network, window, root, self.cuts[window][1:], credited)
        signed(key, signature, statement, f"window {window}")
        self.seals[window] = {asset[0]: asset[1:] for asset in assets}


def rows(data, size):
    must(len(data) % size == 0, "whole rows")
    return [data[at:at + size] for at in range(0, len(data), size)]


def check_export(data):
    """Checks an export; gives its history and counts."""
    found = list(sections(data))
    must(found[0][0] == 1 and found[-1][0] == 8, "the head first, the end last")
    network, windows = found[0][1][:32], [numbers("Q", n)[0] for n in rows(found[0][1][32:], 8)]
    records = []
    for kind, body in found:
        while kind == 2 and body:
            length = 128 + numbers("I", body[28:32])[0]
            records.append(body[:length])
            body = body[length:]
    history = History(records)
    must(history.network == network, "the network")
    window, asset, parts = None, None, {}
    for kind, body in found:
        if kind == 3:
            window = numbers("QI", body)[0]
        elif kind == 4:
            asset = numbers("I", body[:4])[0]
            parts[window, asset] = {5: b"", 6: b"", 7: b"", "said": numbers("QQQ", body[4:])}
        elif kind in (5, 6, 7):
            parts[window, asset][kind] += body
    totals, counts = {}, defaultdict(int)
    for (window, asset), part in parts.items():
        check_asset(history, window, asset, part, totals, counts, windows[0] == 1)
    for window in windows:
        must(sorted(history.seals[window]) == [a for w, a in parts if w == window], "the assets")
    end = numbers("QQQQQ", found[-1][1][:40])
    history.end(found[-1][1][40:])
    must(end == (len(records), len(windows), counts["obligations"], counts["carried"],
                 counts["evidence"]), "as much as the end says")
    return history, counts


def check_asset(history, window, asset, part, totals, counts, from_the_first):
    name = f"window {window}, asset {asset}"
    owed, carried = rows(part[5], 116), rows(part[6], 80)
    pieces = pieces_of(part[7])
    must(part["said"] == (len(owed), len(carried), len(pieces)), f"{name}: its counts")
    must(owed == sorted(owed, key=lambda row: row[:64]), f"{name}: the order of its rows")
    first, cut_lsn, _, _ = history.cuts[window]
    leaves, flows, gross, at = [], defaultdict(int), 0, 0
    for row in owed:
        payer, payee = row[:32], row[32:64]
        amount, count = int.from_bytes(row[64:80], "little"), numbers("I", row[80:84])[0]
        own, at = pieces[at:at + count], at + count
        must([p.channel for p in own] == sorted({p.channel for p in own}), f"{name}: order")
        for piece in own:
            channel = piece.check(history.network)
            party, since, revoked = history.signers[piece.signer]
            must((party, piece.payee, piece.asset) == (payer, payee, asset), f"{name}: its pair")
            must(since < piece.lsn and (revoked is None or revoked > piece.lsn), f"{name}: signer")
            must(first <= piece.lsn < cut_lsn, f"{name}: the record that credited it")
            if from_the_first or channel in totals:
                must(totals.get(channel, 0) == piece.before, f"{name}: the total before")
            totals[channel] = piece.cumulative
        must(sum(p.cumulative - p.before for p in own) == amount > 0, f"{name}: the obligation")
        digest = derive("evidence v1", b"".join(p.data for p in own))
        must(digest == row[84:], f"{name}: the evidence digest")
        leaves.append(obligation_leaf(window, asset, 0, payer, payee, amount, digest))
        flows[payer] -= amount
        flows[payee] += amount
        gross += amount
    must(at == len(pieces), f"{name}: no more evidence than rows say")
    for row in carried:
        payer, payee, amount = row[:32], row[32:64], int.from_bytes(row[64:], "little")
        leaves.append(obligation_leaf(window, asset, 1, payer, payee, amount, ZERO))
        flows[payer] -= amount
        flows[payee] += amount
    positions = sorted((party, net) for party, net in flows.items() if net)
    must(sum(net for _, net in positions) == 0, f"{name}: the positions")
    obligations_root, positions_root, wide, few = history.seals[window][asset]
    must(wire.merkle(leaves) == obligations_root, f"{name}: the root of its obligations")
    tree = wire.merkle([position_leaf(window, asset, *p) for p in positions])
    must(tree == positions_root, f"{name}: the root of its positions")
    must((wide[1], few[0], few[2]) == (gross, len(owed), len(positions)), f"{name}: its figures")
    counts["obligations"] += len(owed)
    counts["carried"] += len(carried)
    counts["evidence"] += len(pieces)


def climb(leaf, path):
    """The root that a path gives."""
    digest = derive("merkle leaf v1", leaf)
    for step in path:
        (side, other), = step.items()
        other = bytes.fromhex(other)
        must(side in ("left", "right"), "a side")
        digest = derive("merkle node v1", other + digest if side == "left" else digest + other)
    return digest


def check_document(text, keys):
    """Checks a proof or a receipt of an engine that had these keys."""
    doc = json.loads(text)
    raw = bytes.fromhex
    network, key = raw(doc["network_id"]), raw(doc["engine_key"])
    must(key in keys, "the engine's key")
    if doc["format"] in ("tallystick receipt v1", "tallystick receipt v2", "tallystick receipt v3"):
        voucher, path = raw(doc["voucher"]), b"".join(raw(digest) for digest in doc.get("bundle_path", []))
        piece = Piece(bytes(16) + voucher + path)
        must((piece.reserved != 0) == doc["format"].endswith("v3"), "the format says what it is of")
        piece.check(network)
        body = voucher + struct.pack("<Qq", doc["lsn"], doc["at_us"])
        statement = derive("receipt v1", network + body) if doc["format"].endswith("v1") \
            else derive("receipts v2", network + climb(body, doc["path"]))
        return signed(key, raw(doc["signature"]), statement, "the receipt")
    is_bundled = any(raw(e)[84:88] != bytes(4) for pair in doc["pairs"] for e in pair["evidence"])
    must(doc["format"] == ("tallystick proof v3" if is_bundled else "tallystick proof v2"), "the format")
    window, asset = doc["window"], doc["asset"]
    roots = [(a["asset"], raw(a["obligations_root"]), raw(a["positions_root"])) for a in doc["assets"]]
    root = window_root(window["number"], roots)
    must(root == raw(window["root"]), "the window's root")
    cut = window["cut_lsn"], raw(window["cut_digest"]), window["cut_at_us"]
    statement = window_statement(network, window["number"], root, cut, window["credited"])
    signed(key, raw(window["signature"]), statement, "the window")
    _, obligations_root, positions_root = next(r for r in roots if r[0] == asset)
    signers, flows = {s["signer"]: s["party_id"] for s in doc["signers"]}, defaultdict(int)
    for pair in doc["pairs"]:
        payer, payee, amount = raw(pair["payer"]), raw(pair["payee"]), int(pair["amount"])
        pieces, digest = [Piece(raw(e)) for e in pair["evidence"]], ZERO
        if pair["kind"] == "obligation":
            for piece in pieces:
                piece.check(network)
                must(signers[piece.signer.hex()] == pair["payer"], "the signer's party")
                must((piece.payee, piece.asset) == (payee, asset), "the voucher's pair")
                must(piece.lsn < window["cut_lsn"], "credited before the cut")
            must(sum(p.cumulative - p.before for p in pieces) == amount, "the obligation")
            digest = derive("evidence v1", b"".join(p.data for p in pieces))
        kind = ("obligation", "carried").index(pair["kind"])
        leaf = obligation_leaf(window["number"], asset, kind, payer, payee, amount, digest)
        must(climb(leaf, pair["path"]) == obligations_root, "the path of a pair")
        flows[payer] -= amount
        flows[payee] += amount
    if "position" in doc:
        party, net = raw(doc["position"]["party_id"]), int(doc["position"]["net"])
        leaf = position_leaf(window["number"], asset, party, net)
        must(climb(leaf, doc["position"]["path"]) == positions_root, "the path of the position")
        must(not doc["pairs"] or flows[party] == net, "the pairs sum to the position")
    return None


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    history, counts = check_export(pathlib.Path(sys.argv[1]).read_bytes())
    for path in map(pathlib.Path, sys.argv[2:]):
        check_document(path.read_text(), history.keys)
    print(f"python: {counts['evidence']} vouchers, {counts['obligations']} obligations, "
          f"{len(history.seals)} seals, {history.batches} batches, {len(sys.argv) - 2} documents agree")


if __name__ == "__main__":
    main()
