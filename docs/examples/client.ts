/**
 * A client for front ends on other sites, and for Node: log in, upload, follow.
 *
 * One file without dependencies: copy it. Node needs --experimental-eventsource.
 */

export interface Snapshot {
  id: string;
  version: number;
  status: string;
  error_code: string | null;
  message: string;
  total: number | null;
  processed: number;
  progress_percent: number;
  created: number;
  updated: number;
  unchanged: number;
  skipped: number;
  failed: number;
  /** Whether all, some or none of the rows were imported; null until the import has ended. */
  success: "all" | "some" | "none" | null;
}

/** One thing that the user should know of how the file was read. */
export interface ReadSummaryEntry {
  code: string;
  params: Record<string, unknown>;
  message: string;
}

export interface Job extends Snapshot {
  /** How long to wait before asking again; null when nothing more happens. */
  poll_after_seconds: number | null;
  read_summary: ReadSummaryEntry[];
  urls: {
    self: string;
    stream: string;
    rows: string;
    preview: string;
    start: string;
    failed_rows_xlsx: string | null;
  };
}

export interface Tokens {
  access: string;
  refresh: string;
}

/** An answer that is not the one asked for. */
export class Refused extends Error {
  readonly status: number;
  readonly code: string;
  readonly retryAfter: number | undefined;

  constructor(response: Response, { code, message }: { code?: string; message?: string }) {
    super(message ?? `The site answered ${response.status}.`);
    this.status = response.status;
    this.code = code ?? "unknown";
    this.retryAfter = Number(response.headers.get("Retry-After")) || undefined;
  }
}

const ATTEMPTS = 10; // Some three minutes in all.
const FIRST_EVENT_MS = 10_000; // The first event comes at once, if anything comes through.
const SILENCE_MS = 60_000; // After this, a stream may be dead without knowing.
const NO_STREAM_MS = 60_000; // Where none comes through, poll so long before the next try.
const EVENTS = ["progress", "complete", "failed", "cancelled", "undone"];

export class Site {
  readonly #address: URL;
  #tokens: Tokens | undefined;

  constructor(address: string, tokens?: Tokens) {
    this.#address = new URL(address);
    this.#tokens = tokens;
  }

  static async logIn(address: string, username: string, password: string): Promise<Site> {
    const site = new Site(address);
    site.#tokens = await site.post<Tokens>("/api/auth/token/", { username, password });
    return site;
  }

  async get<Answer>(path: string, signal?: AbortSignal): Promise<Answer> {
    return this.#askUntilAnswered<Answer>(path, signal ? { signal } : {});
  }

  /** A file, as urls.failed_rows_xlsx. */
  async bytes(path: string): Promise<ArrayBuffer> {
    const response = await this.#answer(path, {});
    return response.arrayBuffer();
  }

  /** With a key it is sent until there is an answer; without, that might do it twice. */
  async post<Answer>(path: string, body: FormData | object, key?: string): Promise<Answer> {
    const isForm = body instanceof FormData;
    const headers = new Headers(isForm ? {} : { "Content-Type": "application/json" });
    if (key) headers.set("Idempotency-Key", key);
    const init = { method: "POST", headers, body: isForm ? body : JSON.stringify(body) };
    return key ? this.#askUntilAnswered<Answer>(path, init) : this.#ask<Answer>(path, init);
  }

  async patch<Answer>(path: string, body: object): Promise<Answer> {
    const headers = { "Content-Type": "application/json" };
    return this.#ask<Answer>(path, { method: "PATCH", headers, body: JSON.stringify(body) });
  }

  /** However often the network makes this ask: the same key is the same import. */
  async upload(file: File, key: string, options: Record<string, string> = {}): Promise<Job> {
    const form = new FormData();
    for (const [name, value] of Object.entries(options)) form.set(name, value);
    form.set("file", file);
    return this.post<Job>("/api/imports/", form, key);
  }

