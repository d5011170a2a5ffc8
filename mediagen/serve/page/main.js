/** The page: its rooms, their addresses, the theme, and what cards may ask of it. */

import { get, upload } from "./api.js";
import { card } from "./card.js";
import { composer } from "./compose.js";
import { button, calm, h, icon, say, tell } from "./dom.js";
import { gallery } from "./gallery.js";
import { KINDS, list, prompt, result, source } from "./jobs.js";
import { kept } from "./edit.js";
import { live } from "./live.js";
import { hush } from "./sound.js";

const ROOMS = ["picture", "music", "video", "live", "gallery"];
const MODALITY = { picture: "image", music: "audio", video: "video", live: "audio" };
const NAMES = { image: "pictures", audio: "music", video: "video" };
const EMPTY = {
  image: ["Your pictures appear here.", "Each step of the way is shown while one is made."],
  audio: ["Your music appears here.", "Clips and loops, to play, mend and make longer."],
  video: ["Your clips appear here.", "From words, or from a picture that begins to move."],
};
const THEMES = ["auto", "light", "dark"];
const rooms = {}; // name -> what is in it, once it was opened
let models = null; // until the server has said which there are
let adapters = [];

const studio = {
  get models() {
    return models;
  },
  room: (modality) => KINDS[modality].room,
  /** A job that was asked for in a dialog. go: to its room; not where the dialog was left meanwhile. */
  made(job, go) {
    const { room } = KINDS[job.modality];
    if (go) visit(room);
    rooms[room]?.put(job); // one that is opened later lists it
  },
  reuse(job) {
    const room = visit(KINDS[job.modality].room);
    const { asked } = job;
    const names = ["n", "seed", "bars", "bpm", "motion", "lora", "control", "words", "image_prompt"];
    const own = Object.fromEntries([...names, "refiner", "share"].map((name) => [name, asked[name]]));
    const size = job.about.size?.length ? job.about.size.join("x") : null;
    room.use({
      ...own,
      ...kept(job),
      prompt: prompt(job),
      size,
      model: job.model,
      seconds: asked.bars ? null : job.about.seconds,
      loop: Boolean(asked.loop),
    });
    scrollTo({ top: 0, behavior: calm() ? "auto" : "smooth" });
    say("The settings are in the form.");
  },
  async animate(job, number) {
    const room = visit("video");
    try {
      const content = await result(job, number);
      room.use({ prompt: prompt(job), input_reference: { id: source(job, number), content, label: prompt(job) } });
    } catch (error) {
      tell(error.message);
    }
  },
};

// ---- rooms

/** A room of media: its form, and the newest of what was made. */
function workshop(modality) {
  const able = models.filter((one) => one.modality === modality);
  const cards = h("div", { class: "cards" });
  const nothing = h(
    "div",
    { class: "empty" },
    icon(KINDS[modality].room),
    EMPTY[modality].map((text, at) => h("p", { class: at ? "hint" : null }, text)),
  );
  const build = (model) =>
    composer(modality, able, {
      model,
      adapters,
      made: (job) => put(job), // the room may have been left meanwhile, and is not gone back to
      other: (name, text) => use({ model: name, prompt: text }),
    });
  let model = able[0];
  let form = able.length ? build(model) : null;
  /** Put settings into the form: that of the model that they are of, if it is still there. */
  function use(values) {
    const wanted = able.find((one) => one.id === values.model) ?? model;
    if (form && wanted !== model) {
      const next = build(wanted);
      form.element.replaceWith(next.element);
      [model, form] = [wanted, next];
    }
    if (!form) return; // the room says why
    form.fill(values);
    form.focus();
  }
  const put = (job, { old = false } = {}) => {
    if (cards.querySelector(`[data-job="${job.id}"]`)) return; // made while the list was on its way
    const made = card(job, studio);
    nothing.remove();
    old ? cards.append(made) : cards.prepend(made);
    if (!old && made.getBoundingClientRect().top > innerHeight - 200)
      made.scrollIntoView({ block: "start", behavior: calm() ? "auto" : "smooth" });
  };
  cards.addEventListener("gone", () => setTimeout(() => cards.childElementCount || cards.before(nothing)));
  const bar = h("header", { class: "line" }, h("h1", {}, "Latest"), form && opener(modality, put));
  const element = h(
    "div",
    { class: "studio" },
    form ? form.element : absent(modality),
    h("div", { class: "results" }, bar, nothing, cards),
  );
  list({ modality, limit: 8 })
    .then((page) => page.data.forEach((job) => put(job, { old: true })))
    .catch((error) => tell(error.message));
  return { element, use, put };
}

function absent(modality) {
  return h(
    "div",
    { class: "composer absent" },
    icon(KINDS[modality].room),
    h("p", {}, `This server has no model that makes ${NAMES[modality]}.`),
    h("p", { class: "hint" }, "Start it with one: ", h("code", {}, "mediagen serve --model NAME=FOLDER")),
  );
}

