// What people can do here, each as a question: what will happen, whom it takes, the same as a command.
import { html } from "./lib.js";
import { call } from "./api.js";
import { base64, count, hex, noAmount, option, quoted, typed, units, wholes, word } from "./format.js";
import { Changes, Id, Money, State, Times, Written, assets } from "./ui.js";

const LEAP = 1000n; // a limit so many times the one before is typed twice
const RAILS = ["iso20022", "nacha", "card", "evm"];
const reason = (label = "Reason", hint = "For the record: it stays in the history.") =>
  ({ name: "reason", label, hint, required: true });
/** Where four eyes are on, the answer names a proposal and nothing has changed. */
const orProposed = (answer, done) => (answer.proposal ? { text: "Proposed: another operator must confirm it.",
  to: "/access" } : done);

export const closeWindow = (status) => ({
  title: "Close the open window", verb: "Close it",
  says: html`<p>The open window${status ? html` ${status.number}
    ${status.vouchersCredited ? html`, with ${count(status.vouchersCredited)} credited vouchers,` : ""}` : ""} is cut at one
    record of the journal and sealed. The next one opens in the same record: vouchers go on.</p>
    <p>A closed window never opens again.</p>`,
  line: () => "tallystick window close",
  run: async (_, requestId) => {
    const window = await call("CloseWindow", { requestId });
    return { text: `Window ${window.number} is closed.`, to: `/windows/${window.number}` };
  },
});

export const dispute = (number) => ({
  title: `Dispute window ${number}`, verb: "Dispute it", danger: true, fields: [reason()],
  says: html`<p>A disputed window cannot be batched, and a batch of it cannot be approved, until somebody ends the
    dispute.</p>`,
  line: ({ reason: text }) => `tallystick window dispute ${number}${option("reason", text, "TEXT")}`,
  run: async ({ reason: text }, requestId) => {
    await call("DisputeWindow", { requestId, number, reason: text });
    return `Window ${number} is disputed.`;
  },
});

export const endDispute = (number) => ({
  title: `End the dispute of window ${number}`, verb: "End it", fields: [reason("How it came out")],
  says: html`<p>The window can be batched again.</p>`,
  line: ({ reason: text }) => `tallystick window release ${number}${option("reason", text, "TEXT")}`,
  run: async ({ reason: text }, requestId) => {
    await call("EndDispute", { requestId, number, reason: text });
    return `The dispute of window ${number} has ended.`;
  },
});

/** `totals`: of the windows, so that only assets with something in them are offered. */
export function createBatch(windows, totals) {
  const known = totals.filter(({ gross, carriedIn }) => (gross ?? "0") !== "0" || (carriedIn ?? "0") !== "0");
  const options = (known.length ? known : totals).map(({ asset }) =>
    [String(asset), assets.value[asset]?.code ?? String(asset)]);
  return {
    title: windows.length > 1 ? `Make a batch of windows ${windows.join(", ")}` : `Make a batch of window ${windows[0]}`,
      verb: "Compute it",
    fields: [{ name: "asset", label: "Asset", options }, { name: "rail", label: "Rail",
      options: RAILS.map((rail) => [rail, rail]) }],
    says: html`<p>Computes the legs that settle what is owed. Nothing leaves before the batch is approved.</p>`,
    line: ({ asset, rail }) => `tallystick batch create --window ${windows.join(",")} --asset ${asset} --rail ${rail}`,
    run: async ({ asset, rail }, requestId) => {
      const batch = await call("CreateBatch", { requestId, windows, asset: Number(asset), rail });
      return { text: `A batch of ${count(batch.legs)} legs was computed.`, to: `/batches/${hex(batch.batchId)}` };
    },
  };
}

export const approve = (batch) => {
  const id = hex(batch.batchId);
  return {
    title: "Approve this batch", verb: "Approve it",
    says: html`<p>After this money moves: <strong><${Money} units=${batch.total} asset=${batch.asset} />
      </strong> in ${count(batch.legs)} legs over ${batch.rail}
      ${batch.payInLegs ? html`, of which ${count(batch.payInLegs)} pay-ins collect <strong>
      <${Money} units=${batch.payInTotal} asset=${batch.asset} /></strong> first` : ""}.</p>
      <p>${batch.fourEyes ? html`Computed by <strong>${batch.createdBy || "somebody unnamed"}
        </strong>: another person must approve it, and you do.` : "It takes one operator."} From then on it cannot be
        aborted.</p>
      ${(batch.troubles ?? []).map((text) => html`<p class="warn-text" key=${text}>${text}</p>`)}`,
    line: () => `tallystick batch approve ${typed(id)}`,
    run: async (_, requestId) => {
      const done = await call("ApproveBatch", { requestId, batchId: batch.batchId });
      return `Approved: the batch is ${word(done.state, "BATCH_STATE_")}.`;
    },
  };
};

