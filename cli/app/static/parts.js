// Parts of a page that the server makes anew while something is under way: [data-part].

import { ask, say, trying } from "/static/requests.js";

const OFTEN = 1000, SELDOM = 10000;
let timer, lost = false;

async function look(place) {
  const answer = await fetch(`/parts/${place.dataset.part}`);
  if (!answer.ok) return;
  const text = await answer.text();
  if (place.shown === text) return;
  const cancelling = document.activeElement?.dataset.cancel;
  place.innerHTML = text; // made by the server, where all text is escaped
  place.shown = text;
  if (cancelling) place.querySelector(`[data-cancel="${cancelling}"]`)?.focus();
}

export async function lookAgain() {
  clearTimeout(timer);
  const places = [...document.querySelectorAll("[data-part]")];
  const before = busy();
  try {
    if (!document.hidden) await Promise.all(places.map(look));
    if (lost) say("The server is there again.");
    lost = false;
  } catch {
    if (!lost) say("The server does not answer; is aqa-app still running?");
    lost = true;
  }
  if (before && !busy()) document.dispatchEvent(new Event("idle"));
  timer = setTimeout(lookAgain, busy() ? OFTEN : SELDOM);
}

const busy = () => document.querySelector("[data-busy]") !== null;

document.addEventListener("click", async (event) => {
  const id = event.target.dataset?.cancel;
  if (!id) return;
  await trying(() => ask("DELETE", `/api/jobs/${id}`));
  lookAgain();
});
document.addEventListener("visibilitychange", lookAgain);
lookAgain();
