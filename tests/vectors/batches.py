#!/usr/bin/env python3
"""Two batches from what is owed to their ids, made independently of the engine, from "From windows to legs" and
"Batch id and leg keys" of docs/FORMATS.md (Python: blake3). Usage: batches.py > batches.json"""
import base64
import json
import pathlib
import struct
import sys
from collections import defaultdict

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))
from evidence import ZERO, derive, obligation_leaf, position_leaf, window_root
import wire

A, B, C = (bytes([name]) * 32 for name in (1, 2, 3))
CLEARING = ZERO


def net_pairs(owed):
    flows = defaultdict(int)
    for payer, payee, amount in owed:
        low, high = min(payer, payee), max(payer, payee)
        flows[low, high] += amount if payer == low else -amount
    nets = [(p, q, n) if n > 0 else (q, p, -n) for (p, q), n in flows.items() if n]
    return sorted(nets)


def positions(owed):
    nets = defaultdict(int)
    for payer, payee, amount in owed:
        nets[payer] -= amount
        nets[payee] += amount
    return sorted((party, net) for party, net in nets.items() if net)


def payments(case):
    """What is to be paid, in order, and what deposits pay."""
    owed, unit, free = case["owed"], case["unit"], dict(case["deposits"])
    used = defaultdict(int)
    if case["model"] == 2:
        ins, outs = [], []
        for party, net in positions(owed):
            if party == CLEARING:
                continue
            if net > 0:
                outs.append((CLEARING, party, net))
                continue
            paid = min(-net, free.get(party, 0))
            used[party] += paid
            ins.append((party, CLEARING, -net - paid))
        return ins + outs, used
    ins, direct, outs = [], [], defaultdict(int)
    for payer, payee, amount in net_pairs(owed):
        if payer == CLEARING:
            outs[payee] += amount
            continue
        part = min(free.get(payer, 0), amount)
        if payee != CLEARING:
            part -= part % unit
            outs[payee] += part
        free[payer] = free.get(payer, 0) - part
        used[payer] += part
        (ins if payee == CLEARING else direct).append((payer, payee, amount - part))
    outs = [(CLEARING, payee, amount) for payee, amount in sorted(outs.items())]
    return ins + outs + direct, used


def split(paid, unit, least, most):
    legs, carries = [], []
    for payer, payee, amount in paid:
        left = amount - amount % unit
        part = 0
        while left and left >= least:
            legs.append((payer, payee, min(left, most), part))
            left -= legs[-1][2]
            part += 1
        if amount % unit + left:
            carries.append((payer, payee, amount % unit + left))
    return legs, sorted(carries)


def u64(n):
    return struct.pack("<Q", n)


def u128(n):
    return n.to_bytes(16, "little")


def text(t):
    return u64(len(t.encode())) + t.encode()


def fields(pairs):
    return u64(len(pairs)) + b"".join(text(name) + text(value) for name, value in pairs)


def as_sealed(party, length):
    """Some bytes: a batch's id does not know what is sealed in them."""
    return bytes([party[0]]) * length


def sized(some):
    return u64(len(some)) + some


def make(case):
    asset, owed = case["asset"], case["owed"]
    leaves = [obligation_leaf(1, asset, 0, *row, ZERO) for row in owed]
    tops = [position_leaf(1, asset, *row) for row in positions(owed)]
    root = window_root(1, [(asset, wire.merkle(leaves), wire.merkle(tops))])
    paid, used = payments(case)
    legs, carries = split(paid, case["unit"], case["least"], case["most"])
    needed = [leg for leg in legs if leg[1] != CLEARING]
    parties = sorted({p for leg in needed for p in leg[:2]} - {CLEARING})
    account = [("iban", "DE02120300000000202051")]
    said = u64(1) + u64(1) + root + u64(asset) + text(case["code"]) + u64(6) + u64(case["model"])
    said += text("iso20022") + u128(case["unit"]) + u128(case["least"]) + u128(case["most"])
    said += fields(account) + u64(len(legs))
    said += b"".join(a + b + u128(n) for a, b, n, _ in legs) + u64(len(carries))
    said += b"".join(a + b + u128(n) for a, b, n in carries) + u64(len(parties))
    said += b"".join(p + sized(as_sealed(p, 47)) + sized(as_sealed(p, 74)) for p in parties)
    used = sorted((party, amount) for party, amount in used.items() if amount)
    if used:
        said += u64(len(used)) + b"".join(p + u128(n) for p, n in used)
    batch = derive("batch id v1", said)

    def key(a, b, part):
        return base64.b32encode(derive("leg key v1", batch + a + b + struct.pack("<I", part))[:20]).decode()

    def row(a, b, n, *part):
        return {"from": a[0], "to": b[0], "amount": n, **({"part": part[0]} if part else {})}

    return {
        "name": case["name"], "asset": asset, "code": case["code"], "model": case["model"],
        "unit": case["unit"], "least": case["least"], "most": case["most"],
        "owed": [row(*o) for o in owed],
        "deposits": [{"party": p[0], "free": n} for p, n in case["deposits"]],
        "accounts": {p[0]: {"name": as_sealed(p, 47).hex(), "account": as_sealed(p, 74).hex()} for p in parties},
        "root": root.hex(), "batch_id": batch.hex(),
        "legs": [{**row(*leg), "key": key(leg[0], leg[1], leg[3])} for leg in legs],
        "carries": [row(*carry) for carry in carries],
        "deposits_used": [{"party": p[0], "amount": n} for p, n in used],
    }


OWED = [(A, B, 2_534_567), (B, C, 30_000), (C, B, 5)]
CASES = [
    {"name": "multilateral: a deposit, a split, dust", "asset": 840, "code": "USD", "model": 2,
     "unit": 10_000, "least": 10_000, "most": 2_000_000, "owed": OWED, "deposits": [(A, 500_000)]},
    {"name": "bilateral: deposits pay whole units", "asset": 978, "code": "EUR", "model": 1,
     "unit": 10_000, "least": 20_000, "most": 2_000_000, "owed": OWED,
     "deposits": [(A, 505_000), (B, 9_999)]},
]

if __name__ == "__main__":
    json.dump([make(case) for case in CASES], sys.stdout, indent=1)
    print()