export const abort = (batch) => ({
  title: "Abort this batch", verb: "Abort it", danger: true, fields: [reason()],
  says: html`<p>Nothing of it has left. Its ${count(batch.legs)} legs over <${Money} units=${batch.total}
    asset=${batch.asset} /> will never leave, and its windows can be batched anew.</p>`,
  line: ({ reason: text }) => `tallystick batch abort ${typed(hex(batch.batchId))}${option("reason", text, "TEXT")}`,
  run: async ({ reason: text }, requestId) => {
    await call("AbortBatch", { requestId, batchId: batch.batchId, reason: text });
    return "The batch is aborted.";
  },
});

const WORDS = [["confirmed", "confirmed: the money has moved"], ["accepted", "accepted: taken on, not final"],
  ["rejected", "rejected: it will not be executed"], ["returned", "returned: it was executed and sent back"]];
const wordOf = (text) => `LEG_WORD_${text.toUpperCase()}`;
const needsReason = (values) => ["rejected", "returned"].includes(values.word);

/** One operator's word about one leg. */
export const reportLeg = (found) => {
  const { leg } = found, batch = typed(hex(found.batchId));
  return {
    title: `Report leg ${leg.key.slice(0, 8)}`, verb: "Report it",
    says: html`<p>Your word about what the rail did with <strong><${Money} units=${leg.amount} asset=${found.asset} />
      </strong>, which is <${State} name=${leg.state} prefix="LEG_STATE_" /> now.</p>`,
    fields: [{ name: "word", label: "What became of it", options: WORDS },
      { name: "reference", label: "The rail's reference", hint: "The bank's or chain's own; may be empty." },
      { ...reason("Reason"), when: needsReason }],
    line: (values) => `tallystick leg report ${batch} --key ${leg.key} --word ${values.word}${option("reference",
      values.reference)}${needsReason(values) ? option("reason", values.reason, "TEXT") : ""}`,
    run: async (values, requestId) => {
      const report = { key: leg.key, word: wordOf(values.word), railReference: values.reference.trim(),
        reason: needsReason(values) ? values.reason : "" };
      const done = await call("ReportLegs", { requestId, batchId: found.batchId, reports: [report] });
      return Number(done.legsMoved ?? 0) ? `The leg is ${values.word}.` : "That was known: nothing has changed.";
    },
  };
};

/** What became of an UNKNOWN leg: it moves when a second person says the same. */
export const resolveLeg = (found, said) => {
  const { leg } = found;
  const before = said && word(said.state, "LEG_STATE_");
  const differs = ({ word: now, reference }) => !!said && (now !== before
    || reference.trim() !== (said.railReference ?? ""));
  return {
    title: `Resolve leg ${leg.key.slice(0, 8)}`, verb: said ? "Say it" : "Say the first word",
    says: (values) => html`<p>The answer about <strong><${Money} units=${leg.amount} asset=${found.asset} />
      </strong> was lost. Two people say what became of it, each with evidence; it moves when both say the same.</p>
      ${said ? html`<p>First word: <strong>${said.operator}</strong> says <${State} name=${said.state} prefix="LEG_STATE_" />
        ${said.railReference ? html`, reference <code>${said.railReference}</code>` : ""}.
        Evidence: <${Written} text=${said.evidence || "none"} />. Another person must look for themselves, and say the
        same.</p>${differs(values) && html`<p class="warn-text">You say otherwise than ${said.operator}: your word takes the
        place of theirs, and the leg does not move.</p>`}`
        : html`<p>Yours is the first word: nothing moves yet.</p>`}`,
    fields: [{ name: "word", label: "What became of it", options: WORDS, value: before ?? "confirmed" },
      { name: "reference", label: "The rail's reference", value: said?.railReference ?? "",
      hint: "As the rail's own pages show it; both people give the same." },
      { name: "evidence", label: "Evidence", required: true, hint: "What it rests on, or where that is filed." }],
    line: (values) => `tallystick leg resolve ${typed(hex(found.batchId))} ${leg.key} --word ${values.word}${option("reference", values.reference)}${option("evidence", values.evidence, "TEXT")}`,
    run: async (values, requestId) => {
      const done = await call("ResolveLeg", { requestId, batchId: found.batchId, key: leg.key, word: wordOf(values.word),
        railReference: values.reference.trim(), evidence: values.evidence });
      return done.state === "LEG_STATE_UNKNOWN" ? differs(values)
        ? `You say otherwise than ${said.operator}, and yours is the first word now. The leg moves when another person says the same as you.`
        : "Said. The leg moves when another person says the same."
        : `Both say the same: the leg is ${word(done.state, "LEG_STATE_")}.`;
    },
  };
};

export const ackTroubles = (numbers) => ({
  title: numbers.length > 1 ? `Take ${numbers.length} troubles away` : `Take trouble ${numbers[0]} away`, verb: "Take away",
  fields: [{ name: "note", label: "What was done about it", required: true }],
    says: html`<p>For when it is dealt with: it is shown no more, and stays in the history.</p>`,
  line: ({ note }) => `tallystick trouble ack ${numbers.join(" ")}${option("note", note, "TEXT")}`,
  run: async ({ note }, requestId) => {
    await call("AckTroubles", { requestId, numbers, note });
    return "Taken away.";
  },
});

