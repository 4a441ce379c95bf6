// Keeps the progress of imports on the page up to date.
//
// The server renders every page whole, so it is right without this file; this file only
// keeps it right. Every snapshot is whole too: all there is to remember is the newest. Where
// a new status changes what the page is made of, the server is asked for that part anew.

const POLL_MS = 2000; // Without a stream.
const FIRST_MS = 5000; // How long a new stream may take to say anything.
const SILENCE_MS = 10_000; // An open stream that says nothing while work goes on may be dead.
const EVENTS = ["progress", "complete", "failed", "cancelled", "undone"];

const language = document.documentElement.lang || undefined;
const grouped = new Intl.NumberFormat(language);

// --- One import ---------------------------------------------------------------

function followImport(section) {
  const words = JSON.parse(document.getElementById("words").textContent);
  const region = document.getElementById("milestones");
  let version = Number(section.dataset.version);
  let rendered = section.dataset.status; // What the server made the section for.
  let newest = null;
  let asking = false;
  let stream = null;
  let timer = 0;

  const moving = (status) => section.dataset.moving.split(" ").includes(status);

  // Only while somebody looks: many tabs would use up a browser's connections.
  function open() {
    close();
    if (document.hidden || "isFinal" in section.dataset) return;
    const opened = new EventSource(section.dataset.eventsUrl);
    stream = opened;
    const hear = (event) => {
      if (stream !== opened) return;
      const snapshot = JSON.parse(event.data);
      if (event.type !== "progress") close(); // Else the browser would come back for more.
      else if (moving(snapshot.status)) pollIn(SILENCE_MS);
      else clearTimeout(timer);
      take(snapshot);
    };
    for (const name of EVENTS) opened.addEventListener(name, hear);
    // The browser opens a stream that broke by itself again, one that was refused never.
    opened.addEventListener("error", () => stream === opened && pollIn(POLL_MS / 4));
    pollIn(FIRST_MS);
  }

  function close() {
    stream?.close();
    stream = null;
    clearTimeout(timer);
  }

  function pollIn(milliseconds) {
    clearTimeout(timer);
    timer = setTimeout(poll, milliseconds);
  }

  async function poll() {
    const following = stream;
    try {
      const headers = { Accept: "application/json" };
      const response = await fetch(section.dataset.statusUrl, { headers, cache: "no-cache" });
      if ([401, 403, 404].includes(response.status)) return location.reload(); // Signed out.
      if (response.ok) take(await response.json());
    } catch {
      // No network for now: the next round asks again.
    }
    if (!stream || stream !== following) return; // Closed meanwhile.
    pollIn(stream.readyState === EventSource.OPEN ? SILENCE_MS : POLL_MS);
  }

  function take(snapshot) {
    if (snapshot.version < version) return; // Overtaken. An equal one has newer live fields.
    const before = newest ?? { status: rendered, progress_percent: snapshot.progress_percent };
    const arrived = snapshot.version === newest?.version ? newest.arrived : performance.now();
    version = snapshot.version;
    newest = { ...snapshot, arrived };
    show();
    if (isOtherPage()) askForSection();
    else speakOfMilestones(before);
  }

  function show() {
    const { status, run, progress_percent: percent } = newest;
    section.dataset.status = status; // The stylesheet does the rest.
    const bar = section.querySelector("progress");
    bar.value = Number(section.dataset.run) === run ? Math.max(bar.value, percent) : percent;
    section.dataset.run = run;
    render(section, facts(newest, moving(status)), words.statuses);
    if (moving(status)) document.title = `${percent} % · ${section.dataset.fileName}`;
  }

  // For screen readers: every quarter of the way and the end, not every step.
  function speakOfMilestones(before) {
    const quarter = 25 * Math.floor(newest.progress_percent / 25);
    if (newest.status !== before.status) speak(words.statuses[newest.status]);
    else if (quarter > before.progress_percent) speak(words.percent.replace("{n}", quarter));
  }

  const speak = (text) => write(region, text.replace(/\s+/g, " ").trim());

  // Between moving statuses only fields change; any other change alters the page itself.
  function isOtherPage() {
    const { status } = newest;
    return status !== rendered && !(moving(status) && moving(rendered));
  }

  async function askForSection() {
    if (asking) return;
    asking = true;
    try {
      const fresh = await fetchPart("import");
      if (Number(fresh.dataset.version) >= version) replace(fresh);
    } catch {
      // No network for now: the next round asks again.
    }
    asking = false;
    if (isOtherPage()) setTimeout(askForSection, POLL_MS);
  }

  function replace(fresh) {
    const hadFocus = section.contains(document.activeElement);
    section.replaceWith(fresh);
    section = fresh;
    version = Number(fresh.dataset.version);
    rendered = fresh.dataset.status;
    newest = { ...newest, status: rendered };
    const status = words.statuses[rendered];
    document.title = `${status} · ${fresh.dataset.fileName}`;
    if (hadFocus) fresh.querySelector("h1").focus();
    speak(`${status}. ${fresh.querySelector("[data-summary]")?.textContent ?? ""}`);
    if ("isFinal" in fresh.dataset) close();
  }

  document.addEventListener("visibilitychange", open);
  addEventListener("pagehide", close); // An open stream would keep the page out of the cache.
  addEventListener("pageshow", (event) => event.persisted && open());
  addEventListener("online", open);
  setInterval(() => newest?.started_at && moving(newest.status) && show(), 1000); // The clock.
  open();
}

