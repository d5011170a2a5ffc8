/** The fields of a form: each has a name of the API's, an element, value(), set(value) and wrong(message). */

import { shown, upload } from "./api.js";
import { button, h, icon } from "./dom.js";

let count = 0;

/** A field around a control. read, write: its value as the API takes it, null where it is left out. */
function field(name, label, control, { read, write, hint, inputs = [control], group = false } = {}) {
  const id = `field-${name}-${(count += 1)}`;
  const error = h("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
  const title = group
    ? h("span", { class: "label", id: `${id}-label` }, label)
    : h("label", { class: "label", for: id }, label);
  if (group) control.setAttribute("aria-labelledby", `${id}-label`);
  else inputs[0].id = id;
  const element = h(
    "div",
    { class: `field ${name}`, "data-field": name },
    title,
    control,
    hint && h("p", { class: "hint" }, hint),
    error,
  );
  const wrong = (message) => {
    error.hidden = !message;
    error.textContent = message ?? "";
    for (const input of inputs) {
      input.setAttribute("aria-invalid", Boolean(message));
      input.setAttribute("aria-describedby", error.id);
    }
    if (!message) return;
    inputs[0].focus();
    error.scrollIntoView({ block: "nearest" });
  };
  element.addEventListener("input", () => wrong(null));
  return { name, element, value: read, set: write, wrong };
}

const number = (input) => (input.value.trim() === "" ? null : Number(input.value));

/** Several lines of words that grow with what is written. */
export function words(name, label, { placeholder, rows = 3 } = {}) {
  const area = h("textarea", { rows, placeholder, maxlength: 4000, enterkeyhint: "go", spellcheck: true });
  area.style.setProperty("--rows", rows);
  const write = (value) => {
    area.value = value ?? "";
  };
  return { ...field(name, label, area, { read: () => area.value.trim() || null, write }), area };
}

/** A number in a box of its own; empty: what the model is best at. */
export function amount(name, label, { placeholder = "auto", min, max, step = "any" } = {}) {
  const input = h("input", { type: "number", placeholder, min, max, step, inputmode: "decimal" });
  return field(name, label, input, {
    read: () => number(input),
    write: (value) => {
      input.value = value ?? "";
    },
  });
}

/** A number between two, on a slider and in a box beside it. The box takes more than the slider shows. */
export function slider(name, label, { min, max, step, value, unit = "" }) {
  const range = h("input", { type: "range", min, max, step, value, "aria-label": label });
  const box = h("input", { type: "number", min: 0, step: "any", value, inputmode: "decimal" });
  const fill = () => range.style.setProperty("--done", `${(100 * (range.value - min)) / (max - min)}%`);
  range.addEventListener("input", () => {
    box.value = range.value;
    fill();
  });
  box.addEventListener("input", () => {
    range.value = box.value;
    fill();
  });
  fill();
  const control = h("div", { class: "slider" }, range, h("span", { class: "unit" }, box, unit));
  const write = (given) => {
    box.value = range.value = given ?? value;
    fill();
  };
  return field(name, label, control, { read: () => number(box), write, inputs: [box, range] });
}

/** A small whole number: minus, the number, plus. */
export function stepper(name, label, { min, max, value }) {
  const box = h("input", { type: "number", min, max, step: 1, value, inputmode: "numeric" });
  const by = (change) => () => {
    box.value = Math.min(max, Math.max(min, Number(box.value) + change));
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const sign = (text, change, said) =>
    h("button", { type: "button", "aria-label": `${said} ${label.toLowerCase()}`, onclick: by(change) }, text);
  const control = h("div", { class: "stepper" }, sign("−", -1, "Fewer"), box, sign("+", 1, "More"));
  return field(name, label, control, {
    read: () => number(box),
    write: (given) => {
      box.value = given ?? value;
    },
    inputs: [box],
  });
}

/** The seed: empty for another one each time; the dice throws one that stays. */
export function seed() {
  const box = h("input", {
    type: "text",
    inputmode: "numeric",
    pattern: "[0-9]*",
    placeholder: "random",
    autocomplete: "off",
  });
  const dice = button(
    "Throw a seed",
    "dice",
    () => {
      box.value = crypto.getRandomValues(new Uint32Array(1))[0];
      dice.classList.toggle("thrown");
      box.dispatchEvent(new Event("input", { bubbles: true }));
    },
    { round: true },
  );
  const clear = button(
    "A new seed each time",
    "close",
    () => {
      write(null);
      box.focus();
    },
    { round: true },
  );
  const write = (value) => {
    box.value = value ?? "";
  };
  const read = () =>
    box.value.trim() === "" ? null : /^\d{1,15}$/.test(box.value.trim()) ? Number(box.value) : box.value;
  return field("seed", "Seed", h("div", { class: "seed" }, box, clear, dice), { read, write, inputs: [box] });
}

/** One of a few, side by side. choices: [{value, label, face?}]; null is left out of what is asked. */
export function choice(name, label, choices, value = choices[0].value) {
  const group = `choice-${(count += 1)}`;
  const box = h("div", { class: "choice", role: "radiogroup" });
  const add = (one) =>
    box.append(
      h(
        "label",
        { title: one.title },
        h("input", { type: "radio", name: group, value: String(one.value), checked: one.value === value }),
        h("span", {}, one.face, one.label),
      ),
    );
  choices.forEach(add);
  const known = [...choices];
  const inputs = () => [...box.querySelectorAll("input")];
  const read = () => known[inputs().findIndex((input) => input.checked)].value;
  const write = (given) => {
    const wanted = given ?? value;
    if (!known.some((one) => one.value === wanted)) {
      known.push({ value: wanted, label: String(wanted).replace("x", "×") });
      add(known.at(-1));
    }
    inputs()[known.findIndex((one) => one.value === wanted)].checked = true;
    box.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const made = field(name, label, box, { read, write, group: true, inputs: [box] });
  return { ...made, onchange: (tell) => box.addEventListener("change", () => tell(read())) };
}

/** Sizes as shapes, from the model's own [height, width]. */
export function shapes([height, width], { large = true } = {}) {
  const to = (scale, side) => Math.round((scale * side) / 16) * 16;
  const sizes = [["Square", 1, 1], ["Wide", 1.5, 1], ["Tall", 1, 1.5], ...(large ? [["Large", 2, 2]] : [])];
  const choices = sizes.map(([label, across, down]) => {
    const pixels = [to(across, width), to(down, height)];
    return {
      label,
      value: pixels.join("x"),
      title: `${pixels.join(" × ")} pixels`,
      face: h("i", { class: `shape ${label.toLowerCase()}` }),
    };
  });
  return choice("size", "Shape", choices);
}

/** On or off. */
export function toggle(name, label, hint) {
  const box = h("input", { type: "checkbox", role: "switch" });
  const control = h("label", { class: "switch" }, box, h("i", {}), h("span", {}, label, hint && h("small", {}, hint)));
  const made = field(name, label, control, {
    read: () => box.checked || null,
    write: (value) => {
      box.checked = Boolean(value);
    },
    inputs: [box],
  });
  made.element.querySelector(".label").remove();
  return made;
}

/** One of several names. */
export function menu(name, label, names) {
  const select = h(
    "select",
    {},
    names.map((one) => h("option", { value: one }, one)),
  );
  const made = field(name, label, select, {
    read: () => select.value,
    write: (value) => {
      select.value = value ?? names[0];
    },
  });
  return { ...made, onchange: (tell) => select.addEventListener("change", () => tell(select.value)) };
}

const EMPTY = "Choose or drop";

/** A picture to begin or end with: a file of one's own, dropped or chosen, or one that was made here. ready(): whether
 * the newest choice is with the server, which is waited for. */
export function frame(name, label) {
  let id = null;
  let choices = 0; // what was sent for an older one than the newest comes too late
  let sending = null;
  const picture = h("img", { alt: "" });
  const file = h("input", { type: "file", accept: "image/*", class: "unseen" });
  const text = h("span", {}, EMPTY);
  const take = button(`Take the ${label.toLowerCase()} away`, "close", () => write(null), {
    round: true,
    hidden: true,
  });
  const area = h("label", { class: "drop" }, file, icon("picture"), picture, text);
  const settle = () => {
    choices += 1;
    sending = null;
    area.classList.remove("busy");
  };
  const write = (given) => {
    settle();
    id = given?.id ?? null;
    take.hidden = !id;
    area.classList.toggle("filled", Boolean(id));
    text.textContent = id ? (given.label ?? "") : EMPTY;
    if (id) shown(picture, given.content);
    else file.value = "";
  };
  const send = async (content) => {
    const mine = (choices += 1);
    const answer = await upload(content, "image").catch((error) => ({ error }));
    if (mine !== choices) return sending ?? true;
    settle();
    if (answer.error) made.wrong(answer.error.message);
    else write({ id: answer.id, content, label: content.name });
    return !answer.error;
  };
  const keep = (content) => {
    if (!content) return;
    made.wrong(null);
    area.classList.add("busy");
    sending = send(content);
  };
  file.addEventListener("change", () => keep(file.files[0]));
  area.addEventListener("dragover", (event) => event.preventDefault());
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    keep(event.dataTransfer.files[0]);
  });
  const made = field(name, label, h("div", { class: "frame" }, area, take), { read: () => id, write, inputs: [file] });
  return { ...made, ready: () => sending ?? true };
}
