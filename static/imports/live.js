// Follows a stream while somebody looks; where there is none, asks for what it would have told.

const POLL_MS = 2000; // Without a stream.
const FIRST_MS = 5000; // A new stream says something by then.
const SILENCE_MS = 10_000; // One silent while work goes on may be dead.
const QUIET_MS = 60_000; // The same where nothing moves.
const EVENTS = ["progress", "complete", "failed", "cancelled", "undone"];

export function follow({ url, take, ask, isOver = () => false, isMoving }) {
  let stream = null;
  let openedAt = 0;
  let timer = 0;

  function open() {
    close();
    if (document.hidden || isOver()) return;
    const opened = new EventSource(url);
    stream = opened;
    openedAt = performance.now();
    const hear = (event) => {
      if (stream !== opened) return;
      take(JSON.parse(event.data));
      if (isOver()) close(); // Else the browser comes back.
      else askIn(patience());
    };
    for (const name of EVENTS) opened.addEventListener(name, hear);
    // The browser opens a stream that broke by itself again, one that was refused never.
    opened.addEventListener("error", () => stream === opened && askIn(POLL_MS / 4));
    askIn(FIRST_MS);
  }

  function close() {
    stream?.close();
    stream = null;
    clearTimeout(timer);
  }

  const patience = () => (isMoving() ? SILENCE_MS : QUIET_MS);

  function askIn(milliseconds) {
    clearTimeout(timer);
    timer = setTimeout(poll, milliseconds);
  }

  async function poll() {
    const following = stream;
    await ask().catch(() => {}); // No network: the next round asks again.
    if (stream !== following) return; // Closed meanwhile.
    const { readyState } = stream;
    if (isOver()) close();
    else if (readyState === EventSource.CLOSED && performance.now() - openedAt > SILENCE_MS) open();
    else askIn(readyState === EventSource.OPEN ? patience() : POLL_MS);
  }

  // What was over may have been begun anew.
  async function wake() {
    if (!document.hidden && isOver()) await ask().catch(() => {});
    open();
  }

  document.addEventListener("visibilitychange", wake);
  addEventListener("pagehide", close); // An open stream would keep the page out of the cache.
  addEventListener("pageshow", (event) => event.persisted && wake());
  addEventListener("online", wake);
  open();
}
