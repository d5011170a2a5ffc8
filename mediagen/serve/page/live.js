/** Music that is made while it is heard, and follows its prompt as it is edited. */

import { save } from "./api.js";
import { button, clock, h, icon, moment, say } from "./dom.js";
import { chips, some } from "./examples.js";
import { amount, slider, words } from "./fields.js";
import { hush } from "./sound.js";
import { listen, scope } from "./stream.js";

const PAUSE = 700; // milliseconds after the last key until a prompt is sent

export function live() {
  const prompt = words("prompt", "What is heard", { placeholder: "slow jazz, piano and double bass, 96 bpm", rows: 3 });
  const bpm = amount("bpm", "Tempo (bpm)", { min: 20, max: 400, step: 1 });
  const guidance = amount("guidance_scale", "Guidance", { placeholder: "auto", min: 0 });
  const volume = slider("volume", "Volume", { min: 0, max: 100, step: 1, value: 80, unit: "%" });
  const canvas = h("canvas", { class: "scope", role: "img", "aria-label": "What is heard now" });
  const state = h("p", { class: "state" }, "Press play, then edit the prompt: the music follows.");
  const heard = h("ol", { class: "heard", "aria-label": "What was heard" });
  const keep = button("Save what was heard", "download", () => stream && save(stream.recorded(), "mediagen-live.wav"), {
    hidden: true,
  });
  const start = h("button", { class: "main start", type: "submit" }, icon("play"), h("span", {}, "Play"));
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  let stream = null;
  let starting = null; // what ends a stream that is not heard yet
  let sent = Promise.resolve(); // changes reach the server one after the other
  let timer = null;

  const refuse = (error) => {
    const at = [prompt, bpm, guidance].find((one) => one.name === error.param);
    if (at) at.wrong(error.message);
    else Object.assign(wrong, { textContent: error.message, hidden: false });
  };
  const face = (on) => {
    start.querySelector("use").setAttribute("href", on ? "#i-stop" : "#i-play");
    start.querySelector("span").textContent = on ? "Stop" : "Play";
    element.classList.toggle("on", on);
  };
  async function begin() {
    hush();
    for (const one of [prompt, bpm, guidance]) one.wrong(null);
    wrong.hidden = true;
    if (!prompt.value()) prompt.set(some("live", 1)[0]);
    face(true);
    start.disabled = true;
    state.textContent = "Starting: the first seconds are made …";
    const asked = wanted();
    starting = new AbortController();
    try {
      stream = await listen(asked, { volume: () => (volume.value() ?? 80) / 100, told, ended, end: starting });
      keep.hidden = false;
      list([{ second: 0, prompts: [[asked.prompt]] }]);
      scope(canvas, stream.analyser, () => stream?.on);
      if (JSON.stringify(wanted()) !== JSON.stringify(asked)) edit(); // it was edited meanwhile
    } catch (error) {
      ended(error.name === "AbortError" ? null : error);
    } finally {
      starting = null;
      start.disabled = false;
    }
  }
  const wanted = () =>
    Object.fromEntries(
      [prompt, bpm, guidance].map((one) => [one.name, one.value()]).filter(([, value]) => value !== null),
    );
  function told({ ahead, gap, factor }) {
    state.textContent = gap
      ? `Waiting for the server${factor ? `: it makes music at ${factor.toFixed(1)} times the speed that it is heard at` : ""} …`
      : `${moment(stream?.second() ?? 0)} · ${clock(ahead)} ahead`;
  }
  function ended(error) {
    face(false);
    state.textContent = error ? "" : "Stopped.";
    if (error) refuse(error);
  }
  const edit = () => {
    sent = sent.then(change);
  };
  async function change() {
    const mine = stream;
    if (!mine?.on) return;
    for (const one of [prompt, bpm, guidance]) one.wrong(null);
    wrong.hidden = true;
    if (!prompt.value()) return;
    try {
      const now = await mine.change(wanted());
      if (mine !== stream) return;
      list(now.heard, now.prompt);
      say(`The music will follow: ${now.prompt}`);
    } catch (error) {
      if (mine.on) refuse(error);
    }
  }
  /** What is heard from which second on, the newest first; the one that is still to come above all. */
  function list(changes, coming) {
    const text = (one) => one.prompts.map(([said]) => said).join(" + ");
    const rows = changes.map((one) => ({ at: moment(one.second), text: text(one) }));
    const last = typeof coming === "string" && coming !== rows.at(-1)?.text ? [{ at: "next", text: coming }] : [];
    heard.replaceChildren(
      ...[...rows, ...last].reverse().map((row) => h("li", {}, h("b", {}, row.at), h("span", {}, row.text))),
    );
  }
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(edit, PAUSE);
  };
  for (const one of [prompt, bpm, guidance]) one.element.addEventListener("input", later);
  volume.element.addEventListener("input", () => stream?.volume());
  const choose = (text) => {
    prompt.set(text);
    later();
  };
  const submit = (event) => {
    event.preventDefault();
    if (stream?.on) stream.stop();
    else begin();
  };

  const element = h(
    "form",
    { class: "live", onsubmit: submit, novalidate: true },
    h(
      "div",
      { class: "composer" },
      prompt.element,
      chips(h, some("live", 4), choose),
      h("div", { class: "pair" }, bpm.element, guidance.element),
      volume.element,
      h("div", { class: "foot stack" }, wrong, start),
    ),
    h("div", { class: "results" }, h("div", { class: "deck" }, canvas, h("div", { class: "row" }, state, keep)), heard),
  );
  new ResizeObserver(() => stream?.on || scope(canvas, null, () => false)).observe(canvas);
  document.addEventListener("themechange", () => stream?.on || scope(canvas, null, () => false));
  const stop = () => {
    starting?.abort();
    if (stream?.on) stream.stop();
  };
  return { element, stop };
}
