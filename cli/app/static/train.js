// Training: into the queue, and its progress.

import { ask, say, trying } from "/static/requests.js";
import { lookAgain } from "/static/parts.js";

document.getElementById("train")?.addEventListener("submit", (event) => {
  event.preventDefault();
  trying(async () => {
    const found = await ask("POST", "/api/learn", { model: document.getElementById("model").value });
    say(found.place > 1 ? `It is number ${found.place} in the queue.` : "It begins.");
    lookAgain();
  });
});
