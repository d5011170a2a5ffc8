/** Jobs of the server: asked for, followed, cancelled, and their settings in words. */

import { blob, call, events, get, post, remove } from "./api.js";

/** Streams of events that are open at once: browsers open six connections to a server, and others need some. */
const MOST = 2;
const LONGEST = 15_000; // milliseconds after which a server that does not answer is asked again
let open = 0;
const waiting = [];

export const KINDS = {
  image: { room: "picture", name: "picture", formats: ["png", "webp", "jpeg"], stored: "png" },
  audio: { room: "music", name: "clip", formats: ["flac", "wav", "mp3", "opus"], stored: "flac" },
  video: { room: "video", name: "clip", formats: ["mp4", "webm", "gif", "mkv"], stored: "mp4" },
};

/** Ask for media: the job as the jobs API shows it. Videos answer in OpenAI's shape, pictures and music with the job. */
export async function ask(path, body) {
  const video = path.startsWith("/v1/videos");
  const answer = await post(path, video ? body : { ...body, wait: false });
  return video ? found(answer.id) : answer;
}

/** A job as it is now. */
export const found = (id, signal) => get(`/v1/jobs/${id}`, signal);

/** Follow a job to its end: `tell(progress)` each time something changes, `lost(message)` where the server does not
 * answer, which is asked again. The job as it ended, null if it is gone. */
export async function follow(id, { tell, lost, signal }) {
  if (open < MOST) open += 1;
  else await new Promise((turn) => waiting.push(turn));
  try {
    return await followed(id, { tell, lost, signal });
  } finally {
    const next = waiting.shift();
    next ? next() : (open -= 1);
  }
}

async function followed(id, { tell, lost, signal }) {
  for (let tries = 0; ; tries += 1) {
    try {
      for await (const { name, data } of events(`/v1/jobs/${id}/events`, signal)) {
        tries = 0;
        if (name !== "progress") return data;
        tell(data);
      }
      const now = await found(id, signal); // what cut the stream off may have been a server that stops, or a proxy
      if (over(now)) return now;
    } catch (error) {
      if (error.name === "AbortError" || error.status === 404) return null;
      lost(error.message);
    }
    await new Promise((done) => setTimeout(done, Math.min(1000 * 2 ** tries, LONGEST)));
  }
}

export const cancel = (id) => post(`/v1/jobs/${id}/cancel`, {});
export const forget = (job) => remove(job.own ? `/v1/files/${job.id}` : `/v1/jobs/${job.id}`);
export const over = (job) => ["done", "failed", "cancelled"].includes(job.status);

/** The newest jobs, of a modality or of all, from the one after `after` on. */
export function list({ modality, after, limit = 12 } = {}) {
  const query = new URLSearchParams({ limit, ...(modality && { modality }), ...(after && { after }) });
  return get(`/v1/jobs?${query}`);
}

/** A result as a file in a format, else in its own; of a file of one's own, that file. */
export function result(job, number, format) {
  if (job.own) return Promise.resolve(job.content);
  return blob(`/v1/jobs/${job.id}/results/${number}?format=${format ?? KINDS[job.modality].stored}`);
}

export const first = (job, number) => blob(`/v1/videos/${job.id}/content?variant=thumbnail&number=${number}`);
export const preview = async (id, number) => (await call(`/v1/jobs/${id}/preview?number=${number}`)).blob();

/** How a later request names one of a job's results as what it begins from. */
export const source = (job, number) => (number ? `${job.id}:${number}` : job.id);

/** Its words; of a timeline the first ones. */
export function prompt(job) {
  const asked = job.asked.prompt;
  return typeof asked === "string"
    ? asked
    : asked.map(([at, text]) => (typeof at === "number" ? text : at)).join(" → ");
}

const VERBS = { edits: "edited", variations: "varied", extensions: "extended", remix: "varied" };

/** What was done, in a few words: ["192×128", "seed 7", "20 steps"]. */
export function facts(job) {
  const { asked, about } = job;
  const verb = VERBS[job.endpoint.split(".")[1]];
  const looped = asked.loop || asked.bars;
  return [
    verb,
    about.size?.length ? about.size.join("×") : null,
    about.seconds ? `${Number(about.seconds.toFixed(1))} s` : null,
    looped ? (job.modality === "image" ? "tile" : "loop") : null,
    asked.bpm ? `${asked.bpm} bpm` : null,
    about.steps ? `${about.steps} steps` : null,
    `seed ${asked.seed}`,
    ...put(asked),
  ].filter(Boolean);
}

/** What was put on its model, by name. */
function put({ lora = [], control = [], image_prompt = [], words = [], refiner }) {
  const names = [...control, ...image_prompt].map((one) => one.name);
  return [...lora.map(([name]) => name), ...names, ...Object.values(words), refiner];
}

/** How long it took, if that is known. */
export function took(job) {
  return job.started_at && job.completed_at && job.status === "done" ? job.completed_at - job.started_at : null;
}
