/** What can be done with a result: vary, inpaint, extend, loop. Each is a dialog that asks for one more job. */

import { brush, url } from "./brush.js";
import { dialog, h, icon, say, tell } from "./dom.js";
import { body } from "./compose.js";
import { amount, choice, seed, slider, stepper, words } from "./fields.js";
import { ask, prompt, result, source } from "./jobs.js";
import { bitmap, strip } from "./media.js";
import { hush, player } from "./sound.js";
import { span } from "./span.js";

const TITLES = { vary: "Vary", inpaint: "Inpaint", extend: "Extend", loop: "Loop" };
const ROOTS = { image: "/v1/images", audio: "/v1/audio", video: "/v1/videos" };

/** Open the dialog of a change of result `number`. Each change is {path, fields, top, hint, open(), more(), begins}: top
 * is above the fields and filled by open(); more() is what it asks for beside them; begins: whether from the result. */
export async function change(kind, job, number, studio) {
  hush();
  const made = { vary, inpaint, extend, loop }[kind](job, number, studio);
  const box = dialog(TITLES[kind], (close) => form(made, job, number, studio, close), {
    class: `edit ${kind}`,
    "data-room": studio.room(job.modality),
  });
  box.addEventListener("close", hush);
  const [make, wrong] = [".foot .main", ".foot .wrong"].map((name) => box.querySelector(name));
  make.disabled = true; // until there is something to change
  try {
    await made.open?.();
    make.disabled = false;
  } catch (error) {
    Object.assign(wrong, { textContent: error.message, hidden: false });
  }
}

function form({ path, fields, top, hint, more, begins = true }, job, number, studio, close) {
  const text = words("prompt", "Prompt", { rows: 2, placeholder: "What it shall be now" });
  text.set(job.own ? "" : prompt(job));
  const all = [text, ...fields, seed()];
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  const make = h("button", { class: "main" }, icon("spark"), h("span", {}, "Make"));
  const submit = async (event) => {
    event.preventDefault();
    all.forEach((one) => one.wrong(null));
    wrong.hidden = true;
    if (!text.value()) return text.wrong("Say what it shall be.");
    make.disabled = true;
    try {
      const begin = begins ? { [job.modality]: source(job, number) } : {};
      const model = job.own ? {} : { model: job.model };
      const asked = await ask(path, { ...model, ...begin, ...body(all), ...(await more?.()) });
      const here = element.isConnected;
      close();
      studio.made(asked, here);
    } catch (error) {
      const at = all.find((one) => one.name === error.param);
      if (!element.isConnected) tell(error.message);
      else if (at) at.wrong(error.message);
      else Object.assign(wrong, { textContent: error.message, hidden: false });
      say(error.message);
    } finally {
      make.disabled = false;
    }
  };
  const element = h(
    "form",
    { class: "stack", novalidate: true, onsubmit: submit },
    top,
    hint && h("p", { class: "hint" }, hint),
    all.map((one) => one.element),
    h("div", { class: "foot stack" }, wrong, make),
  );
  return element;
}

// ---- vary

function vary(job) {
  const strength = slider("strength", "How much changes", { min: 0.05, max: 1, step: 0.05, value: 0.6 });
  const path = job.modality === "video" ? "/v1/videos/edits" : `${ROOTS[job.modality]}/variations`;
  return {
    path,
    fields: [strength],
    hint: "Made anew from its noised self: little keeps it, 1 keeps nothing but the prompt.",
  };
}

// ---- inpaint

function inpaint(job, number, studio) {
  return { image: repaint, audio: mend, video: remake }[job.modality](job, number, studio);
}

function repaint(job, number) {
  const top = h("div", { class: "canvas" });
  let painted = null;
  const open = async () => {
    const picture = await bitmap(job, number);
    painted = brush(picture, picture.width, picture.height);
    top.replaceChildren(painted.element);
  };
  const more = async () => {
    const mask = await painted?.mask();
    if (!mask) throw new Error("Paint over what shall be made anew first.");
    return { mask };
  };
  return {
    path: "/v1/images/edits",
    fields: [],
    top,
    open,
    more,
    hint: "Paint over what shall be made anew; the rest stays as it is, to the pixel.",
  };
}

/** A part of a clip, dragged on its wave. */
function mend(job, number, studio) {
  const rate = studio.models.find((one) => one.modality === "audio")?.rate;
  const shown = player(() => result(job, number), { rate });
  const told = h("p", { class: "told", "aria-live": "off" });
  let part = null;
  const open = async () => {
    const { duration } = await shown.ready;
    part = span(shown.surface, {
      length: duration,
      start: duration * 0.4,
      end: duration * 0.7,
      change: ([from, to]) => {
        told.textContent = between(from, to);
      },
    });
  };
  const more = () => ({ start: part.read()[0], end: part.read()[1] });
  return {
    path: "/v1/audio/edits",
    fields: [],
    top: [shown.element, told],
    open,
    more,
    hint: "Drag a part of the wave, or move its ends with the arrow keys. All outside of it stays as it is.",
  };
}

