// Follows an event stream while the page is visible. Without a working stream, polls instead.

const POLL_MS = 2000; // Without a stream.
const FIRST_EVENT_MS = 5000; // A new stream sends an event within this time.
const MAX_SILENCE_MS = 10_000; // While an import is in progress.
const MAX_IDLE_SILENCE_MS = 60_000; // While none is.
const EVENTS = ["progress", "complete", "failed", "cancelled", "undone"];

export function follow({ url, onSnapshot, refresh, isFinished = () => false, inProgress }) {
  let stream = null;
  let openedAt = 0;
  let timer = 0;

  function open() {
    close();
    if (document.hidden || isFinished()) return;
    const opened = new EventSource(url);
    stream = opened;
    openedAt = performance.now();
    const onEvent = (event) => {
      if (stream !== opened) return;
      onSnapshot(JSON.parse(event.data));
      if (isFinished()) close(); // Otherwise the browser reconnects.
      else pollIn(maxSilence());
    };
    for (const name of EVENTS) opened.addEventListener(name, onEvent);
    // The browser reopens a broken stream, but not one that the server denied.
    opened.addEventListener("error", () => stream === opened && pollIn(POLL_MS / 4));
    pollIn(FIRST_EVENT_MS);
  }

  function close() {
    stream?.close();
    stream = null;
    clearTimeout(timer);
  }

  const maxSilence = () => (inProgress() ? MAX_SILENCE_MS : MAX_IDLE_SILENCE_MS);

  function pollIn(ms) {
    clearTimeout(timer);
    timer = setTimeout(poll, ms);
  }

  async function poll() {
    const polled = stream;
    await refresh().catch(() => {}); // No network: the next poll tries again.
    if (stream !== polled) return; // Closed in the meantime.
    const { readyState } = stream;
    if (isFinished()) close();
    else if (readyState === EventSource.CLOSED && performance.now() - openedAt > MAX_SILENCE_MS) open();
    else pollIn(readyState === EventSource.OPEN ? maxSilence() : POLL_MS);
  }

  // A finished import may have been started again.
  async function resume() {
    if (!document.hidden && isFinished()) await refresh().catch(() => {});
    open();
  }

  document.addEventListener("visibilitychange", resume);
  addEventListener("pagehide", close); // An open stream keeps the page out of the cache.
  addEventListener("pageshow", (event) => event.persisted && resume());
  addEventListener("online", resume);
  open();
}
