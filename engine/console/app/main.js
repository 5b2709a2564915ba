// Starts the console: whoever the cookie says, and a login link, now or later.
import { html, render } from "./lib.js";
import { begin, hasBegun } from "./api.js";
import { byLink } from "./login.js";
import { code } from "./route.js";
import { Shell } from "./shell.js";
import "./live.js";

/** The code of a link, once. */
async function take() {
  const given = code.value;
  if (given === undefined) return;
  code.set(undefined);
  await byLink(given);
}

async function start() {
  // Who has never logged in here does not see the login before the link has been tried.
  if (code.value === undefined || hasBegun()) await begin();
  await take();
  code.listen(take);
}

render(html`<${Shell} />`, document.getElementById("app"));
start();