/** A file of one's own, to vary, inpaint, extend or animate. */
function opener(modality, put) {
  const file = h("input", {
    type: "file",
    accept: `${modality}/*`,
    class: "unseen",
    tabindex: -1,
    "aria-hidden": "true",
  });
  const press = button("Open a file", "file", () => file.click());
  file.addEventListener("change", async () => {
    const [given] = file.files;
    if (!given) return;
    press.disabled = true;
    try {
      const content = modality === "image" ? await fitting(given) : given;
      const kept_ = await upload(content instanceof File ? content : new File([content], given.name), modality);
      const size = modality === "image" ? content.size_ : null;
      put({
        id: kept_.id,
        own: true,
        content,
        name: given.name,
        modality,
        status: "done",
        endpoint: "files",
        asked: { prompt: "" },
        about: { size },
        results: [""],
      });
    } catch (error) {
      tell(error.message);
    } finally {
      press.disabled = false;
      file.value = "";
    }
  });
  return h("span", {}, file, press);
}

/** A picture at a size that the model is at home with: its shorter side, and sides of whole steps. */
async function fitting(given) {
  const picture = await createImageBitmap(given).catch(() => {
    throw new Error("This file is no picture that the browser can read.");
  });
  const side = Math.min(...(models.find((one) => one.modality === "image").size ?? [512]));
  const scale = side / Math.min(picture.width, picture.height);
  const size = [picture.width, picture.height].map((length) =>
    Math.min(4 * side, Math.max(side, Math.round((length * scale) / 32) * 32)),
  );
  const canvas = new OffscreenCanvas(...size);
  const paint = canvas.getContext("2d");
  paint.imageSmoothingQuality = "high";
  paint.drawImage(picture, 0, 0, ...size);
  return Object.assign(await canvas.convertToBlob({ type: "image/png" }), { size_: size });
}

function open(name) {
  if (name === "gallery") return gallery(studio);
  if (name !== "live") return workshop(MODALITY[name]);
  return models.some((one) => one.modality === "audio")
    ? live()
    : { element: h("div", { class: "studio" }, absent("audio")) };
}

/** Go to a room. What is heard in another one ends. A room is opened once it is known which models there are. back:
 * whether the browser's way back leads to where one was. */
function visit(name, { back = true } = {}) {
  if (location.hash !== `#${name}`) history[back ? "pushState" : "replaceState"](null, "", `#${name}`);
  for (const one of ROOMS) {
    const [tab, panel] = [document.getElementById(`tab-${one}`), document.getElementById(`room-${one}`)];
    tab.setAttribute("aria-selected", one === name);
    tab.tabIndex = one === name ? 0 : -1;
    if (one !== name && !panel.hidden) {
      hush();
      rooms[one]?.stop?.();
    }
    panel.hidden = one !== name;
  }
  document.documentElement.dataset.room = name;
  if (!models) return null;
  if (!rooms[name]) {
    rooms[name] = open(name);
    document.getElementById(`room-${name}`).append(rooms[name].element);
  }
  rooms[name].refresh?.();
  return rooms[name];
}

/** The room that the address names. One that names none, such as that of the content, is of the room one is in. */
function here() {
  const name = location.hash.slice(1);
  return ROOMS.includes(name) ? name : document.documentElement.dataset.room;
}

function tabs() {
  const all = ROOMS.map((name) => document.getElementById(`tab-${name}`));
  all.forEach((tab, at) => {
    tab.addEventListener("click", () => visit(ROOMS[at]));
    tab.addEventListener("keydown", (event) => {
      const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      const to = (next + all.length) % all.length;
      visit(ROOMS[to]);
      all[to].focus();
    });
  });
  addEventListener("popstate", () => visit(here(), { back: false }));
}

// ---- the theme

function theme() {
  const press = document.getElementById("theme");
  const show = (name) => {
    document.documentElement.dataset.theme = name;
    press.replaceChildren(icon({ auto: "auto", light: "sun", dark: "moon" }[name]));
    press.title = press.ariaLabel = `Colours: ${name}`;
    document.dispatchEvent(new Event("themechange"));
  };
  let name = localStorage.getItem("mediagen-theme") ?? "auto";
  press.addEventListener("click", () => {
    name = THEMES[(THEMES.indexOf(name) + 1) % THEMES.length];
    localStorage.setItem("mediagen-theme", name);
    show(name);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(name));
  show(THEMES.includes(name) ? name : "auto");
}

theme();
tabs();
try {
  const [known, put] = await Promise.all(["/v1/models", "/v1/adapters"].map((path) => get(path)));
  adapters = put.data;
  models = known.data;
  visit(here(), { back: false });
} catch (error) {
  tell(error.message);
}
