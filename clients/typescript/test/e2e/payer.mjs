// The agent of crash.test.mjs: pays for the jobs that it is told, eight at once, and says which are done. Killed at any moment.
// Usage: payer.mjs KEY FACILITATOR LANES URL JOB...
import { agent } from "@tallystick/x402";
import { NodeAgentKey, fileLanes } from "@tallystick/x402/node";

const [key, facilitator, lanes, url, ...jobs] = process.argv.slice(2);
const buyer = await agent({ key: new NodeAgentKey(key), facilitator, lanes: fileLanes(lanes) });
console.log("ready");
const side = Array.from({ length: 8 }, async () => {
  for (let job = jobs.shift(); job; job = jobs.shift()) {
    const answer = await buyer.fetch(`${url}?${job}`, { headers: { "Idempotency-Key": `job-${job}` } });
    const said = answer.headers.get("payment-response");
    await answer.arrayBuffer();
    if (answer.status === 200) console.log(`done ${job} ${JSON.parse(atob(said)).transaction}`);
    else console.error(job, answer.status, said && atob(said), atob(answer.headers.get("payment-required") ?? ""));
  }
});
await Promise.all(side);
await buyer.close();
