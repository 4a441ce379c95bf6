// Keeps the list of imports right, by one stream.

import { follow } from "./live.js";
import { fetchPart, labelOf, show, speak } from "./show.js";

let list = document.getElementById("imports");
const news = new Map();

function take(snapshot) {
  news.set(snapshot.id, snapshot);
  const item = list.querySelector(`[data-import="${snapshot.id}"]`);
  if (!item) return isNew(snapshot) && renew();
  const before = item.dataset.status;
  if (!show(item, snapshot) || !snapshot.finished_at || snapshot.status === before) return;
  speak(`${item.querySelector("a").textContent}: ${labelOf(snapshot)}`);
  if (snapshot.error_code) renew(); // To say why.
}

// Older ones stand on later pages.
function isNew(snapshot) {
  const newest = list.querySelector("time")?.dateTime ?? 0;
  return "takesNew" in list.dataset && new Date(snapshot.created_at) > new Date(newest);
}

async function renew() {
  const fresh = await fetchPart("imports");
  if (!fresh) return;
  const focused = list.querySelector("a:focus")?.getAttribute("href");
  list.replaceWith(fresh);
  list = fresh;
  if (focused) list.querySelector(`a[href="${focused}"]`)?.focus();
  news.forEach(take);
  news.clear();
}

follow({
  url: list.dataset.feedUrl,
  take,
  ask: renew,
  isMoving: () => "anyMoving" in list.dataset,
});