  /**
   * Show each snapshot, never an older one after a newer, until the import has ended.
   *
   * Whenever a stream is over, the import is asked for again with the token: its answer holds
   * a stream address with a fresh ticket. Where no stream comes through, that is polling.
   */
  async follow(
    id: string,
    onSnapshot: (snapshot: Snapshot) => void,
    signal?: AbortSignal,
  ): Promise<Job> {
    let newest = 0;
    const show = (snapshot: Snapshot) => {
      if (snapshot.version < newest) return;
      newest = snapshot.version;
      onSnapshot(snapshot);
    };
    for (let streamAgainAt = 0; ; ) {
      const job = await this.get<Job>(`/api/imports/${id}/`, signal);
      show(job);
      signal?.throwIfAborted();
      if (job.poll_after_seconds === null) return job;
      if (Date.now() < streamAgainAt) {
        await pause(job.poll_after_seconds, signal);
      } else if (!(await watch(new URL(job.urls.stream, this.#address), show, signal))) {
        streamAgainAt = Date.now() + NO_STREAM_MS;
      }
    }
  }

  async #askUntilAnswered<Answer>(path: string, init: RequestInit): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#ask<Answer>(path, init);
      } catch (error) {
        const seconds = secondsToWait(error, attempt);
        if (seconds === undefined || attempt === ATTEMPTS) throw error;
        await pause(seconds, init.signal);
      }
    }
  }

  async #ask<Answer>(path: string, init: RequestInit): Promise<Answer> {
    return (await (await this.#answer(path, init)).json()) as Answer;
  }

  async #answer(path: string, init: RequestInit): Promise<Response> {
    let response = await this.#fetch(path, init);
    if (response.status === 401 && this.#tokens) {
      await this.#refresh(this.#tokens.refresh);
      response = await this.#fetch(path, init);
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }

  async #refresh(refresh: string): Promise<void> {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ refresh });
    const path = new URL("/api/auth/token/refresh/", this.#address);
    const response = await fetch(path, { method: "POST", headers, body });
    if (!response.ok) throw await refusal(response); // 401: log in again.
    this.#tokens = { refresh, ...((await response.json()) as { access: string }) };
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#tokens) headers.set("Authorization", `Bearer ${this.#tokens.access}`);
    return fetch(new URL(path, this.#address), { ...init, headers });
  }
}

/** Show what a stream says until it ends for good; whether it said anything. */
function watch(
  address: URL,
  show: (snapshot: Snapshot) => void,
  signal?: AbortSignal,
): Promise<boolean> {
  return new Promise((resolve) => {
    const stream = new EventSource(address);
    let heard = false;
    const end = () => {
      clearTimeout(silence);
      signal?.removeEventListener("abort", end);
      stream.close();
      resolve(heard);
    };
    let silence = setTimeout(end, FIRST_EVENT_MS);
    for (const name of EVENTS) {
      stream.addEventListener(name, (event: MessageEvent<string>) => {
        heard = true;
        clearTimeout(silence);
        silence = setTimeout(end, SILENCE_MS);
        show(JSON.parse(event.data) as Snapshot);
        if (name !== "progress") end();
      });
    }
    // A stream that is cut comes back by itself; one that is refused, as with an old
    // ticket, is CLOSED.
    stream.onerror = () => stream.readyState === EventSource.CLOSED && end();
    signal?.addEventListener("abort", end);
  });
}

function secondsToWait(error: unknown, attempt: number): number | undefined {
  const backoff = Math.min(30, 2 ** attempt) * (0.5 + Math.random() / 2);
  if (error instanceof TypeError) return backoff; // What fetch throws without a network.
  if (!(error instanceof Refused)) return undefined;
  return [429, 502, 503, 504].includes(error.status) ? (error.retryAfter ?? backoff) : undefined;
}

async function refusal(response: Response): Promise<Refused> {
  // A proxy on the way may answer with a page.
  return new Refused(response, await response.json().catch(() => ({})));
}

export function pause(seconds: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, seconds * 1_000);
    signal?.addEventListener("abort", end);
  });
}
