/** Fields for what the server lets one put on a model: styles, pictures to follow, learned words, a refiner. */

import { h } from "./dom.js";
import { amount, frame, menu } from "./fields.js";

const NONE = "none";
const AS_IT_IS = "the picture as it is";

/** The fields of what a model takes. offered: what `GET /v1/adapters` says; models: those of its modality. */
export function putting(offered, models, model) {
  const names = (kind) => offered.filter((one) => one.object === kind).map((one) => one.id);
  const others = models.filter((one) => one.id !== model.id && one.takes.includes("refiner")).map((one) => one.id);
  const hints = names("hint");
  const fields = {
    lora: () => [named("lora", "Style (LoRA)", names("lora"))],
    control: () => [named("control", "Follow a picture (control network)", names("control"), { shown: true, hints })],
    image_prompt: () => [
      named("image_prompt", "Take after a picture (IP-Adapter)", names("image_prompt"), { shown: true }),
    ],
    words: () => [word(names("words"))],
    refiner: () => refined(others),
  };
  return Object.keys(fields)
    .filter((kind) => model.takes.includes(kind))
    .flatMap((kind) => fields[kind]())
    .filter(Boolean);
}

/** One of what there is, how strongly it acts and, if it is shown one, a picture. */
function named(name, label, names, { shown = false, hints = [] } = {}) {
  if (!names.length) return null;
  const which = menu(`${name}-name`, label, [NONE, ...names]);
  const picture = shown ? frame(`${name}-image`, "Picture") : null;
  const hint = hints.length ? menu(`${name}-hint`, "What is followed", [AS_IT_IS, ...hints]) : null;
  const weight = amount(`${name}-weight`, "How strongly", { placeholder: "1", min: -10, max: 10 });
  const parts = [picture, hint, weight].filter(Boolean);
  const read = () => {
    const asked = { name: which.value() };
    if (asked.name === NONE) return null;
    if (picture?.value()) asked.image = picture.value();
    if (hint && hint.value() !== AS_IT_IS) asked.hint = hint.value();
    if (weight.value() !== null) asked.weight = weight.value();
    return asked;
  };
  const write = ([given, ...more]) => {
    which.set(given && names.includes(given.name) ? given.name : null);
    picture?.set(null);
    hint?.set(given?.hint ?? null);
    weight.set(given?.weight ?? null);
    if (given && which.value() === NONE) which.wrong(`${given.name} is not here any more.`);
    else if (given && picture) picture.wrong("Choose its picture again.");
    else if (more.length) which.wrong("There were several: the first is here.");
  };
  return grouped(name, which, parts, { read, write, missing: picture });
}

/** A learned word, which stands in the prompt by its name. */
function word(names) {
  const hint = { element: h("p", { class: "hint" }, "Write it in the prompt, by this name.") };
  return one("words", "Learned word", names, { parts: [hint], read: (name) => ({ [name]: name }) });
}

/** Another model that walks the last part of the way, and the part that is left to the model itself. */
function refined(others) {
  const refiner = one("refiner", "Refined by", others);
  if (!refiner) return [];
  const share = amount("share", "The model's own part", { placeholder: "0.8", min: 0, max: 1, step: 0.05 });
  const show = () => {
    share.element.hidden = refiner.value() === null;
  };
  refiner.element.addEventListener("change", show);
  const set = (value) => {
    refiner.set(value);
    show();
  };
  show();
  return [{ ...refiner, set }, share];
}

/** One of several names, or none. */
function one(name, label, names, { parts = [], read = (value) => value } = {}) {
  if (!names.length) return null;
  const which = menu(`${name}-name`, label, [NONE, ...names]);
  const write = ([given, ...more]) => {
    which.set(names.includes(given) ? given : null);
    if (more.length) which.wrong("There were several: the first is here.");
  };
  return grouped(name, which, parts, {
    read: () => (which.value() === NONE ? null : read(which.value())),
    write,
  });
}

/** What belongs to a name is there once it is chosen. missing: the part that the server may miss. */
function grouped(name, which, parts, { read, write, missing }) {
  const element = h(
    "div",
    { class: "group", "data-field": name, role: "group" },
    [which, ...parts].map((part) => part.element),
  );
  const show = () => {
    for (const part of parts) part.element.hidden = which.value() === NONE;
  };
  which.onchange(show);
  const set = (value) => {
    which.wrong(null);
    missing?.wrong(null);
    write(listed(value));
    show();
  };
  const wrong = (message) => {
    missing?.wrong(null);
    if (message && missing && !missing.value()) missing.wrong("Choose a picture first.");
    else which.wrong(message);
  };
  set(null);
  return { name, element, value: read, set, wrong, ready: missing?.ready };
}

/** What an earlier job asked for, as a list: LoRA are [name, weight], learned words {word: name}. */
function listed(value) {
  if (value === null || value === undefined) return [];
  if (typeof value === "string") return [value];
  if (!Array.isArray(value)) return Object.values(value);
  return value.map((each) => (Array.isArray(each) ? { name: each[0], weight: each[1] } : each));
}
