// Dropping videos: each is uploaded, with its progress, and scored if that is wished.

import { ask, byId, made, say, trying } from "/static/requests.js";
import { lookAgain } from "/static/parts.js";

const AT_ONCE = 3;
const waiting = [];
let underWay = 0;

function add(files) {
  for (const file of files) {
    const line = made("li", `${file.name} `);
    const bar = made("progress", "", { max: 1, value: 0, "aria-label": `Uploading ${file.name}` });
    line.append(bar);
    byId("uploads").append(line);
    waiting.push({ file, line, bar });
  }
  next();
}

function next() {
  while (underWay < AT_ONCE && waiting.length) {
    underWay += 1;
    const one = waiting.shift();
    upload(one)
      .then((row) => done(one, row))
      .catch((error) => one.line.replaceChildren(`${one.file.name}: `, made("span", error.message, { class: "leak" })))
      .finally(() => { underWay -= 1; next(); lookAgain(); });
  }
}

function upload({ file, bar }) {
  const most = Number(byId("upload").dataset.most);
  if (file.size > most) {
    return Promise.reject(new Error(`has ${Math.ceil(file.size / 2 ** 20)} MiB, at most ${most / 2 ** 20} are taken`));
  }
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/videos?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = (event) => { if (event.lengthComputable) bar.value = event.loaded / event.total; };
    request.onload = () => {
      let found = {};
      try { found = JSON.parse(request.responseText); } catch { /* no JSON: said below */ }
      if (request.status === 201) resolve(found);
      else reject(new Error(found.error || `the server said ${request.status}`));
    };
    request.onerror = () => reject(new Error("the connection was lost; choose it again"));
    request.send(file);
  });
}

async function done({ line, file }, row) {
  line.remove();
  if (!byId("at-once").checked) {
    say(`${file.name} is there.`);
    return;
  }
  const difficulty = byId("difficulty")?.valueAsNumber;
  if (Number.isFinite(difficulty)) {
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
byId("files").addEventListener("change", (event) => { add([...event.target.files]); event.target.value = ""; });
byId("upload").addEventListener("submit", (event) => event.preventDefault());
byId("model")?.addEventListener("change", (event) => {
  for (const facts of document.querySelectorAll("[data-model]")) {
    facts.hidden = facts.dataset.model !== event.target.value;
  }
});
