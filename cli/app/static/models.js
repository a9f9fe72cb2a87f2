// Adding a packed model: uploaded, looked at by the server, then shown.

import { byId, made } from "/static/requests.js";
import { upload } from "/static/uploads.js";

const form = byId("add-model"), input = byId("model-file"), arrived = byId("arrived");

input.addEventListener("change", () => {
  const [file] = input.files;
  if (!file) return;
  const bar = made("progress", "", { max: 1, value: 0, "aria-label": `Uploading ${file.name}` });
  arrived.replaceChildren(`${file.name} `, bar);
  input.disabled = true;
  upload("/api/models", file, Number(form.dataset.most), bar)
    .then((model) => location.assign(`/models/${model.id}`))
    .catch((error) => {
      const whose = error.message.includes(file.name) ? "" : `${file.name}: `;
      arrived.replaceChildren(made("span", `${whose}${error.message}`, { class: "leak" }));
      input.value = "";
      input.disabled = false;
    });
});
form.addEventListener("submit", (event) => event.preventDefault());
input.disabled = false;
