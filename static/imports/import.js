// Keeps an import's page up to date. Every snapshot is whole: only the newest counts. Where a new
// status changes what the page is made of, the server is asked for it.

import { follow } from "./live.js";
import { fetchPart, labelOf, show, speak, words } from "./show.js";

const AGAIN_MS = 2000;

let section = document.getElementById("import");
let rendered = section.dataset.status; // By the server.
let newest = null;

const moves = (status) => section.dataset.moving.split(" ").includes(status);
const isMoving = () => moves(section.dataset.status);
const isOver = () => "isFinal" in section.dataset && !isOtherPage();

// Between moving statuses only fields change; any other change alters the page itself.
function isOtherPage() {
  const { status } = section.dataset;
  return status !== rendered && !(moves(status) && moves(rendered));
}

function take(snapshot) {
  const { status, progress_percent: percent, version } = snapshot;
  const before = { ...section.dataset, percent: section.querySelector("progress").value };
  const arrived = version === newest?.version ? newest.arrived : performance.now();
  if (!show(section, snapshot, facts({ ...snapshot, arrived }))) return;
  newest = { ...snapshot, arrived };
  const quarter = 25 * Math.floor(percent / 25);
  if (moves(status)) document.title = `${percent} % · ${section.dataset.fileName}`;
  if (isOtherPage()) renew();
  else if (status !== before.status) speak(labelOf(snapshot));
  else if (quarter > before.percent) speak(words.percent.replace("{n}", quarter));
}

async function ask() {
  const response = await fetch(section.dataset.statusUrl);
  if ([401, 403, 404].includes(response.status)) location.reload();
  if (response.ok) take(await response.json());
}

// A snapshot and what follows from it; the server's page has the same lines.
function facts(snapshot) {
  const { status, live, started_at: began, updated_at: changed, arrived } = snapshot;
  const since = moves(status) ? performance.now() - arrived : 0;
  const elapsed = began && Math.round((new Date(changed) - new Date(began) + since) / 1000);
  return {
    ...snapshot,
    [status]: true,
    no_worker: moves(status) && live.workers === 0,
    stalled: moves(status) && live.stalled && live.workers > 0,
    left: duration(live.eta_seconds),
    elapsed: duration(elapsed),
  };
}

function duration(seconds) {
  if (seconds === null) return null;
  const minutes = Math.floor(seconds / 60);
  if (minutes >= 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

async function renew() {
  const fresh = await fetchPart("import");
  if (fresh && Number(fresh.dataset.version) >= Number(section.dataset.version)) replace(fresh);
  if (isOtherPage()) setTimeout(renew, AGAIN_MS);
}

function replace(fresh) {
  const hadFocus = section.contains(document.activeElement);
  section.replaceWith(fresh);
  section = fresh;
  rendered = fresh.dataset.status;
  const status = fresh.querySelector(".stamp").textContent;
  document.title = `${status} · ${fresh.dataset.fileName}`;
  if (hadFocus) fresh.querySelector("h1").focus();
  speak(`${status}. ${fresh.querySelector("[data-summary]")?.textContent ?? ""}`);
}

async function redraw() {
  if (document.hidden || section.dataset.status !== "RUNNING") return;
  const chart = await fetchPart("chart", section.dataset.chartUrl);
  if (chart) document.getElementById("chart").replaceWith(chart);
}

// A cause that is opened fetches its rows; without script a link leads to them.
async function openCause({ target }) {
  const link = target.open && target.querySelector("[data-rows]");
  if (!link) return;
  const rows = await fetchPart("rows", link.href);
  rows?.removeAttribute("id");
  if (rows) link.replaceWith(rows);
}

document.addEventListener("toggle", openCause, true);
setInterval(() => newest?.started_at && isMoving() && show(section, newest, facts(newest)), 1000);
setInterval(redraw, 3000);
follow({ url: section.dataset.eventsUrl, take, ask, isOver, isMoving });