/** Some seconds of a film, and if it is painted on, a part of its picture. */
function remake(job, number) {
  const frames = strip(job, number);
  const told = h("p", { class: "told" });
  const area = h("div", { class: "canvas" });
  let part = null;
  let painted = null;
  const open = async () => {
    const seconds = await frames.ready;
    part = span(frames.surface, {
      length: seconds,
      start: seconds * 0.4,
      end: seconds,
      change: ([from, to]) => {
        told.textContent = between(from, to);
      },
    });
    const picture = await bitmap(job, number);
    painted = brush(picture, picture.width, picture.height);
    area.replaceChildren(painted.element);
  };
  const more = async () => {
    const mask = await painted?.mask();
    const [start, end] = part.read();
    return { start, end, ...(mask && { mask }) };
  };
  const only = h("details", { class: "more" }, h("summary", {}, "Only a part of the picture", icon("more")), area);
  return {
    path: "/v1/videos/edits",
    fields: [],
    top: [frames.element, told, only],
    open,
    more,
    hint: "Drag the seconds that shall be made anew; paint if only a part of the picture shall be.",
  };
}

const between = (from, to) => `${from.toFixed(1)} s to ${to.toFixed(1)} s · ${(to - from).toFixed(1)} s made anew`;

// ---- extend

function extend(job, number) {
  if (job.modality === "image") return widen(job, number);
  const usual = job.about.seconds ? Math.max(1, Math.round(job.about.seconds / 2)) : 4;
  const [before, after] = job.modality === "audio" ? ["left", "right"] : ["left", "seconds"];
  const most = job.modality === "audio" ? 30 : 8;
  const fields = [
    slider(after, "Seconds after it", { min: 0, max: most, step: 0.5, value: usual, unit: "s" }),
    slider(before, "Seconds before it", { min: 0, max: most, step: 0.5, value: 0, unit: "s" }),
  ];
  return {
    path: `${ROOTS[job.modality]}/extensions`,
    fields,
    hint: "It goes on as the prompt says; what is there stays as it is.",
  };
}

/** A picture on a larger canvas, of which what is empty is made. */
function widen(job, number) {
  const sides = [
    ["right", "Right"],
    ["left", "Left"],
    ["both", "Both sides"],
    ["up", "Above"],
    ["down", "Below"],
  ];
  const side = choice(
    "side",
    "Where",
    sides.map(([value, label]) => ({ value, label })),
  );
  const part = choice("part", "How far", [
    { value: 0.5, label: "Half" },
    { value: 1, label: "As much again" },
  ]);
  const canvas = h("canvas", { class: "wider", role: "img", "aria-label": "The picture on its larger canvas" });
  let picture = null;
  const place = () => layout(picture, side.value(), part.value());
  const show = () => picture && lay(canvas, picture, place());
  side.onchange(show);
  part.onchange(show);
  const open = async () => {
    picture = await bitmap(job, number);
    show();
  };
  const more = async () => {
    const { width, height } = place();
    const cover = new OffscreenCanvas(width, height);
    lay(cover, picture, place());
    return { image: await url(await cover.convertToBlob({ type: "image/png" })) };
  };
  const quiet = (one) => ({ ...one, value: () => null });
  return {
    path: "/v1/images/edits",
    fields: [quiet(side), quiet(part)],
    top: h("div", { class: "canvas checks" }, canvas),
    open,
    more,
    begins: false,
    hint: "What is empty is made; the picture itself stays as it is.",
  };
}

function layout({ width, height }, side, part) {
  const more = (length) => Math.round((length * part) / 32) * 32;
  const [across, down] = [
    side === "up" || side === "down" ? 0 : more(width),
    side === "up" || side === "down" ? more(height) : 0,
  ];
  const x = side === "left" ? across : side === "both" ? across / 2 : 0;
  return { width: width + across, height: height + down, x, y: side === "up" ? down : 0 };
}

function lay(canvas, picture, { width, height, x, y }) {
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").drawImage(picture, x, y);
}

// ---- loop

/** The same words and the same seed once more, without an end. */
function loop(job) {
  const size = job.about.size?.length ? { size: job.about.size.join("x") } : {};
  const path = job.modality === "video" ? "/v1/videos" : `${ROOTS[job.modality]}/generations`;
  const hints = {
    image: "Made anew as a tile whose edges go on with each other.",
    audio: "Made anew as whole bars whose end goes on with their beginning.",
    video: "Made anew so that its end goes on with its beginning.",
  };
  const bars = stepper("bars", "Bars", { min: 1, max: 16, value: 4 });
  const fields =
    job.modality === "audio"
      ? [bars, amount("bpm", "Tempo (bpm)", { min: 20, max: 400 })]
      : [];
  const more = () => ({
    ...size,
    ...(job.modality === "audio" ? {} : { loop: true }),
    ...(job.modality === "video" && { seconds: job.about.seconds }),
    ...kept(job),
  });
  return { path, fields, begins: false, more, hint: hints[job.modality] };
}

/** The settings of the walk, as the API calls them. */
export function kept({ asked }) {
  const names = {
    steps: "steps",
    guidance: "guidance_scale",
    guidance_2: "guidance_scale_2",
    boundary: "boundary",
    negative: "negative_prompt",
    solver: "solver",
  };
  return Object.fromEntries(
    Object.entries(names)
      .filter(([from]) => asked[from] !== undefined && asked[from] !== null)
      .map(([from, to]) => [to, asked[from]]),
  );
}