// --- The list -----------------------------------------------------------------

// The bars of a list need no stream: while anything moves, the list is asked for anew.
function followList(list) {
  let timer = 0;

  function refreshSoon() {
    clearTimeout(timer);
    if (!document.hidden && "anyMoving" in list.dataset) timer = setTimeout(refresh, POLL_MS);
  }

  async function refresh() {
    try {
      const fresh = await fetchPart("imports");
      const focused = list.querySelector("a:focus")?.getAttribute("href");
      list.replaceWith(fresh);
      list = fresh;
      if (focused) list.querySelector(`a[href="${focused}"]`)?.focus();
    } catch {
      // No network for now: the next round asks again.
    }
    refreshSoon();
  }

  document.addEventListener("visibilitychange", refreshSoon);
  addEventListener("pageshow", (event) => event.persisted && refresh());
  refreshSoon();
}

// --- Showing --------------------------------------------------------------------

// A part of this page as the server renders it now.
async function fetchPart(id) {
  const response = await fetch(location.href, { cache: "no-store" });
  if (response.redirected || response.status === 404) location.reload(); // Signed out, or gone.
  if (!response.ok) throw new Error(response.statusText);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const part = document.adoptNode(page.getElementById(id));
  showLocalTimes(part);
  return part;
}

// A snapshot and what follows from it; the server's page has the same lines.
function facts(snapshot, moving) {
  const { live, started_at: began, updated_at: changed, arrived } = snapshot;
  const since = moving ? performance.now() - arrived : 0;
  const elapsed = began && Math.round((new Date(changed) - new Date(began) + since) / 1000);
  return {
    ...snapshot,
    [snapshot.status]: true,
    no_worker: moving && live.workers === 0,
    stalled: moving && live.stalled && live.workers > 0,
    left: duration(live.eta_seconds),
    elapsed: duration(elapsed),
  };
}

function duration(seconds) {
  if (seconds === null) return null;
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (hours) return `${hours} h ${minutes % 60} min`;
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

// data-field="live.rows_per_second" shows a value, data-if="stalled" shows itself or not.
function render(section, facts, statuses) {
  const value = (path) => path.split(".").reduce((found, name) => found?.[name], facts);
  for (const part of section.querySelectorAll("[data-field]")) {
    const found = value(part.dataset.field);
    const text = typeof found === "number" ? grouped.format(found) : found;
    write(part, statuses[text] ?? text ?? "–");
    part.toggleAttribute("data-zero", found === 0); // Shown faintly.
  }
  for (const part of section.querySelectorAll("[data-if]")) part.hidden = !value(part.dataset.if);
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function showLocalTimes(root) {
  const local = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  for (const time of root.querySelectorAll("time")) write(time, local.format(new Date(time.dateTime)));
}

// --- Begin ------------------------------------------------------------------------

const section = document.getElementById("import");
const list = document.getElementById("imports");
if (section) followImport(section);
if (list) followList(list);
showLocalTimes(document);
