"use strict";
// Without this all is readable: links lead to the clips' rows. With it they move the player.
for (const stage of document.querySelectorAll("[data-player]")) {
  const name = stage.dataset.player, video = stage.querySelector("video");
  const links = [...document.querySelectorAll(`[data-of="${name}"] a, a.both[data-${name}]`)];
  const from = link => Number(link.dataset.from ?? link.dataset[name]);
  let large = stage.querySelector(".large"), lost = !video;

  const show = link => {
    const still = (link.closest("li") || link.closest("tr")).querySelectorAll("img")[name === "second" ? 1 : 0];
    if (still && large) large.src = still.src;
  };
  const mark = link => {
    for (const other of links) other.toggleAttribute("aria-current", false);
    if (link) link.setAttribute("aria-current", "true");
  };
  for (const link of links) link.addEventListener("click", event => {
    event.preventDefault();
    mark(link);
    if (lost) { show(link); return; }
    if (Number.isFinite(from(link))) video.currentTime = from(link);
    stage.scrollIntoView({ block: "nearest" });
  });
  for (const [place, link] of links.entries()) link.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = step && links[place + step];
    if (next) { event.preventDefault(); next.focus(); next.click(); }
  });
  if (!video) continue;

  const fail = () => {
    lost = true;
    if (!large && video.poster) {
      large = document.createElement("img");
      large.className = "large";
      large.alt = "A still of the video";
      large.src = video.poster;
      stage.prepend(large);
    }
    video.hidden = true;
    video.style.display = "none";
    for (const note of stage.querySelectorAll(".lost")) note.hidden = false;
    for (const speeds of stage.querySelectorAll(".speeds")) speeds.hidden = true;
  };
  video.addEventListener("error", fail);
  if (video.error) fail();
  video.addEventListener("timeupdate", () => {
    const now = video.currentTime + 1e-3;
    mark(links.filter(link => from(link) <= now && now < Number(link.dataset.to ?? Infinity)).pop());
  });

  const speeds = document.createElement("div");
  speeds.className = "speeds";
  speeds.append("Speed ");
  for (const [said, rate] of [["1", 1], ["½", 0.5], ["¼", 0.25]]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = said;
    button.setAttribute("aria-pressed", String(rate === 1));
    button.addEventListener("click", () => {
      video.playbackRate = rate;
      for (const other of speeds.querySelectorAll("button"))
        other.setAttribute("aria-pressed", String(other === button));
    });
    speeds.append(button);
  }
  stage.append(speeds);
}
