/** What is asked for: the form of a room. */

import { h, icon, say, tell } from "./dom.js";
import { chips, some, EXAMPLES } from "./examples.js";
import { amount, choice, frame, menu, seed, shapes, slider, stepper, toggle, words } from "./fields.js";
import { ask } from "./jobs.js";
import { putting } from "./put.js";

const PATHS = { image: "/v1/images/generations", audio: "/v1/audio/generations", video: "/v1/videos" };
const SLOW = 1200; // milliseconds after which it is said why nothing happens yet
const PLACEHOLDERS = {
  image: "What shall be in the picture?",
  audio: "What shall it sound like? Genre, instruments, tempo …",
  video: "What shall move, and how?",
};

/** A form for a model of a modality. models: all that there are; adapters: what the server lets one put on them;
 * made(job): told of each job that the server has taken; other(name, prompt): another model was chosen, whose form is
 * another one. */
export function composer(modality, models, { model, adapters, made, other: swap }) {
  const prompt = words("prompt", "Prompt", { placeholder: PLACEHOLDERS[modality] });
  const own = { image: pictures, audio: music, video: videos }[modality](model);
  const walk = [
    models.length > 1 && choosing(models, model, (name) => swap(name, prompt.value())),
    words("negative_prompt", "What it shall not be", { rows: 1 }),
    amount("steps", "Steps", { placeholder: String(model.defaults.steps ?? "auto"), min: 1, step: 1 }),
    amount("guidance_scale", "Guidance", { placeholder: String(model.defaults.guidance ?? "auto"), min: 0 }),
    model.boundary && amount("guidance_scale_2", "Guidance, second network", { placeholder: "the same", min: 0 }),
  ].filter(Boolean);
  const put = putting(adapters, models, model);
  const fields = [prompt, ...own.fields, ...put, ...own.more, ...walk];
  const make = h(
    "button",
    { class: "main", type: "submit" },
    icon("spark"),
    h("span", {}, "Make"),
    h("kbd", { "aria-hidden": "true" }, "Ctrl ↵"),
  );
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  const surprise = h(
    "button",
    { type: "button", class: "chip surprise", onclick: () => choose(other(modality, prompt.value())) },
    icon("dice"),
    "Surprise me",
  );
  const choose = (text) => {
    prompt.set(text);
    prompt.wrong(null);
    prompt.area.focus();
  };
  const examples = chips(h, some(modality, modality === "image" ? 3 : 2), choose);
  examples.append(surprise);
  const styles = fold("Styles and pictures to follow", put, "groups");
  const more = fold("More settings", [...own.more, ...walk]);
  const form = h(
    "form",
    { class: "composer", novalidate: true, "aria-label": `Make a ${modality === "image" ? "picture" : "clip"}` },
    prompt.element,
    examples,
    own.fields.map((one) => one.element),
    put.length > 0 && styles,
    more,
    h("div", { class: "foot stack" }, wrong, make),
  );

  const refuse = (error) => {
    if (!form.isConnected) return tell(error.message); // another model was chosen meanwhile
    const at = fields.find((one) => one.name === error.param?.split(".")[0] && !one.element.hidden);
    const around = at?.element.closest("details");
    if (around) around.open = true;
    if (at) at.wrong(error.message);
    else wrong.textContent = error.message;
    wrong.hidden = Boolean(at);
    say(error.message);
  };
  const submit = async (event) => {
    event?.preventDefault();
    if (make.disabled) return; // it is asked for already
    wrong.hidden = true;
    fields.forEach((one) => one.wrong(null));
    if (!prompt.value()) return prompt.wrong("Say what to make, or take an example.");
    const label = make.querySelector("span");
    let slow = null;
    make.disabled = true;
    try {
      if (!(await sent(fields))) return;
      slow = setTimeout(() => {
        label.textContent = "Loading the model …";
      }, SLOW);
      made(await ask(PATHS[modality], body(fields)));
    } catch (error) {
      refuse(error);
    } finally {
      clearTimeout(slow);
      label.textContent = "Make";
      make.disabled = false;
    }
  };
  form.addEventListener("submit", submit);
  form.addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit());
  const refill = (values) => {
    fill(fields, own, more, walk, values);
    styles.open ||= put.some((one) => one.value() !== null);
  };
  return { element: form, fill: refill, focus: () => prompt.area.focus() };
}

