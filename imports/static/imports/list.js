// Keeps the list of imports up to date with one stream.

import { follow } from "./stream.js";
import { announce, fetchPart, render, statusLabel } from "./render.js";

let list = document.getElementById("imports");
const recent = new Map(); // Rendered again after a refresh.

function onSnapshot(snapshot) {
  recent.set(snapshot.id, snapshot);
  const item = list.querySelector(`[data-import="${snapshot.id}"]`);
  if (!item) return isNew(snapshot) && refresh();
  const { status } = item.dataset;
  if (!render(item, snapshot) || !snapshot.finished_at || snapshot.status === status) return;
  announce(`${item.querySelector("a").textContent}: ${statusLabel(snapshot)}`);
  if (snapshot.error_code) refresh(); // To show the reason.
}

function isNew(snapshot) {
  const newest = list.querySelector("time")?.dateTime ?? 0;
  return "showsNew" in list.dataset && new Date(snapshot.created_at) > new Date(newest);
}

async function refresh() {
  const fresh = await fetchPart("imports");
  if (!fresh) return;
  const focused = list.querySelector("a:focus")?.getAttribute("href");
  list.replaceWith(fresh);
  list = fresh;
  if (focused) list.querySelector(`a[href="${focused}"]`)?.focus();
  recent.forEach(onSnapshot);
  recent.clear();
}

follow({
  url: list.dataset.feedUrl,
  onSnapshot,
  refresh,
  inProgress: () => "anyInProgress" in list.dataset,
});
