// A shop on Express: 0.0001 EUR a call. Writes down every payment that was settled, one line of JSON each: its own books.
// Usage: FACILITATOR=http://HOST:PORT SELLER=PARTY [PORT=4021] [BOOKS=shop.jsonl] node shop.mjs
import { createWriteStream } from "node:fs";
import express from "express";
import { paymentMiddleware } from "@x402/express";
import { seller } from "@tallystick/x402";

const { FACILITATOR, SELLER, PORT = "4021", BOOKS = "shop.jsonl" } = process.env;
const books = createWriteStream(BOOKS, { flags: "a" });
const shop = await seller({ facilitator: FACILITATOR, payTo: SELLER });
shop.server.onAfterSettle(async ({ result }) => {
  const { success, transaction, amount, payer } = result;
  // A payment that is repeated is told again, with the same transaction.
  if (success) books.write(`${JSON.stringify({ transaction, amount, payer })}\n`);
});

const app = express();
app.use(paymentMiddleware({ "GET /weather": shop.price("0.0001 EUR") }, shop.server));
app.get("/weather", (_, answer) => answer.json({ weather: "sunny" }));
const listening = app.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${listening.address().port}`));
process.on("SIGTERM", () => {
  listening.close(() => books.end(() => process.exit(0)));
  listening.closeIdleConnections();
});