/** Fields behind a line that opens. */
function fold(title, fields, kind = "pair") {
  const inside = h(
    "div",
    { class: kind },
    fields.map((one) => one.element),
  );
  return h("details", { class: "more" }, h("summary", {}, title, icon("more")), inside);
}

/** Whether all pictures that were chosen are there; those that are on their way are waited for. */
async function sent(fields) {
  const all = await Promise.all(fields.filter((one) => !one.element.hidden).map((one) => one.ready?.() ?? true));
  return all.every(Boolean);
}

/** What the fields that are shown ask for. */
export function body(fields) {
  const values = fields.filter((one) => !one.element.hidden).map((one) => [one.name, one.value()]);
  return Object.fromEntries(values.filter(([, value]) => value !== null));
}

/** Put the settings of an earlier job, in the API's words, into the form. */
function fill(fields, own, more, walk, values) {
  own.fill?.(values);
  for (const one of fields) one.set(values[one.name] ?? null);
  more.open ||= walk.some((one) => one.name !== "model" && values[one.name] !== undefined && values[one.name] !== null);
}

function other(modality, now) {
  const others = EXAMPLES[modality].filter((text) => text !== now);
  return others[Math.floor(Math.random() * others.length)];
}

function choosing(models, model, tell) {
  const field = menu(
    "model",
    "Model",
    models.map((one) => one.id),
  );
  field.set(model.id);
  field.onchange(tell);
  return { ...field, set: () => {} };
}

// ---- what each modality asks for beside the prompt. What a model's card does not say is left to the model.

function pictures(model) {
  const fields = [
    ...(model.size ? [shapes(model.size)] : []),
    stepper("n", "How many", { min: 1, max: 4, value: 1 }),
    seed(),
  ];
  return { fields, more: [toggle("loop", "Seamless tile", "its edges go on with each other")] };
}

function music(model) {
  const kind = choice("kind", "Length", [
    { value: "clip", label: "Clip" },
    { value: "loop", label: "Seamless loop" },
  ]);
  const seconds = model.seconds
    ? slider("seconds", "Seconds", { min: 1, max: 60, step: 1, value: model.seconds, unit: "s" })
    : amount("seconds", "Seconds");
  const bars = stepper("bars", "Bars", { min: 1, max: 16, value: 4 });
  const bpm = amount("bpm", "Tempo (bpm)", { min: 20, max: 400, step: 1 });
  const show = (value) => {
    seconds.element.hidden = value === "loop";
    bars.element.hidden = value !== "loop";
  };
  kind.onchange(show);
  show("clip");
  const fields = [
    { ...kind, value: () => null, set: () => {} },
    seconds,
    bars,
    bpm,
    stepper("n", "How many", { min: 1, max: 4, value: 1 }),
    seed(),
  ];
  return { fields, more: [], fill: (values) => kind.set(values.bars ? "loop" : "clip") };
}

function videos(model) {
  const most = Math.max(8, Math.ceil(model.seconds ?? 0));
  const seconds = model.seconds
    ? slider("seconds", "Seconds", { min: 1, max: most, step: 0.5, value: model.seconds, unit: "s" })
    : amount("seconds", "Seconds");
  const told = model.tasks.includes("motion");
  const size = model.size ? [shapes(model.size, { large: false })] : [];
  const fields = [
    seconds,
    ...size,
    frame("input_reference", "First frame"),
    frame("last", "Last frame"),
    toggle("loop", "Seamless loop"),
    seed(),
  ];
  const more = told ? [amount("motion", "Motion", { placeholder: "0 to 1", min: 0, max: 1, step: 0.05 })] : [];
  return { fields, more };
}
