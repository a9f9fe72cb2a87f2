// One clip: the player by frames, and a form that keeps itself.

import { ask, byId, made, numberIn, say, trying } from "/static/requests.js";
import "/static/parts.js";

const form = byId("row"), video = byId("video");
let row = JSON.parse(form.dataset.row);
let times = [], current = 0, playTo = null;

// The player. A frame is shown when the time is set to its middle.

const lengthOf = (frame) => (times[frame + 1] ?? times[frame] + 0.04) - times[frame];

function show(frame) {
  if (!times.length) return;
  video.pause();
  current = Math.min(times.length - 1, Math.max(0, frame));
  video.currentTime = times[current] + lengthOf(current) / 2;
  tell();
}

function frameAt(seconds) {
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (times[middle] <= seconds + 1e-4) low = middle; else high = middle - 1;
  }
  return low;
}

function tell() {
  byId("place").value = current;
  byId("frame").textContent = `frame ${current} of ${times.length}, ${times[current].toFixed(2)} s`;
  byId("place").setAttribute("aria-valuetext", byId("frame").textContent);
}

function drawPart() {
  if (!times.length) return;
  const start = row.start_frame ?? 0, end = Math.min(row.end_frame ?? times.length, times.length);
  byId("part").style.left = `${(100 * start) / times.length}%`;
  byId("part").style.width = `${(100 * Math.max(0, end - start)) / times.length}%`;
}

function playing() {
  if (video.paused) return;
  current = frameAt(video.currentTime);
  if (playTo !== null && current >= playTo - 1) show(playTo - 1);
  else { tell(); requestAnimationFrame(playing); }
}

function toggle(to = null) {
  playTo = to;
  if (video.paused) video.play().then(playing).catch(() => {}); else video.pause();
}

async function beginPlayer() {
  if (!video) return;
  times = (await ask("GET", `/previews/${form.dataset.video}.json`)).times;
  byId("place").max = times.length - 1;
  byId("end_frame").dataset.most = times.length;
  show(row.start_frame ?? 0);
  drawPart();
  video.addEventListener("pause", () => { byId("play").textContent = "Play"; });
  video.addEventListener("play", () => { byId("play").textContent = "Pause"; });
  byId("place").addEventListener("input", (event) => show(event.target.valueAsNumber));
  for (const [id, act] of Object.entries(DOES)) byId(id).addEventListener("click", act);
}

// By the ids of the buttons.
const DOES = {
  back: () => show(current - 1),
  on: () => show(current + 1),
  play: () => toggle(),
  "start-here": () => keep({ start_frame: current }),
  "end-here": () => keep({ end_frame: current }),
  "play-part": () => { show(row.start_frame ?? 0); toggle(row.end_frame); },
};
const KEYS = {
  ",": DOES.back, ".": DOES.on, " ": DOES.play, s: DOES["start-here"], e: DOES["end-here"], u: undo,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input:not([type=range]), select, textarea")) return;
  if (event.key === " " && event.target.matches("button, summary, a")) return;
  if (!KEYS[event.key] || (!video && event.key !== "u")) return;
  event.preventDefault();
  KEYS[event.key]();
});

// The form. Every change is sent when its field is left or has rested; one request at a time.

const NUMBERS = ["start_frame", "end_frame", "final_score", "difficulty"], TEXTS = ["group", "caption", "comment"];
const me = () => byId("who").value.trim();
let sending = Promise.resolve(), unsent = 0;
const resting = new Map(); // the fields whose change is not saved yet, each with its timer

function keep(changes) {
  byId("state").textContent = "saving …";
  unsent += 1;
  sending = sending.then(() => send(changes));
  return sending;
}

async function send(changes) {
  try {
    take(await ask("PATCH", `/api/rows/${row.id}`, { version: row.version, changes, who: me() }));
    return true;
  } catch (error) {
    byId("state").textContent = "not saved";
    if (error.status === 409) conflict(changes, error.found);
    else if (!keptAnyway(error)) say(error.message || "The server does not answer; this change is not saved.");
    return false;
  } finally {
    unsent -= 1;
    tellSaved();
  }
}

function tellSaved() {
  if (!unsent && !resting.size && byId("state").textContent === "saving …") byId("state").textContent = "saved";
}

// The row has the change, and the table on the disk could not be written.
function keptAnyway(error) {
  if (error.status !== 507 || !error.found.row) return false;
  take(error.found.row);
  byId("state").textContent = "kept, but not in the table yet";
  say(error.message);
  return true;
}

function undo() {
  sending = sending.then(() => trying(async () => {
    try {
      take(await ask("POST", `/api/rows/${row.id}/undo`, { version: row.version, who: me() }));
      byId("state").textContent = "undone";
    } catch (error) {
      if (!keptAnyway(error)) throw error;
    }
  }));
}

function conflict(changes, { error, row: theirs }) {
  const place = byId("conflict");
  const mine = Object.entries(changes).map(([name, value]) => `${name}: ${JSON.stringify(value)}`).join(", ");
  const over = made("button", "Keep mine on top of it", { type: "button" });
  const theirsIs = made("button", "Leave theirs", { type: "button" });
  const end = () => { place.hidden = true; };
  over.addEventListener("click", () => { end(); take(theirs); keep(changes); });
  theirsIs.addEventListener("click", () => { end(); take(theirs); byId("state").textContent = "theirs is kept"; });
  place.replaceChildren(made("p", `${error}. Your change is not saved: ${mine}.`), over, theirsIs);
  place.hidden = false;
  over.focus();
}

