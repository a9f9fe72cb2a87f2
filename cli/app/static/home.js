// Dropping videos: each is uploaded, with its progress, and scored if that is wished.

import { ask, byId, made, numberIn, say, trying } from "/static/requests.js";
import { lookAgain } from "/static/parts.js";
import { upload } from "/static/uploads.js";

const AT_ONCE = 3;
const waiting = [];
let underWay = 0;

function add(files) {
  const difficulty = byId("difficulty") ? numberIn(byId("difficulty")) : null;
  for (const file of files) {
    const line = made("li", `${file.name} `);
    const bar = made("progress", "", { max: 1, value: 0, "aria-label": `Uploading ${file.name}` });
    line.append(bar);
    byId("uploads").append(line);
    waiting.push({ file, line, bar, difficulty });
  }
  next();
}

function next() {
  while (underWay < AT_ONCE && waiting.length) {
    underWay += 1;
    const one = waiting.shift();
    upload("/api/videos", one.file, Number(byId("upload").dataset.most), one.bar)
      .then((row) => done(one, row))
      .catch((error) => one.line.replaceChildren(`${one.file.name}: `, made("span", error.message, { class: "leak" })))
      .finally(() => { underWay -= 1; next(); lookAgain(); });
  }
}

async function done({ line, file, difficulty }, row) {
  line.remove();
  if (!byId("at-once").checked) {
    say(`${file.name} is there.`);
    return;
  }
  if (difficulty !== null) {
    await ask("PATCH", `/api/rows/${row.id}`, { version: row.version, changes: { difficulty } });
  }
  await ask("POST", `/api/rows/${row.id}/score`, { model: byId("model").value });
}

const drop = byId("drop");
for (const kind of ["dragenter", "dragover"]) {
  drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
}
drop.addEventListener("drop", (event) => trying(async () => add(event.dataTransfer.files)));
byId("files").addEventListener("change", (event) => trying(async () => {
  const files = [...event.target.files];
  event.target.value = "";
  add(files);
}));
byId("files").disabled = false;
byId("upload").addEventListener("submit", (event) => event.preventDefault());
byId("model")?.addEventListener("change", (event) => {
  for (const facts of document.querySelectorAll("[data-model]")) {
    facts.hidden = facts.dataset.model !== event.target.value;
  }
});
