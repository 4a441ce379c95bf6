// Puts snapshots onto the page, and times into the reader's own zone. The server renders every
// page whole: script only keeps it right.

const language = document.documentElement.lang;
const grouped = new Intl.NumberFormat(language);
const local = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
const asking = new Set();

export const words = JSON.parse(document.getElementById("words")?.textContent ?? "{}");

// False for a snapshot that was overtaken; an equal one has newer live fields.
export function show(root, snapshot, facts = snapshot) {
  if (snapshot.version < Number(root.dataset.version)) return false;
  const { status, success, run, version, progress_percent: percent } = snapshot;
  const bar = root.querySelector("progress");
  bar.value = Number(root.dataset.run) === run ? Math.max(bar.value, percent) : percent;
  Object.assign(root.dataset, { status, success: success ?? "", run, version });
  const nothing_imported = importedNothing(snapshot);
  render(root, { ...facts, nothing_imported, label: labelOf(snapshot) });
  return true;
}

// Every row failed. A failed or cancelled import says by its status that it did not get through.
const importedNothing = ({ status, success }) => status === "COMPLETE" && success === "none";

export const labelOf = (snapshot) =>
  importedNothing(snapshot) ? words.nothingImported : words.statuses[snapshot.status];

// data-field="live.rows_per_second" shows a value, data-if="stalled" shows itself or not.
function render(root, facts) {
  const value = (path) => path.split(".").reduce((found, name) => found?.[name], facts);
  for (const part of root.querySelectorAll("[data-field]")) {
    const found = value(part.dataset.field);
    const text = typeof found === "number" ? grouped.format(found) : found;
    write(part, text ?? "–");
    part.toggleAttribute("data-zero", found === 0);
  }
  for (const part of root.querySelectorAll("[data-if]")) part.hidden = !value(part.dataset.if);
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// To screen readers.
export function speak(text) {
  write(document.getElementById("milestones"), text.replace(/\s+/g, " ").trim());
}

// A part of a page as it is now; null without network, or while it is asked for already.
export async function fetchPart(id, address = location.href) {
  const what = address + id;
  if (asking.has(what)) return null;
  asking.add(what);
  try {
    const response = await fetch(address);
    if (response.redirected || response.status === 404) location.reload(); // Signed out, or gone.
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const part = response.ok && document.adoptNode(page.getElementById(id));
    if (part) showLocalTimes(part);
    return part;
  } catch {
    return null;
  } finally {
    asking.delete(what);
  }
}

function showLocalTimes(root) {
  for (const time of root.querySelectorAll("time")) write(time, local.format(new Date(time.dateTime)));
}

showLocalTimes(document);
