// Starts the console: a login link first, else whoever the cookie says.
import { html, render } from "./lib.js";
import { begin, login } from "./api.js";
import { takeCode } from "./login.js";
import { say } from "./store.js";
import { Shell } from "./shell.js";
import "./live.js";

async function start() {
  const code = takeCode();
  if (code) {
    try {
      return await login({ code });
    } catch (error) {
      say(error.message, "bad");
    }
  }
  return begin();
}

render(html`<${Shell} />`, document.getElementById("app"));
start();
