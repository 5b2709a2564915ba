// The demo's bank: what a bank, and the payers behind it, would do, played with the two folders that operators use. The files
// are real, no money moves. It books what it reads in pain.001 files, and says so by camt.054.
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

// The operator's account where none is configured, as every file of such an engine names it.
const ACCOUNT = "DE36000000000000000000";

export class Bank {
  constructor(data, taken) {
    this.folder = (name) => join(data, name, "iso20022");
    this.taken = taken;
    this.notes = 0;
    mkdirSync(taken, { recursive: true });
  }

  /** The keys of the legs that payers were asked to pay in. */
  asked() {
    const lists = this.folder("pay-ins");
    if (!existsSync(lists)) return "";
    return readdirSync(lists).filter((name) => name.endsWith(".pay-ins.csv")).map((name) => readFileSync(join(lists, name), "utf8")).join();
  }

  /** Payers have paid in: `[{ key, cents }]`. */
  paidIn(legs) {
    this.#say("CRDT", "RCDT", legs);
  }

  /** Takes what lies in the outbox, pays it, and says so. What it paid: `[{ key, cents }]`. */
  work() {
    const outbox = this.folder("outbox"), paid = [];
    for (const name of readdirSync(outbox).filter((one) => one.endsWith(".pain.001.xml"))) {
      renameSync(join(outbox, name), join(this.taken, name));
      const text = readFileSync(join(this.taken, name), "utf8");
      const payments = text.split("<CdtTrfTxInf>").slice(1).map((payment) => ({
        key: /<EndToEndId>([^<]+)</.exec(payment)[1],
        cents: BigInt(/<InstdAmt Ccy="EUR">(\d+\.\d\d)</.exec(payment)[1].replace(".", "")),
      }));
      this.#say("DBIT", "ICDT", payments);
      paid.push(...payments);
    }
    return paid;
  }

  #say(way, family, entries) {
    const name = `demo-bank-${(this.notes += 1)}`, day = new Date().toISOString().slice(0, 10);
    const rows = entries.map(({ key, cents }, at) =>
      `<Ntry><Amt Ccy="EUR">${cents / 100n}.${String(cents % 100n).padStart(2, "0")}</Amt><CdtDbtInd>${way}</CdtDbtInd>` +
      `<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>${day}</Dt></BookgDt><AcctSvcrRef>${name}-${at + 1}</AcctSvcrRef>` +
      `<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>${family}</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>` +
      `<NtryDtls><TxDtls><Refs><EndToEndId>${key}</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>`);
    const text = `<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"><BkToCstmrDbtCdtNtfctn>
<GrpHdr><MsgId>${name}</MsgId><CreDtTm>${day}T12:00:00Z</CreDtTm></GrpHdr>
<Ntfctn><Id>${name}</Id><Acct><Id><IBAN>${ACCOUNT}</IBAN></Id><Ccy>EUR</Ccy></Acct>
${rows.join("\n")}
</Ntfctn></BkToCstmrDbtCdtNtfctn></Document>
`;
    const file = join(this.folder("inbox"), `${name}.camt.054.xml`);
    writeFileSync(`${file}.part`, text);
    renameSync(`${file}.part`, file); // it appears whole
  }
}
