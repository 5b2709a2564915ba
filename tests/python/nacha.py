"""The golden ACH files before two validators that share no code with the engine, and against the legs
that stand beside them. Damaged copies show that the validators look."""
import argparse
import base64
import json
import pathlib

import achkit
from achlens.core import validate
from blake3 import blake3

CONTEXT = "tallystick 2026-11 short leg id v1"
SAVINGS = {32: True, 37: True, 22: False, 27: False}


def rail_id(key):
    """What ACH knows a leg by: 15 characters of base32 of a digest of its key."""
    digest = blake3(key.encode(), derive_key_context=CONTEXT).digest()
    return base64.b32encode(digest[:10]).decode()[:15]


def findings(text):
    """What the two validators say of a file: a list, empty if they take it."""
    report = validate(text)
    found = [f"achlens: {f.rule_id} line {f.line_number}: {f.message}" for f in report.findings]
    other = achkit.validate(text)
    return found, [f"achkit: {error['code']}: {error['message']}" for error in other["errors"]]


def damaged(text):
    """Copies of a file, each with one fault: (what, text)."""
    lines = text.splitlines()

    def change(index, first, new):
        at = index, first - 1
        line = lines[at[0]]
        copy = lines[:]
        copy[at[0]] = line[:at[1]] + new + line[at[1] + len(new):]
        return "\n".join(copy) + "\n"

    entry = next(i for i, line in enumerate(lines) if line[0] == "6")
    close = next(i for i, line in enumerate(lines) if line[0] == "8")
    end = next(i for i, line in enumerate(lines) if line[0] == "9")
    yield "another amount", change(entry, 39, str((int(lines[entry][38]) + 1) % 10))
    yield "another bank", change(entry, 4, "121000358")
    yield "a wrong check digit", change(entry, 12, str((int(lines[entry][11]) + 1) % 10))
    yield "another batch hash", change(close, 11, str((int(lines[close][10]) + 1) % 10))
    yield "another batch total", change(close, 32, str((int(lines[close][31]) + 1) % 10))
    yield "another number of blocks", change(end, 8, "000099")
    yield "another file total", change(end, 43, str((int(lines[end][42]) + 1) % 10))
    yield "a lost addenda record", "\n".join(lines[:entry + 1] + lines[entry + 2:]) + "\n"
    yield "a lost batch control", "\n".join(lines[:close] + lines[close + 1:]) + "\n"
    yield "a short line", "\n".join([lines[0][:93]] + lines[1:]) + "\n"


def entries(path):
    """(direction, routing, account, savings, cents, id, key) of every leg's entry in a file."""
    for batch in achkit.parse(path.read_text())["batches"]:
        *legs, offset = batch["entries"]
        assert not offset["addenda"] and offset["id_number"].startswith("OFFSET-"), offset
        assert sum(leg["amount_cents"] for leg in legs) == offset["amount_cents"], batch
        for leg in legs:
            (addenda,) = leg["addenda"]
            kind, trace_type, key, company, _batch = addenda["info"].rstrip("\\").split("*")
            assert (kind, trace_type, company) == ("TRN", "1", batch["company_id"]), addenda
            code = leg["txn_code"]
            yield ("in" if code in (27, 37) else "out", leg["routing"], leg["account"],
                   SAVINGS[code], leg["amount_cents"], leg["id_number"], key)


def wanted(batch):
    """The same, of the legs that the batch says it has."""
    for leg in batch["legs"]:
        direction = {"pay_in": "in", "pay_out": "out"}[leg["kind"]]
        account = leg["from" if direction == "in" else "to"]["account"]
        whole, part = leg["amount"].split(".")
        yield (direction, account["routing"], account["account"], account["type"] == "savings",
               int(whole) * 100 + int(part), rail_id(leg["key"]), leg["key"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--golden", type=pathlib.Path, required=True)
    golden = parser.parse_args().golden
    files = sorted(golden.glob("nacha.*.ach"))
    assert files, f"no golden ACH files in {golden}"
    faults = 0
    for path in files:
        text = path.read_text()
        assert findings(text) == ([], []), f"{path}: {findings(text)}"
        for what, bad in damaged(text):
            assert any(findings(bad)), f"{path}: nobody noticed {what}"
            faults += 1
    batch = json.loads((golden / "nacha.legs.json").read_text())
    found = [entry for path in files for entry in entries(path)]
    assert found == list(wanted(batch)), (found, list(wanted(batch)))
    print(f"nacha: {len(files)} files with {len(found)} legs are sound to two validators, which "
          f"noticed {faults} faults in copies")


if __name__ == "__main__":
    main()
