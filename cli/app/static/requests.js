// Requests to the server, and what a person is told of them.

export async function ask(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.status === 401) location.assign("/login");
  const found = answer.status === 204 ? {} : await answer.json();
  if (!answer.ok) throw Object.assign(new Error(found.error), { status: answer.status, found });
  return found;
}

// The number that an input holds, as people type it; null for nothing.
export function numberIn(input) {
  const text = input.value.trim().replace("−", "-");
  if (text === "") return null;
  if (input.dataset.kind === "whole") {
    if (!/^\d+$/.test(text)) throw new Error(`${text} is no number of a frame, such as 120`);
    const most = input.dataset.most;
    if (most && Number(text) > Number(most)) throw new Error(`${text} is more than the ${most} frames of the video`);
  } else {
    if (!/^[+-]?(\d+([.,]\d+)?|[.,]\d+)$/.test(text)) throw new Error(`${text} is no number, such as 7.5`);
    if (/^[+-]?[1-9]\d{0,2},\d{3}$/.test(text)) throw new Error(`${text} may be thousands; write it with a point, or without a comma`);
  }
  return Number(text.replace(",", "."));
}

export const byId = (id) => document.getElementById(id);

let fading;
export function say(text) {
  const place = byId("said");
  place.textContent = text;
  clearTimeout(fading);
  fading = setTimeout(() => { place.textContent = ""; }, 8000);
}

export async function trying(doing) {
  try {
    return await doing();
  } catch (error) {
    say(error.message || "The server does not answer; is aqa-app still running?");
    return undefined;
  }
}

export const made = (tag, text = "", attributes = {}) => {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
