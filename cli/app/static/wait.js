// A score that is not there yet: the page looks again until it is.

const id = location.pathname.split("/")[2];

async function look() {
  try {
    const job = await (await fetch(`/api/jobs/${id}?wait=20`)).json();
    if (["done", "failed"].includes(job.state)) location.reload();
    else {
      const place = job.place ? `Number ${job.place} in the queue.` : job.said || "It begins.";
      document.querySelector("main .note").textContent = place;
      setTimeout(look, 300);
    }
  } catch {
    setTimeout(look, 3000);
  }
}
look();
