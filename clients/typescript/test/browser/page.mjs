// What a page of the tests holds; bundled as its owner would do it.
import { AgentKey, agent, whyRefused } from "@tallystick/x402";
import { browserLanes } from "@tallystick/x402/browser";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";

Object.assign(globalThis, { AgentKey, agent, browserLanes, whyRefused, wrapFetchWithPayment, x402Client });
