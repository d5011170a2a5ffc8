/** A job as a card: how far it is while it is made, then its results and what can be done with them. */

import { save, shown } from "./api.js";
import { ago, button, clock, h, icon, say } from "./dom.js";
import { change } from "./edit.js";
import { KINDS, cancel, facts, follow, forget, over, preview, prompt, result, took } from "./jobs.js";
import { tiled, view } from "./media.js";

const SURE = 3000; // milliseconds in which a second click deletes
const WAITING = "Waiting for its turn";

/** studio: what the page does with a job: {models, made(job), reuse(job), animate(job, number)}. */
export function card(job, studio) {
  const element = h("article", {
    class: "card",
    "data-job": job.id,
    "data-kind": job.modality,
    "data-room": KINDS[job.modality].room,
    tabindex: -1,
  });
  const put = (now) => {
    element.dataset.status = now.status;
    element.setAttribute("aria-label", `${prompt(now)}, ${now.status}`);
    element.replaceChildren(
      ...(now.status === "done"
        ? finished(now, studio, element)
        : over(now)
          ? ended(now, studio, element)
          : making(now, put, element)),
    );
  };
  put(job);
  return element;
}

// ---- while it is made

function making(job, put, element) {
  const pictures = Array.from({ length: job.asked.n ?? 1 }, () => stage(job));
  const bar = h(
    "div",
    { class: "bar", role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0, "aria-valuemax": 100 },
    h("i", {}),
  );
  const text = h("span", { class: "state" }, WAITING);
  const stop = button(
    "Cancel",
    "close",
    async () => {
      stop.disabled = true;
      text.textContent = "Cancelling …";
      await cancel(job.id).catch((error) => {
        stop.disabled = false;
        text.textContent = error.message;
      });
    },
    { class: "quiet cancel" },
  );
  const look = looking(job, pictures);
  let quarter = 0; // of the way that was told of
  const show = (message) => Object.assign(text, { textContent: message });
  const tell = (progress) => {
    if (progress.status === "queued") return show(WAITING); // perhaps again, where the server was started anew
    element.dataset.status = "running";
    bar.firstChild.style.width = `${progress.percent}%`;
    bar.setAttribute("aria-valuenow", progress.percent);
    text.textContent = words(progress);
    bar.setAttribute("aria-valuetext", text.textContent);
    document.title = `${progress.percent}% · mediagen`;
    if (Math.floor(progress.percent / 25) > quarter) say(`${progress.percent} percent, ${text.textContent}`);
    quarter = Math.floor(progress.percent / 25);
    look(progress);
  };
  const ending = new AbortController();
  element.addEventListener("left", () => ending.abort(), { once: true });
  follow(job.id, { tell, lost: show, signal: ending.signal }).then((last) => {
    document.title = "mediagen";
    if (ending.signal.aborted) return;
    if (!last) return leave(element, job);
    put(last);
    say(last.status === "done" ? `Ready: ${prompt(last)}` : `${last.status}: ${last.error?.message ?? prompt(last)}`);
  });
  const busy = h("div", { class: `grid of${pictures.length}` }, pictures);
  return [
    busy,
    h("div", { class: "about" }, h("p", { class: "words" }, prompt(job))),
    h("div", { class: "progress" }, bar, h("div", { class: "row" }, text, stop)),
  ];
}

function words({ stage: at, step, total, seconds_left: left }) {
  if (at === "decode") return "Nearly there: decoding";
  if (!step) return "Starting";
  return `Step ${step} of ${total}${left === null ? "" : ` · ${clock(left)} left`}`;
}

/** A place for a preview, as large as the picture will be; of music, whose latents are shown, a strip. */
function stage(job) {
  const [width, height] = job.about.size ?? (job.modality === "audio" ? [4, 1] : [1, 1]);
  const image = h("img", { class: "made preview", alt: "" });
  image.style.aspectRatio = `${width} / ${height}`;
  image.style.setProperty("--wide", `${width * Math.max(1, Math.round(448 / Math.max(width, height)))}px`);
  if (job.modality === "audio") Object.assign(image.style, { width: "100%", height: "7rem", objectFit: "fill" });
  return image;
}

/** Shows previews as they come, none before the last one is there. */
function looking(job, images) {
  let busy = false;
  return async ({ preview: link, previews }) => {
    if (!link || busy || !images.length) return;
    busy = true;
    try {
      const found = await Promise.all(images.slice(0, previews).map((_, number) => preview(job.id, number)));
      found.forEach((content, number) => {
        shown(images[number], content);
        images[number].classList.add("seen");
      });
    } catch {
      // the step is over already, or the job is: the next one comes
    } finally {
      busy = false;
    }
  };
}

// ---- when it is over without a result

function ended(job, studio, element) {
  const why =
    job.status === "cancelled" ? "Cancelled." : `It failed: ${job.error?.message ?? "the server's log says why"}`;
  const again = button("Reuse", "reuse", () => studio.reuse(job));
  return [
    h(
      "div",
      { class: "about" },
      h("p", { class: "words" }, prompt(job)),
      h("p", { class: job.status === "failed" ? "wrong" : "facts" }, why),
    ),
    h("div", { class: "actions" }, again, gone(job, element)),
  ];
}

