// One question at a time, in front of the page: what will happen, whom it takes, and the same as a command.
import { html, useRef, useState } from "./lib.js";
import { changed, me, requestId, whose } from "./api.js";
import { useModal } from "./modal.js";
import { whyNot } from "./rights.js";
import { route } from "./route.js";
import { Store, say, useStore } from "./store.js";
import { AsCommand, Command, Icon, Wrong, settle } from "./ui.js";

const MOST = 256; // letters of a field: the engine takes no longer texts
const asked = new Store(undefined);

/**
 * `question`: {title, says (what will happen), fields: [{name, label, hint, value, options, required, check}],
 * line(values), verb, danger, run(values, requestId) -> what to say, or {text, to}}.
 */
let turn = 0;
export const question = (about) => asked.set({ ...about, turn: (turn += 1) });
export const noQuestion = () => asked.set(undefined);
// A question is about what one looks at, and for whoever looks.
let page = route.value.page;
route.listen((next) => {
  if (page) noQuestion();
  page = next.page;
});
whose.listen(noQuestion);

function Field({ of, value, values, set, wrong }) {
  const id = `field-${of.name}`, hint = wrong ?? (typeof of.hint === "function" ? of.hint(value, values) : of.hint);
  const common = { id, name: of.name, value, required: of.required, "aria-invalid": !!wrong,
    "aria-describedby": hint && `${id}-hint`, onInput: (event) => set(event.target.value) };
  return html`<div class="field"><label for=${id}>${of.label}</label>
    ${of.options
      ? html`<select ...${common}>${of.options.map(([name, text]) =>
        html`<option value=${name} key=${name} selected=${name === value}>${text}</option>`)}</select>`
      : html`<input ...${common} type="text" autocomplete="off"
        spellcheck=${false} maxlength=${MOST} />`}
    ${hint && html`<p id=${`${id}-hint`} class=${wrong ? "field-wrong" : "dim"}>${hint}</p>`}</div>`;
}

function Question({ of }) {
  const ids = useRef({}), acted = useRef(false);
  // It gives the focus back to the button, which is soon gone if something was done.
  const modal = useModal(noQuestion, () => settle(acted.current));
  const [values, set] = useState(() => Object.fromEntries((of.fields ?? []).map((field) =>
    [field.name, field.value ?? field.options?.[0]?.[0] ?? ""])));
  const [state, go] = useState({});
  const fields = (of.fields ?? []).filter((field) => !field.when || field.when(values));
  const wrongs = Object.fromEntries(fields.map((field) => [field.name, field.required && !values[field.name].trim()
    ? `${field.label} is needed.` : field.check?.(values[field.name], values)]));
  const act = async (event) => {
    event.preventDefault();
    if (state.busy) return;
    if (Object.values(wrongs).some(Boolean)) return go({ tried: true });
    go({ busy: true });
    try {
      // The same question again is the same request; another answer to it is another one.
      const id = (ids.current[JSON.stringify(values)] ??= requestId());
      const done = await of.run(values, id);
      acted.current = true;
      noQuestion();
      say(done?.text ?? done ?? "Done.");
      changed();
      if (done?.to) location.hash = done.to;
    } catch (error) {
      go({ error });
    }
    return undefined;
  };
  const says = typeof of.says === "function" ? of.says(values) : of.says;
  return html`<dialog ...${modal} aria-labelledby="question" class=${of.danger ? "danger" : ""}>
    <form onSubmit=${act} novalidate>
      <header><h2 id="question">${of.title}</h2><button type="button" class="quiet" aria-label="Close" onClick=${noQuestion}>
        <${Icon} name="close" /></button></header>
      <div class="says">${says}</div>
      ${fields.map((field) => html`<${Field} key=${field.name} of=${field} value=${values[field.name]} values=${values}
        wrong=${state.tried ? wrongs[field.name] : undefined} set=${(value) => set({ ...values, [field.name]: value })} />`)}
      <${Wrong} error=${state.error} />
      ${of.line && html`<${Command} line=${of.line(values)} />`}
      <footer><button type="button" onClick=${noQuestion}>Cancel</button>
        <button type="submit" class=${`act ${of.danger ? "bad" : "main"}`} disabled=${state.busy}>
          ${state.busy ? "…" : of.verb}</button></footer>
    </form></dialog>`;
}

export function Questions() {
  const of = useStore(asked);
  return of ? html`<${Question} of=${of} key=${of.turn} />` : null;
}

/** A button that asks first; where the role may not, the reason stands in its place (or nothing, with `hide`). */
export function Do({ call: name, label, ask, line, main, danger, hide, why }) {
  const who = useStore(me);
  const no = whyNot(who, name) ?? why;
  if (no) return hide ? null : html`<span class="no" title=${no}><span class="dim">${label}:</span> ${no}</span>`;
  return html`<span class="do"><button type="button" class=${main ? "main" : danger ? "bad" : ""}
    onClick=${() => question(ask())}>${label}</button>
    ${line && html`<${AsCommand} line=${line} what=${label} />`}</span>`;
}
