#!/bin/sh
# Two validators of ACH files call a correct return file wrong.
#
# Guess:    what checks NACHA files knows the files that banks send back. An entry returns under a
#           code of its own (21 and 26 for checking, 31 and 36 for savings) with an addenda record 99
#           in a batch that keeps its class (here CCD), as the rules want and as the samples of
#           moov-io/ach show.
# Happens:  both take 26 for neither debit nor credit, so they find the batch's and the file's
#           totals wrong. achlens also finds the code itself invalid (though its own table of words
#           calls it "Automated return/NOC debit, checking"), and takes addenda 99 only in batches
#           of a class RET or RETURN, which the rules do not know. The same as an outgoing debit
#           (27, addenda 05) is valid for both.
# Versions: PyPI achkit 0.2.0, achlens 0.1.7, PyYAML 6.0.4. Seen 2026-11-28.
# Follows:  as a gate before the inbox they throw away the one file that says which debits bounced,
#           and no bounce is ever booked. Use them for files that you send, and read returns by the
#           rules.
#
# Output seen:
#   ok: achkit, outgoing debit: valid
#   ok: achlens, outgoing debit: valid
#   ok: achkit, its return: BAD_BATCH_DEBIT, BAD_FILE_DEBIT
#   ok: achlens, its return: AD001, BC004, ED001, FC005
#   ok: achlens's own words for code 26: Automated return/NOC debit, checking
set -eu

cannot() { echo "cannot run here: $1" >&2; exit 2; }
command -v python3 >/dev/null || cannot "no python3"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir"
# Without what they pull in: the parts that check a file need PyYAML alone.
python3 -m pip install -q --no-compile --no-deps --target py \
  achkit==0.2.0 achlens==0.1.7 PyYAML==6.0.4 >log 2>&1 ||
  { tail -5 log >&2; cannot "pip install failed"; }

cat >run.py <<'END'
import re
import sys

from achkit.validate import validate as achkit
from achlens.core import reference
from achlens.core.validator import validate as achlens

changed = 0


def fact(name, stated, seen):
    global changed
    changed += stated != seen
    print(f"ok: {name}: {seen}" if stated == seen
          else f"CHANGED: {name}: stated {stated}, seen {seen}")


def file(code, addenda, bank, party):
    """One CCD debit of USD 123.45 from `bank` (who sends the file) to `party`; made-up names."""
    trace, cents = f"{bank[:8]}0000001", 12345
    lines = [
        f"101 {party:>9} {bank:>9}2611271200A094101{'RECEIVING BANK':<23}"
        f"{'SENDING BANK':<23}{'':8}",
        f"5225{'EXAMPLE CLEARING':<16}{'':20}{'1999999999':<10}CCD{'SETTLEMENT':<10}{'':6}261127"
        f"{'':3}1{bank[:8]}0000001",
        f"6{code}{party}{'1234567':<17}{cents:010}{'LEG-1':<15}{'EXAMPLE BUYER':<22}  1{trace}",
        addenda(trace),
        f"8225{2:06}{int(party[:8]):010}{cents:012}{0:012}{'1999999999':<10}{'':25}"
        f"{bank[:8]}0000001",
        f"9{1:06}{1:06}{2:08}{int(party[:8]):010}{cents:012}{0:012}{'':39}",
    ]
    assert all(len(line) == 94 for line in lines), [len(line) for line in lines]
    return "\n".join(lines + ["9" * 94] * (10 - len(lines))) + "\n"


ODFI, RDFI = "121042882", "021000021"
sent = file("27", lambda trace: f"705{'LEG-1':<80}0001{trace[-7:]}", ODFI, RDFI)
# The bank of the debited account sends it back: R01, the trace number of the debit, its own.
ORIGINAL = f"{ODFI[:8]}0000001{'':6}{RDFI[:8]}"
back = file("26", lambda trace: f"799R01{ORIGINAL}{'':44}{trace}", RDFI, ODFI)


def kit(text):
    return ", ".join(sorted(error["code"] for error in achkit(text)["errors"])) or "valid"


def lens(text):
    errors = {one.rule_id for one in achlens(text).findings if one.severity == "error"}
    return ", ".join(sorted(errors)) or "valid"


fact("achkit, outgoing debit", "valid", kit(sent))
fact("achlens, outgoing debit", "valid", lens(sent))
fact("achkit, its return", "BAD_BATCH_DEBIT, BAD_FILE_DEBIT", kit(back))
fact("achlens, its return", "AD001, BC004, ED001, FC005", lens(back))
words = re.search(r'"26": "([^"]*)"', open(reference.__file__).read())
fact("achlens's own words for code 26", "Automated return/NOC debit, checking", words and words[1])
sys.exit(1 if changed else 0)
END
PYTHONPATH=py python3 run.py
