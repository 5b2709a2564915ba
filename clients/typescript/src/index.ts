export { agent, Agent, whyRefused, type AgentOptions, type Budget, type SpendAsset } from "./agent.js";
export { bundleMessage, packedBundle, type BundleEntry } from "./bundle.js";
export { EngineHttp, networkName, SCHEME, type Network, type Status } from "./engine.js";
export { BudgetError, PaymentInDoubtError, PaymentOverError, TallystickError } from "./errors.js";
export { decimal, parsePrice, units, type Asset } from "./money.js";
export { facilitator, seller, Seller, TallystickScheme, type SellerOptions } from "./seller.js";
export { memoryLanes, type LaneName, type LaneStore, type Line } from "./store.js";
export { signToken, type Credential, type KeyFile } from "./token.js";
export { AgentKey, channelId, message, packed, type Channel, type VoucherJson } from "./voucher.js";