function take(found) {
  row = found;
  byId("undo").disabled = !row.undoable;
  fill();
  drawPart();
}

function put(input, value) {
  if (input && input !== document.activeElement && !resting.has(input)) input.value = value ?? "";
}

function fill() {
  for (const name of [...NUMBERS, ...TEXTS]) put(byId(name), row[name]);
  put(byId("mark"), row.marks[me()]);
  for (const input of form.querySelectorAll("[data-class]")) put(input, row.classes[input.dataset.class]);
  for (const name of Object.keys(row.classes)) if (!classInput(name)) addClass(name);
  const others = Object.entries(row.marks).filter(([name]) => name !== me());
  byId("marks").replaceChildren(...others.map(([name, mark]) => made("li", `${name}: ${mark}`)));
}

const classInput = (name) => form.querySelector(`[data-class="${CSS.escape(name)}"]`);

function addClass(name) {
  const place = made("p", "", { class: "field" });
  const input = made("input", "", { id: `class-${name}`, type: "text", maxlength: 100, "data-class": name });
  place.append(made("label", name, { for: `class-${name}` }), input);
  byId("classes").append(place);
  put(input, row.classes[name]);
  return input;
}

function changesOf(input) {
  let number = null;
  try {
    if (input.dataset.kind) number = numberIn(input);
  } catch (error) {
    byId("state").textContent = `not saved: ${error.message}`;
    return null;
  }
  if (NUMBERS.includes(input.id)) return number === (row[input.id] ?? null) ? null : { [input.id]: number };
  if (TEXTS.includes(input.id)) return input.value.trim() === (row[input.id] ?? "") ? null : { [input.id]: input.value };
  if (input.dataset.class) return { classes: { [input.dataset.class]: input.value } };
  if (input.id === "mark") {
    if (!me()) {
      say("Type your name first: your mark stands under it.");
      byId("state").textContent = "not saved";
      byId("who").focus();
      return null;
    }
    return number === (row.marks[me()] ?? null) ? null : { marks: { [me()]: number } };
  }
  return null;
}

const isOfTheRow = (input) =>
  [...NUMBERS, ...TEXTS, "mark"].includes(input.id) || input.dataset.class !== undefined;

function rested(input, wait) {
  if (!isOfTheRow(input)) return;
  clearTimeout(resting.get(input));
  byId("state").textContent = "saving …";
  const timer = setTimeout(async () => {
    const changes = changesOf(input), kept = changes && (await keep(changes));
    if (resting.get(input) !== timer) return; // it has changed again
    resting.delete(input);
    if (kept) fill();
    tellSaved();
  }, wait);
  resting.set(input, timer);
}

form.addEventListener("input", (event) => rested(event.target, 800));
form.addEventListener("change", (event) => rested(event.target, 0));
form.addEventListener("submit", (event) => event.preventDefault());
byId("undo").addEventListener("click", undo);
byId("who").value = localStorage.getItem("who") ?? "";
byId("who").addEventListener("change", () => { localStorage.setItem("who", me()); fill(); });
byId("add-class").addEventListener("click", () => {
  const name = byId("class-name").value.trim().replaceAll(" ", "_");
  if (name) (classInput(name) ?? addClass(name)).focus();
  byId("class-name").value = "";
});
byId("add-mark").addEventListener("click", () => trying(async () => {
  const name = byId("other").value.trim(), mark = numberIn(byId("other-mark"));
  if (!name || mark === null) { say("Type the judge's name and mark."); return; }
  keep({ marks: { [name]: mark } });
  byId("other").value = byId("other-mark").value = "";
}));
byId("mean").addEventListener("click", () => {
  const marks = Object.values(row.marks);
  if (!marks.length) { say("Nobody has marked it yet."); return; }
  keep({ final_score: Math.round((1e6 * marks.reduce((sum, mark) => sum + mark, 0)) / marks.length) / 1e6 });
});
byId("another").addEventListener("click", () => trying(async () => {
  const found = await ask("POST", `/api/videos/${form.dataset.video}/rows`);
  location.assign(`/clips/${found.id}`);
}));
byId("remove").addEventListener("click", () => trying(async () => {
  await sending;
  await ask("POST", `/api/rows/${row.id}/remove`, { version: row.version });
  location.assign("/clips");
}));
byId("score")?.addEventListener("click", () => trying(async () => {
  await sending;
  const found = await ask("POST", `/api/rows/${row.id}/score`, { model: byId("model").value });
  say(found.place > 1 ? `It is number ${found.place} in the queue.` : "It is being scored.");
  location.assign(`/scores/${found.id}/`);
}));
window.addEventListener("beforeunload", (event) => {
  if (/^(saving|not saved)/.test(byId("state").textContent)) event.preventDefault();
});
if (byId("preparing")) document.addEventListener("idle", () => location.reload());

fill();
for (const part of form.querySelectorAll("fieldset")) part.disabled = false;
trying(beginPlayer);
