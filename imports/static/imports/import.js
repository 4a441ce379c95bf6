// Keeps the page of an import up to date. If a new status needs other elements, the section is
// fetched again.

import { follow } from "./stream.js";
import { announce, fetchPart, render, statusLabel, texts } from "./render.js";

const RETRY_MS = 2000;

let section = document.getElementById("import");
let renderedStatus = section.dataset.status;
let newest = null;

const inProgress = (status = section.dataset.status) =>
  section.dataset.inProgressStatuses.split(" ").includes(status);
const isFinished = () => "isFinal" in section.dataset && !needsReload();

// Between statuses in progress, only fields change.
function needsReload() {
  const { status } = section.dataset;
  return status !== renderedStatus && !(inProgress(status) && inProgress(renderedStatus));
}

function onSnapshot(snapshot) {
  const { status, progress_percent: percent, version } = snapshot;
  const before = { ...section.dataset, percent: section.querySelector("progress").value };
  const receivedAt = version === newest?.version ? newest.receivedAt : performance.now();
  if (!render(section, snapshot, toFields({ ...snapshot, receivedAt }))) return;
  newest = { ...snapshot, receivedAt };
  // A button that the status hides must not keep the focus.
  if (section.contains(document.activeElement?.closest("[hidden]"))) section.querySelector("h1").focus();
  const quarter = 25 * Math.floor(percent / 25);
  if (inProgress(status)) document.title = `${percent} % · ${section.dataset.fileName}`;
  if (needsReload()) reload();
  else if (status !== before.status) announce(statusLabel(snapshot));
  else if (quarter > before.percent) announce(texts.percent.replace("{n}", quarter));
}

async function refresh() {
  const response = await fetch(section.dataset.statusUrl);
  if ([401, 403, 404].includes(response.status)) location.reload();
  if (response.ok) onSnapshot(await response.json());
}

// Adds derived fields, the same as on the server.
function toFields(snapshot) {
  const { status, live, started_at: started, updated_at: updated, receivedAt } = snapshot;
  const age = inProgress(status) ? performance.now() - receivedAt : 0;
  const elapsed = started && Math.round((new Date(updated) - new Date(started) + age) / 1000);
  return {
    ...snapshot,
    stalled: live.stalled,
    stalled_message: texts.stalled[live.stalled_reason] ?? "",
    left: formatDuration(live.eta_seconds),
    elapsed: formatDuration(elapsed),
  };
}

function formatDuration(seconds) {
  if (seconds === null) return null;
  const minutes = Math.floor(seconds / 60);
  if (minutes >= 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

let isUnseen = false; // The end was rendered in a hidden tab.

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && isUnseen) reload();
});

async function reload() {
  isUnseen = document.hidden;
  const fresh = await fetchPart("import");
  if (fresh && Number(fresh.dataset.version) >= Number(section.dataset.version)) replace(fresh);
  if (needsReload()) setTimeout(reload, RETRY_MS);
}

function replace(fresh) {
  const hadFocus = section.contains(document.activeElement);
  section.replaceWith(fresh);
  section = fresh;
  renderedStatus = fresh.dataset.status;
  const status = fresh.querySelector(".stamp").textContent;
  document.title = `${status} · ${fresh.dataset.fileName}`;
  if (hadFocus) fresh.querySelector("h1").focus();
  announce(`${status}. ${fresh.querySelector("[data-summary]")?.textContent ?? ""}`);
}

async function reloadChart() {
  if (document.hidden || section.dataset.status !== "RUNNING") return;
  const chart = await fetchPart("chart", section.dataset.chartUrl);
  if (chart) document.getElementById("chart").replaceWith(chart);
}

// When a cause is opened, its rows replace the link to them.
async function loadRows({ target }) {
  const link = target.open && target.querySelector("[data-rows]");
  if (!link) return;
  const rows = await fetchPart("rows", link.href);
  rows?.removeAttribute("id");
  if (rows) link.replaceWith(rows);
}

document.addEventListener("toggle", loadRows, true);
setInterval(() => newest?.started_at && inProgress() && render(section, newest, toFields(newest)), 1000);
setInterval(reloadChart, 3000);
follow({ url: section.dataset.eventsUrl, onSnapshot, refresh, isFinished, inProgress });
