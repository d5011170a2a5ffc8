/** All that was made, the newest first. A tile opens as a card. */

import { shown } from "./api.js";
import { card } from "./card.js";
import { button, dialog, h, icon, say } from "./dom.js";
import { KINDS, first, found, list, over, prompt, result } from "./jobs.js";
import { decode, draw, hush } from "./sound.js";

const FILTERS = [
  ["", "All"],
  ["image", "Pictures"],
  ["audio", "Music"],
  ["video", "Video"],
];

export function gallery(studio) {
  const tiles = h("div", { class: "tiles" });
  const more = button("Show more", "more", () => load(), { hidden: true });
  const state = h("div", {});
  let modality = "";
  let last = null;
  let turn = 0;

  const filters = FILTERS.map(([value, name]) =>
    h("button", { type: "button", class: "chip", "aria-pressed": value === "", onclick: () => filter(value) }, name),
  );
  function filter(value) {
    modality = value;
    filters.forEach((one, at) => one.setAttribute("aria-pressed", FILTERS[at][0] === value));
    return refresh();
  }
  async function refresh() {
    last = null;
    tiles.replaceChildren();
    await load();
  }
  async function load() {
    const mine = (turn += 1);
    more.disabled = true;
    try {
      const page = await list({ modality, after: last, limit: 24 });
      if (mine !== turn) return;
      tiles.append(...page.data.map((job) => tile(job, studio)));
      last = page.data.at(-1)?.id ?? last;
      more.hidden = !page.has_more;
      state.replaceChildren(...(tiles.childElementCount ? [] : [empty()]));
    } catch (error) {
      if (mine === turn) state.replaceChildren(h("p", { class: "wrong", role: "alert" }, error.message));
    } finally {
      if (mine === turn) more.disabled = false;
    }
  }
  const element = h(
    "div",
    { class: "gallery" },
    h(
      "header",
      { class: "line" },
      h("h1", {}, "Gallery"),
      h("div", { class: "chips", role: "group", "aria-label": "Show" }, filters),
    ),
    state,
    tiles,
    h("div", { class: "center" }, more),
  );
  return { element, refresh };
}

function empty() {
  return h(
    "div",
    { class: "empty" },
    icon("gallery"),
    h("p", {}, "Nothing was made yet."),
    h("p", { class: "hint" }, "Whatever you make is kept here, with its settings, until you delete it."),
  );
}

/** What is seen of a job in the gallery; its media are fetched when it comes near. */
function tile(job, studio) {
  const face = h("div", { class: "face" });
  const open = () =>
    dialog(
      KINDS[job.modality].name === "picture" ? "Picture" : "Clip",
      (close) =>
        card(job, {
          ...studio,
          made: (made, go) => {
            if (go) close();
            studio.made(made, go);
          },
          reuse: (old) => {
            close();
            studio.reuse(old);
          },
          animate: (old, number) => {
            close();
            studio.animate(old, number);
          },
        }),
      { class: "sheet", "data-room": KINDS[job.modality].room },
    );
  const press = h(
    "button",
    {
      type: "button",
      class: "tile",
      "data-room": KINDS[job.modality].room,
      "data-status": job.status,
      onclick: () => {
        const box = open();
        box.addEventListener("gone", () => {
          box.close();
          press.remove();
        });
        box.addEventListener("close", () => {
          hush();
          box.querySelector(".card")?.dispatchEvent(new Event("left"));
          if (!over(job)) renew();
        });
      },
    },
    face,
    h("span", { class: "caption" }, icon(KINDS[job.modality].room), h("span", {}, prompt(job))),
  );
  /** What was being made when it was opened may be there by now, or gone. */
  const renew = () =>
    found(job.id)
      .then((now) => press.replaceWith(tile(now, studio)))
      .catch((error) => (error.status === 404 ? press.remove() : say(error.message)));
  seen(press, () => fill(face, job).catch((error) => say(error.message)));
  return press;
}

async function fill(face, job) {
  if (job.status !== "done") return face.replaceChildren(h("p", { class: "state" }, job.status));
  if (job.results.length > 1) face.append(h("span", { class: "badge" }, String(job.results.length)));
  if (job.modality === "audio") {
    const canvas = h("canvas", { class: "wave" });
    face.prepend(canvas);
    const buffer = await decode(await result(job, 0));
    new ResizeObserver(() => draw(canvas, buffer)).observe(canvas);
    document.addEventListener("themechange", () => canvas.isConnected && draw(canvas, buffer));
  } else {
    const image = h("img", { alt: "" });
    face.prepend(image);
    shown(image, await (job.modality === "video" ? first(job, 0) : result(job, 0)));
  }
}

/** Once, when an element comes near what is seen of the page. */
function seen(element, tell) {
  const watch = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      tell();
    },
    { rootMargin: "200px" },
  );
  watch.observe(element);
}
