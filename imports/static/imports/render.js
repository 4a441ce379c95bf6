// Renders snapshots, and times in the user's time zone. The server renders complete pages; scripts
// only keep them up to date.

const language = document.documentElement.lang;
const numbers = new Intl.NumberFormat(language);
const dates = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
const fetching = new Set();

export const texts = JSON.parse(document.getElementById("texts")?.textContent ?? "{}");

// False for an outdated snapshot. One of the same version may have newer live fields.
export function render(root, snapshot, fields = snapshot) {
  if (snapshot.version < Number(root.dataset.version)) return false;
  const { status, success, run, version, progress_percent: percent } = snapshot;
  const bar = root.querySelector("progress");
  bar.value = Number(root.dataset.run) === run ? Math.max(bar.value, percent) : percent;
  Object.assign(root.dataset, { status, success: success ?? "", run, version });
  const nothing_imported = isNothingImported(snapshot);
  renderFields(root, { ...fields, [status]: true, nothing_imported, label: statusLabel(snapshot) });
  return true;
}

const isNothingImported = ({ status, success }) => status === "COMPLETE" && success === "none";

export const statusLabel = (snapshot) =>
  isNothingImported(snapshot) ? texts.nothingImported : texts.statuses[snapshot.status];

// data-field="live.rows_per_second" receives a value. data-if="QUEUED RUNNING" is shown if one of
// the fields is true.
function renderFields(root, fields) {
  const value = (path) => path.split(".").reduce((object, name) => object?.[name], fields);
  for (const node of root.querySelectorAll("[data-field]")) {
    const content = value(node.dataset.field);
    const text = typeof content === "number" ? numbers.format(content) : content;
    setText(node, text ?? "–");
    node.toggleAttribute("data-zero", content === 0);
  }
  for (const node of root.querySelectorAll("[data-if]")) node.hidden = !node.dataset.if.split(" ").some(value);
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function announce(text) {
  setText(document.getElementById("milestones"), text.replace(/\s+/g, " ").trim());
}

// A part of a page as it is now. Null without network, or while it is being fetched.
export async function fetchPart(id, url = location.href) {
  const key = url + id;
  if (fetching.has(key)) return null;
  fetching.add(key);
  try {
    // The server then keeps the mark of an import whose end nobody has seen.
    const headers = document.hidden ? { "X-Page-Hidden": "1" } : {};
    const response = await fetch(url, { headers });
    if (response.redirected || response.status === 404) location.reload(); // Signed out, or deleted.
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const part = response.ok && document.adoptNode(page.getElementById(id));
    if (part) renderLocalTimes(part);
    return part;
  } catch {
    return null;
  } finally {
    fetching.delete(key);
  }
}

function renderLocalTimes(root) {
  for (const time of root.querySelectorAll("time")) setText(time, dates.format(new Date(time.dateTime)));
}

renderLocalTimes(document);
