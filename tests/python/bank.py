"""A bank that is not ours: answers a bank file with pain.002, made by the PyPI package `pain001`.

It reads the file with a parser of its own (the standard library's) and shares nothing with the engine.

    bank.py FILE CASE VERSION    prints the answer to FILE, for example
                                 bank.py batch.pain.001.xml partial pain.002.001.10
    bank.py --check FOLDER       compares the kept answers with what is made now
    bank.py --write FOLDER       writes them anew

The kept answers are those of the engine's golden files, so that the engine's own tests need no network.
"""
import pathlib
import sys
import xml.etree.ElementTree as tree

from pain001.pain002 import build_pain002_report

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "engine" / "rails" / "src" / "golden"
NS = "{urn:iso:std:iso:20022:tech:xsd:pain.001.001.09}"
# Golden file, case, version.
KEPT = [
    ("multilateral", "received", "pain.002.001.03"),
    ("multilateral", "rejected", "pain.002.001.10"),
    ("multilateral", "partial", "pain.002.001.10"),
    ("multilateral", "settled", "pain.002.001.12"),
    ("bilateral", "partial", "pain.002.001.03"),
    ("bilateral", "blocks", "pain.002.001.10"),
]


def blocks(file):
    """The ids of the payment information blocks, each with those of its transactions."""
    for block in file.iter(NS + "PmtInf"):
        yield block.findtext(NS + "PmtInfId"), [e.text for e in block.iter(NS + "EndToEndId")]


def each(file, status):
    """One row for each transaction; `status` gives its status and reason."""
    for block, keys in blocks(file):
        for place, key in enumerate(keys):
            word, reason = status(place)
            yield {"original_payment_information_id": block, "payment_information_status": "PART",
                   "original_end_to_end_id": key, "transaction_status": word,
                   "status_reason": reason}


def of_block(file):
    """One row for each block and none for transactions: settled, rejected, under way, and again."""
    words = ("ACSC", "RJCT", "ACSP")
    for place, (block, _) in enumerate(blocks(file)):
        yield {"original_payment_information_id": block,
               "payment_information_status": words[place % len(words)]}


# Case -> the message's status and the rows below it.
CASES = {
    "received": ("RCVD", lambda file: []),
    "pending": ("PDNG", lambda file: []),
    "accepted": ("ACSP", lambda file: []),
    "rejected": ("RJCT", lambda file: []),
    "partial": ("PART", lambda file: each(file, lambda at: ("ACSC", None) if at else ("RJCT", "AC04"))),
    "settled": ("ACSC", lambda file: each(file, lambda at: ("ACSC", None))),
    "blocks": ("PART", of_block),
}


def answer(path, case, version):
    """The answer to the bank file at `path`."""
    file = tree.parse(path).getroot()
    status, rows = CASES[case]
    return build_pain002_report(
        f"BANK-{case}", file.find(f".//{NS}MsgId").text, status, list(rows(file)),
        original_message_name_id="pain.001.001.09", creation_datetime="2026-11-30T09:15:00+01:00",
        version=version) + "\n"


def kept(folder, write):
    """Writes the kept answers or compares them."""
    for golden, case, version in KEPT:
        text = answer(GOLDEN / f"{golden}.pain.001.xml", case, version)
        path = folder / f"{golden}.{case}.{version}.xml"
        if write:
            path.write_text(text)
        elif path.read_text() != text:
            sys.exit(f"{path} is not what the package makes now; see `bank.py --write`")
    print(f"python: {len(KEPT)} answers of an independent bank {'written' if write else 'agree'}")


def main():
    if len(sys.argv) == 3 and sys.argv[1] in ("--check", "--write"):
        kept(pathlib.Path(sys.argv[2]), sys.argv[1] == "--write")
    elif len(sys.argv) == 4 and sys.argv[2] in CASES:
        print(answer(sys.argv[1], sys.argv[2], sys.argv[3]), end="")
    else:
        sys.exit(f"{__doc__}\nCASE is one of: {', '.join(CASES)}")


if __name__ == "__main__":
    main()
