/**
 * A client of the REST API for browsers and Node: log in, upload a file, follow an import.
 *
 * This file has no dependencies; copy it. Node needs the option --experimental-eventsource.
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
  /** What undo did with the created and updated records. */
  removed: number;
  restored: number;
  kept: number;
  /** Whether all, some or none of the rows were imported; null until the import has ended. */
  success: "all" | "some" | "none" | null;
  /** What someone must do before the import continues; null if it needs nobody. */
  waits_for: "column_mapping" | "start" | null;
}

/** One thing that users should know about how the file was read. */
export interface ReadSummaryEntry {
  code: string;
  params: Record<string, unknown>;
  message: string;
}

export interface Job extends Snapshot {
  /** Seconds to wait before the next request; null when the import has ended. */
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

/** A response with an error status. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly retryAfter: number | undefined;

  constructor(response: Response, { code, message }: { code?: string; message?: string }) {
    super(message ?? `The site returned status ${response.status}.`);
    this.status = response.status;
    this.code = code ?? "unknown";
    this.retryAfter = Number(response.headers.get("Retry-After")) || undefined;
  }
}

const MAX_ATTEMPTS = 10; // About three minutes in total.
const MAX_FIRST_EVENT_MS = 10_000; // A stream that works sends its first event at once.
const MAX_SILENCE_MS = 60_000; // A connection can be lost without an error.
const POLLING_MS = 60_000; // After a stream without events, poll this long before the next one.
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

  async get<Data>(path: string, signal?: AbortSignal): Promise<Data> {
    return this.#requestWithRetries<Data>(path, signal ? { signal } : {});
  }

  /** Download a file, such as urls.failed_rows_xlsx. */
  async bytes(path: string): Promise<ArrayBuffer> {
    const response = await this.#send(path, {});
    return response.arrayBuffer();
  }

  /** Send a request. With an idempotency key it is repeated after network errors. */
  async post<Data>(path: string, body: FormData | object, key?: string): Promise<Data> {
    const isForm = body instanceof FormData;
    const headers = new Headers(isForm ? {} : { "Content-Type": "application/json" });
    if (key) headers.set("Idempotency-Key", key);
    const init = { method: "POST", headers, body: isForm ? body : JSON.stringify(body) };
    return key ? this.#requestWithRetries<Data>(path, init) : this.#request<Data>(path, init);
  }

  async patch<Data>(path: string, body: object): Promise<Data> {
    const headers = { "Content-Type": "application/json" };
    return this.#request<Data>(path, { method: "PATCH", headers, body: JSON.stringify(body) });
  }

  /** Upload a file. Repeated calls with the same key create one import. */
  async upload(file: File, key: string, options: Record<string, string> = {}): Promise<Job> {
    const form = new FormData();
    for (const [name, value] of Object.entries(options)) form.set(name, value);
    form.set("file", file);
    return this.post<Job>("/api/imports/", form, key);
  }

  /**
   * Call onSnapshot with each snapshot until the import has ended or waits for someone, and return
   * the import.
   *
   * An older snapshot never follows a newer one. When a stream ends, the import is requested
   * again with the token; the response has a stream address with a new ticket. Where streams
   * are blocked, this is polling.
   */
  async follow(
    id: string,
    onSnapshot: (snapshot: Snapshot) => void,
    signal?: AbortSignal,
  ): Promise<Job> {
    let newestVersion = 0;
    const handle = (snapshot: Snapshot) => {
      if (snapshot.version < newestVersion) return;
      newestVersion = snapshot.version;
      onSnapshot(snapshot);
    };
    for (let nextStreamAt = 0; ; ) {
      const job = await this.get<Job>(`/api/imports/${id}/`, signal);
      handle(job);
      signal?.throwIfAborted();
      if (job.poll_after_seconds === null || job.waits_for !== null) return job;
      if (Date.now() < nextStreamAt) {
        await pause(job.poll_after_seconds, signal);
      } else if (!(await readStream(new URL(job.urls.stream, this.#address), handle, signal))) {
        nextStreamAt = Date.now() + POLLING_MS;
      }
    }
  }

  async #requestWithRetries<Data>(path: string, init: RequestInit): Promise<Data> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#request<Data>(path, init);
      } catch (error) {
        const seconds = secondsToWait(error, attempt);
        if (seconds === undefined || attempt === MAX_ATTEMPTS) throw error;
        await pause(seconds, init.signal);
      }
    }
  }

  async #request<Data>(path: string, init: RequestInit): Promise<Data> {
    return (await (await this.#send(path, init)).json()) as Data;
  }

  async #send(path: string, init: RequestInit): Promise<Response> {
    let response = await this.#fetch(path, init);
    if (response.status === 401 && this.#tokens) {
      await this.#refresh(this.#tokens.refresh);
      response = await this.#fetch(path, init);
    }
    if (!response.ok) throw await toApiError(response);
    return response;
  }

  async #refresh(refresh: string): Promise<void> {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ refresh });
    const path = new URL("/api/auth/token/refresh/", this.#address);
    const response = await fetch(path, { method: "POST", headers, body });
    if (!response.ok) throw await toApiError(response); // 401: log in again.
    this.#tokens = (await response.json()) as Tokens;
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#tokens) headers.set("Authorization", `Bearer ${this.#tokens.access}`);
    return fetch(new URL(path, this.#address), { ...init, headers });
  }
}

/** Call onSnapshot with each snapshot of a stream; return whether there was any. */
function readStream(
  address: URL,
  onSnapshot: (snapshot: Snapshot) => void,
  signal?: AbortSignal,
): Promise<boolean> {
  return new Promise((resolve) => {
    const stream = new EventSource(address);
    let hasEvents = false;
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      stream.close();
      resolve(hasEvents);
    };
    let timer = setTimeout(end, MAX_FIRST_EVENT_MS);
    for (const name of EVENTS) {
      stream.addEventListener(name, (event: MessageEvent<string>) => {
        hasEvents = true;
        clearTimeout(timer);
        timer = setTimeout(end, MAX_SILENCE_MS);
        const snapshot = JSON.parse(event.data) as Snapshot;
        onSnapshot(snapshot);
        if (name !== "progress" || snapshot.waits_for !== null) end();
      });
    }
    // The browser reconnects a stream that was interrupted. A stream that was refused, for
    // example because its ticket has expired, is CLOSED.
    stream.onerror = () => stream.readyState === EventSource.CLOSED && end();
    signal?.addEventListener("abort", end);
  });
}

function secondsToWait(error: unknown, attempt: number): number | undefined {
  const backoff = Math.min(30, 2 ** attempt) * (0.5 + Math.random() / 2);
  if (error instanceof TypeError) return backoff; // fetch throws it for network errors.
  if (!(error instanceof ApiError)) return undefined;
  return [429, 502, 503, 504].includes(error.status) ? (error.retryAfter ?? backoff) : undefined;
}

async function toApiError(response: Response): Promise<ApiError> {
  // A proxy may respond with an HTML page.
  return new ApiError(response, await response.json().catch(() => ({})));
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