// ---- results

function finished(job, studio, element) {
  const model = studio.models.find((one) => one.id === job.model);
  const count = job.own ? 1 : job.results.length;
  let chosen = 0;
  const views = Array.from({ length: count }, (_, number) => view(job, number, { rate: model?.rate }));
  const which = h("span", { class: "which", hidden: count < 2 });
  const cells = views.map((one, number) => h("div", { class: "cell" }, one, count > 1 && pick(number)));
  function pick(number) {
    return h(
      "button",
      { type: "button", class: "pick", "aria-label": `Choose result ${number + 1}`, onclick: () => choose(number) },
      String(number + 1),
    );
  }
  function choose(number) {
    chosen = number;
    cells.forEach((cell, at) => {
      cell.classList.toggle("chosen", count > 1 && at === number);
      cell.querySelector(".pick")?.setAttribute("aria-pressed", at === number);
    });
    which.textContent = `${number + 1} of ${count}:`;
  }
  choose(0);
  const words_ = h("p", { class: "words" }, job.own ? job.name : prompt(job));
  const seconds = took(job);
  const told = job.own
    ? ["your file"]
    : [...facts(job), seconds === null ? null : `made in ${clock(Math.max(1, seconds))}`, ago(job.created_at)].filter(
        Boolean,
      );
  const about = h(
    "div",
    { class: "about" },
    words_,
    h(
      "p",
      { class: "facts" },
      told.map((one) => h("span", {}, one)),
    ),
  );
  const actions = h(
    "div",
    { class: "actions" },
    which,
    doing(job, studio, () => chosen, views),
    !job.own && button("Reuse", "reuse", () => studio.reuse(job)),
    gone(job, element),
  );
  return [h("div", { class: `grid of${count}` }, cells), about, actions];
}

/** What can be done with the result that is chosen. */
function doing(job, studio, chosen, views) {
  const open = (kind) => () => change(kind, job, chosen(), studio);
  const tile = job.modality === "image" && job.asked.loop;
  const animated = job.modality === "image" && studio.models.some((one) => one.modality === "video");
  return [
    !job.own && downloads(job, chosen),
    button("Vary", "vary", open("vary")),
    button("Inpaint", "brush", open("inpaint")),
    button("Extend", "extend", open("extend")),
    !job.own && button("Loop", "loop", open("loop")),
    animated && button("Animate", "video", () => studio.animate(job, chosen())),
    tile && repeated(job, chosen, views),
  ];
}

/** Whether a tile is seen once or again and again. */
function repeated(job, chosen, views) {
  const now = new Map();
  const press = button(
    "Repeat",
    "tile",
    () => {
      const at = chosen();
      const [old, other] = [now.get(at) ?? views[at], now.get(at) ? views[at] : tiled(job, at)];
      old.replaceWith(other);
      now.has(at) ? now.delete(at) : now.set(at, other);
      press.setAttribute("aria-pressed", now.has(at));
    },
    { "aria-pressed": "false" },
  );
  return press;
}

function downloads(job, chosen) {
  const file = async (format) => {
    menu.open = false;
    const name = `${prompt(job)
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .slice(0, 48)}-${job.asked.seed}${chosen() ? `-${chosen() + 1}` : ""}.${format}`;
    menu.classList.add("busy");
    try {
      save(await result(job, chosen(), format), name);
    } catch (error) {
      say(error.message);
    } finally {
      menu.classList.remove("busy");
    }
  };
  const formats = KINDS[job.modality].formats.map((format) =>
    h("button", { type: "button", onclick: () => file(format) }, format.toUpperCase()),
  );
  const menu = h(
    "details",
    { class: "menu" },
    h("summary", {}, icon("download"), h("span", {}, "Download")),
    h("div", { class: "list" }, formats),
  );
  menu.addEventListener("focusout", (event) => {
    if (!menu.contains(event.relatedTarget)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.open) {
      event.stopPropagation();
      event.preventDefault();
      menu.open = false;
      menu.firstChild.focus();
    }
  });
  return menu;
}

/** A card goes; whoever holds it is told. */
function leave(element, job) {
  element.dispatchEvent(new CustomEvent("gone", { bubbles: true, detail: job.id }));
  element.remove();
}

/** Delete, when it is clicked twice. */
function gone(job, element) {
  const wrong = h("span", { class: "wrong" });
  const sure = h("span", { hidden: true }, "Delete it?");
  const ask = (on) => {
    press.classList.toggle("sure", on);
    sure.hidden = !on;
  };
  const press = button(
    "Delete",
    "trash",
    async () => {
      if (!press.classList.contains("sure")) {
        ask(true);
        setTimeout(ask, SURE, false);
        return;
      }
      press.disabled = true;
      try {
        await forget(job);
        leave(element, job);
        say("Deleted");
      } catch (error) {
        wrong.textContent = error.message;
        press.after(wrong);
        press.disabled = false;
      }
    },
    { round: true, class: "quiet round gone" },
  );
  press.append(sure);
  return press;
}
