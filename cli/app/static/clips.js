// Clips that were removed, put back.

import { ask, trying } from "/static/requests.js";

document.addEventListener("click", (event) => {
  const id = event.target.dataset?.putBack;
  if (id) trying(async () => {
    await ask("POST", `/api/rows/${id}/put-back`);
    location.reload();
  });
});