export const confirmProposal = (of) => ({
  title: `Confirm what ${of.proposer} proposes`, verb: "Confirm it",
  says: html`<p><code>${of.kind}</code></p><${Changes} of=${of} />
    ${of.partyId && html`<p>Of party <${Id} id=${hex(of.partyId)} whole kind="party" /></p>`}
    <p class="dim">Proposal <${Id} id=${hex(of.proposal)} whole kind="proposal" />, until <${Times} us=${of.expiresAtUs} /></p>
    <p>Just that happens, or nothing. For an account, ask its owner by a way that you know, not by what came with the
      change.</p>`,
  line: () => `tallystick proposal confirm ${typed(hex(of.proposal))}`,
  run: async (_, requestId) => {
    await call("ConfirmProposal", { requestId, proposal: of.proposal });
    return "Confirmed: it has happened.";
  },
});

export const withdrawProposal = (of) => ({
  title: "Withdraw this proposal", verb: "Withdraw it", danger: true, fields: [reason()],
    says: html`<p>What ${of.proposer} proposed (<code>${of.kind}</code>) will not happen.</p>`,
  line: ({ reason: text }) => `tallystick proposal withdraw ${typed(hex(of.proposal))}${option("reason", text, "TEXT")}`,
  run: async ({ reason: text }, requestId) => {
    await call("WithdrawProposal", { requestId, proposal: of.proposal, reason: text });
    return "Withdrawn.";
  },
});

export const setLimit = (party, exposure, asset) => {
  /** A typing error of a limit costs money: what is far above what was is typed twice. */
  const leap = (text) => {
    const [next, was] = [BigInt(units(text, asset.scale) ?? "0"), BigInt(exposure?.creditLimit ?? "0")];
    const ones = 10n ** BigInt(asset.scale);
    if (next <= LEAP * (was > 0n ? was : ones * LEAP)) return undefined;
    return was > 0n ? `${count(next / was)} times what it was` : "very much for a first limit";
  };
  return {
    title: `Limit in ${asset.code}`, verb: "Set it",
    says: html`<p>How much this party may owe, unsettled, beyond what it has deposited. Now: <${Money}
      units=${exposure?.creditLimit ?? "0"} asset=${asset.number} />.</p>`,
    fields: [{ name: "limit", label: `Limit, in ${asset.code}`, required: true,
      value: wholes(exposure?.creditLimit ?? "0", asset.scale),
      check: (text) => (units(text, asset.scale) === undefined ? noAmount(text, asset.scale) : undefined),
      hint: (text) => {
        const of = units(text, asset.scale);
        return of === undefined ? noAmount(text, asset.scale) : `= ${wholes(of, asset.scale)} ${asset.code}`;
      } }, { name: "sure", label: "Type the limit once more", required: true,
      hint: (_, values) => `That is ${leap(values.limit)}.`,
      when: ({ limit }) => leap(limit), check: (text, values) => (units(text, asset.scale) === units(values.limit, asset.scale)
        ? undefined : "It is not the same limit.") }],
    line: ({ limit }) => `tallystick limit set --party ${typed(party)} --asset ${asset.number} ${units(limit,
      asset.scale) ?? "UNITS"}`,
    run: async ({ limit }, requestId) => orProposed(await call("SetCreditLimit",
      { requestId, partyId: base64(party), asset: asset.number, limit: units(limit, asset.scale) }), "The limit is set."),
  };
};

export const suspend = (party, suspended) => ({
  title: suspended ? "Resume this party" : "Suspend this party", verb: suspended ? "Resume it" : "Suspend it",
    danger: !suspended,
  says: suspended ? html`<p>It can pay and be paid again.</p>`
    : html`<p>It can neither pay nor be paid; its legs stay ready until it is resumed.</p>`,
  line: () => `tallystick party ${suspended ? "resume" : "suspend"} ${typed(party)}`,
  run: async (_, requestId) => orProposed(await call("UpsertParty",
    { requestId, party: { partyId: base64(party), suspended: !suspended }, keep: { name: true, accounts: true } }), suspended
    ? "Resumed." : "Suspended."),
});

export const revokeSigner = (signer) => ({
  title: `Revoke signer ${signer.slice(0, 8)}`, verb: "Revoke it", danger: true,
  says: html`<p>It signs for nobody any more, for ever. What it signed and was credited stays owed.</p>`,
  line: () => `tallystick signer revoke ${typed(signer)}`,
  run: async (_, requestId) => {
    await call("RevokeSigner", { requestId, signer: base64(signer) });
    return "The signer is revoked.";
  },
});

export const revokeIdentity = (name) => ({
  title: `Revoke ${name}`, verb: "Revoke it", danger: true,
    says: html`<p><strong>${name}</strong> is out within a second, open streams included, and the name never comes
    back.</p>`,
  line: () => `tallystick access revoke ${quoted(name)}`,
  run: async (_, requestId) => {
    await call("RevokeIdentity", { requestId, name });
    return `${name} is revoked.`;
  },
});
