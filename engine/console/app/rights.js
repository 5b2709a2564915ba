// What a role is offered. The table is that of docs/ACCESS.md; the engine decides, whatever stands here.
import { hex } from "./format.js";

const READERS = ["operator", "approver", "auditor"];
const DESK = ["operator", "approver"];
const OWNERS = ["operator", "party"];
const CALLS = {
  CloseWindow: ["operator"], DisputeWindow: DESK, EndDispute: DESK, CreateBatch: ["operator"], ApproveBatch: DESK,
  AbortBatch: DESK, ReportLegs: ["operator"], ResolveLeg: DESK, AckTroubles: ["operator"], ConfirmProposal: DESK,
  WithdrawProposal: DESK, UpsertParty: ["operator"], SetCreditLimit: ["operator"], RevokeSigner: OWNERS, SetBudgets: OWNERS,
  RevokeIdentity: ["operator"], AddIdentity: ["operator"], ListParties: READERS, GetParty: [...READERS, "party"],
  ListWindows: READERS, ListBatches: READERS, FindLegs: [...READERS, "party"], ListNetPositions: READERS, FindIds: READERS,
  GetStatement: [...READERS, "party"], ListSigners: [...READERS, "party"], ListHistory: [...READERS, "party"],
  ListIdentities: [...READERS, "party", "facilitator"], GetStatus: READERS, ListTroubles: READERS, ListAuditLog: READERS,
  GetExposure: [...READERS, "party", "facilitator"], GetProof: [...READERS, "party"], ListProposals: READERS, ListExposures: READERS,
};

export const may = (who, name) => !!who && (who.role === "anyone" || (CALLS[name] ?? READERS).includes(who.role));

/** Why not, in words; undefined: they may. */
export function whyNot(who, name) {
  if (may(who, name)) return undefined;
  const roles = CALLS[name] ?? READERS;
  return `Your role is ${who?.role}. This takes ${roles.length > 1 ? `${roles.slice(0, -1).join(", ")} or ${roles.at(-1)}`
    : `the role ${roles[0]}`}.`;
}

/** An owner's own parties, as hexadecimal digits; undefined: whoever reads all. */
export const own = (who) => (who?.role === "party"
  ? (who.parties ?? []).map((id) => (/^[0-9a-f]{64}$/.test(id) ? id : hex(id))) : undefined);

const PAGES = {
  now: READERS, windows: READERS, batches: READERS, legs: [...READERS, "party"], parties: [...READERS, "party"],
  access: [...READERS, "party", "facilitator"], audit: [...READERS, "party"],
};
export const sees = (who, page) => who?.role === "anyone" || (PAGES[page] ?? READERS).includes(who?.role);
/** Where somebody begins. */
export const home = (who) => (sees(who, "now") ? "/now" : sees(who, "legs") ? "/parties" : "/access");
