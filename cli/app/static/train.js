// Training: into the queue, and its progress.

import { ask, byId, say, trying } from "/static/requests.js";
import { lookAgain } from "/static/parts.js";

byId("train")?.addEventListener("submit", (event) => {
  event.preventDefault();
  trying(async () => {
    const found = await ask("POST", "/api/learn", { model: byId("model").value });
    say(found.place > 1 ? `It is number ${found.place} in the queue.` : "It begins.");
    lookAgain();
  });
});
