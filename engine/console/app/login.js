// The way in: a token or key typed, or a link that `tallystick console login` printed. It stands over the page, so that one
// comes back to where one was.
import { html, useState } from "./lib.js";
import { begin, ended, login, me } from "./api.js";
import { question } from "./dialog.js";
import { useModal } from "./modal.js";
import { say, useStore } from "./store.js";
import { Wrong } from "./ui.js";

/** By the code of a link. Where somebody is logged in, they are asked first: all tabs are the other's from then on. */
export async function byLink(code) {
  const who = me.value;
  if (who) {
    return question({
      title: `You are ${who.name || "anyone"}`, verb: "Log in by the link",
      says: html`<p>This link logs in whoever it was printed for, in all tabs of this browser. The login of <strong>
        ${who.name || "anyone"}</strong> (${who.role}) ends.</p>`,
      run: async () => {
        await login({ code });
        return `You are ${me.value.name || "anyone"} now.`;
      },
    });
  }
  try {
    return await login({ code });
  } catch (error) {
    say(error.message, "bad");
    return who === undefined ? begin() : undefined;
  }
}

export function Login({ again }) {
  const why = useStore(ended);
  const modal = useModal();
  const [token, set] = useState("");
  const [state, go] = useState({});
  const enter = async (event) => {
    event.preventDefault();
    if (state.busy) return;
    go({ busy: true });
    try {
      await login({ token: token.trim() });
    } catch (error) {
      go({ error });
    }
  };
  return html`<dialog ...${modal} class="login" aria-labelledby="login">
    <form onSubmit=${enter}>
      <h1 id="login"><${Mark} /> Tallystick</h1>
      <p>${again ? "Your session has ended. Log in to go on where you were."
        : "Log in with your operator's token or your API key."}</p>
      ${again && why && html`<p class="dim">The engine says: ${why}</p>`}
      <div class="field"><label for="token">Token or API key</label>
        <input id="token" name="token" type="password" autocomplete="current-password" spellcheck=${false} value=${token}
          onInput=${(event) => set(event.target.value)} /></div>
      <${Wrong} error=${state.error} />
      <button type="submit" class="main act" disabled=${state.busy || !token.trim()}>Log in</button>
      <p class="dim">No token at hand? <code>tallystick console login</code> prints a link that logs you in once.</p>
    </form></dialog>`;
}

export function Mark() {
  return html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" />
    <path d="M9 8v16M14 8v16M19 8v16M24 8v16" /><path class="tied" d="M6 20 27 12" /></svg>`;
}

