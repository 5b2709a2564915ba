// An agent: calls a shop COUNT times, SIDE_BY_SIDE at once, and tells at the end what it paid for, as JSON.
// Usage: AGENT_KEY=agent.key FACILITATOR=http://HOST:PORT SHOP=URL [COUNT=10] [SIDE_BY_SIDE=8] [BUDGET=5] [LANES=agent.lanes] node agent.mjs
import { agent } from "@tallystick/x402";
import { fileLanes, readAgentKey } from "@tallystick/x402/node";

const { AGENT_KEY, FACILITATOR, SHOP, COUNT = "10", SIDE_BY_SIDE = "8", BUDGET = "5", LANES = "agent.lanes" } = process.env;
const buyer = await agent({
  key: await readAgentKey(AGENT_KEY),
  facilitator: FACILITATOR,
  lanes: fileLanes(LANES),
  budget: { EUR: { perPayment: "0.001", total: BUDGET } },
});

let left = Number(COUNT);
const paid = [], times = [], refused = {};
async function calls() {
  while (left-- > 0) {
    const start = performance.now();
    const answer = await buyer.fetch(SHOP);
    const said = answer.headers.get("payment-response") ?? answer.headers.get("payment-required");
    const payment = said ? JSON.parse(atob(said)) : {};
    await answer.arrayBuffer();
    if (answer.status === 200) {
      paid.push(payment.transaction);
      times.push(performance.now() - start);
    } else {
      const reason = payment.error ?? payment.errorReason ?? `status ${answer.status}`;
      refused[reason] = (refused[reason] ?? 0) + 1;
    }
  }
}
await Promise.all(Array.from({ length: Number(SIDE_BY_SIDE) }, calls));
await buyer.close();
console.log(JSON.stringify({ signer: buyer.signer, paid, times, refused, signed: buyer.signed("EUR") }));
