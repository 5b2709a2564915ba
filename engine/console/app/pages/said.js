// What the engine says in sentences: commands in it can be copied.
import { html } from "../lib.js";
import { clear } from "../format.js";
import { Icon, Written, copy } from "../ui.js";

export function Said({ text }) {
  return text.split(/(`[^`]+`)/).map((part, place) => {
    if (!part.startsWith("`")) return html`<${Written} key=${place} text=${part} />`;
    const line = clear(part.slice(1, -1));
    return html`<span class="said" key=${place}><code>${line}</code>
      ${line.startsWith("tallystick ") && html`<button type="button" class="copy" aria-label=${`Copy ${line}`}
      onClick=${() => copy(line)}><${Icon} name="copy" /></button>`}</span>`;
  });
}
