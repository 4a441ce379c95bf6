/** The whole flow with the client that orval generates. */

import { readFile } from "node:fs/promises";

import * as site from "./orval/site.ts";

const [address, username, password, folder] = process.argv.slice(2) as [string, string, string, string];

// The generated functions call fetch with a path and no token. On a page of the site they need no
// more. Elsewhere a function in place of fetch, or a mutator of orval, adds both.
const send = fetch;
let access = "";
globalThis.fetch = (path, init) => {
  const headers = new Headers(init?.headers);
  if (access) headers.set("Authorization", `Bearer ${access}`);
  return send(new URL(String(path), address), { ...init, headers });
};

const ERRORS = new Set([400, 401, 403, 404, 409, 413, 415, 422, 429, 503]);

/** Return the data of a response with one of the statuses, or throw its error. */
function check<Response extends { status: number; data: unknown }, Status extends Response["status"]>(
  response: Response,
  status: Status,
): Extract<Response, { status: Status }>["data"] {
  if (ERRORS.has(response.status)) throw new Error(JSON.stringify(response.data));
  if (response.status !== status) throw new Error(`Status ${response.status}`);
  return response.data as Extract<Response, { status: Status }>["data"];
}

const tokens = check(await site.tokenCreate({ username, password }), 200);
access = check(await site.tokenRefresh({ refresh: tokens.refresh }), 200).access;

async function upload(fileName: string): Promise<site.ImportJob> {
  const file = new File([await readFile(`${folder}/${fileName}`)], fileName);
  const headers = { "Idempotency-Key": fileName };
  const form = { file, importer: site.ImporterName.customers, check_first: true };
  return check(await site.importsCreate(form, { headers }), 202);
}

/** Follow an import with its stream, and return the last snapshot. */
async function follow(id: string): Promise<site.ImportSnapshot> {
  // The generated function waits for the end of the stream. The address is generated too.
  const { body } = await fetch(site.getImportsEventsUrl(id));
  let text = "";
  for await (const part of body!.pipeThrough(new TextDecoderStream())) {
    text += part;
    const lines = text.split("\n").filter((line) => line.startsWith("data: "));
    const last = text.endsWith("\n\n") && lines.at(-1);
    if (last) {
      const snapshot = JSON.parse(last.slice("data: ".length)) as site.ImportSnapshot;
      if (!["QUEUED", "CHECKING", "RUNNING"].includes(snapshot.status)) return snapshot;
    }
  }
  throw new Error(`The stream ended early: ${text}`);
}

async function getPrefix(file: Blob): Promise<string> {
  return Buffer.from(await file.arrayBuffer()).toString("latin1", 0, 2);
}

const importers = check(await site.importersList(), 200);
const importer = check(await site.importersRetrieve(importers.results[0]!.name), 200);

const { id } = await upload("customers.csv");
const ready = await follow(id);
const job = check(await site.importsChange(id, { on_duplicate: site.OnDuplicate.update }), 202);
await follow(id);
const preview = check(await site.importsPreview(id), 200);
check(await site.importsStart(id), 202);
const last = await follow(id);
const events = check(await site.importsEvents(id), 200);
if (typeof events !== "string" || !events.includes("event: complete")) throw new Error("No event.");
const whole = check(await site.importsRetrieve(id), 200);
const problems = check(await site.importsProblems(id), 200);
const rows = check(await site.importsRows(id, { outcome: site.RowOutcome.failed }), 200);
const csv = check(await site.importsFailedRowsCsv(id), 200);
const workbook = check(await site.importsFailedRowsXlsx(id), 200);
const original = check(await site.importsFile(id), 200);
const template = check(await site.importsTemplate({ importer: site.ImporterName.customers }), 200);

const second = await upload("second.csv");
await follow(second.id);
const cancelled = check(await site.importsCancel(second.id), 202);
const listed = check(await site.importsList({ status: [site.ImportStatus.CANCELLED] }), 200);
const missing = await site.importsRetrieve(crypto.randomUUID());

const row = rows.results[0];
const error = row?.errors[0];
const national: string | number | undefined = error?.params.national;
const params = error?.params as site.RowErrorParamsByCodePhoneTooShort;
console.log(
  JSON.stringify({
    fields: importer.columns.map((column) => column.field),
    ready: ready.status,
    on_duplicate: job.on_duplicate,
    preview: preview.created,
    status: last.status,
    success: whole.success,
    created: whole.created,
    problems: problems.results.map((problem) => problem.code),
    row: row?.row,
    code: error?.code,
    national: national === params.national,
    csv: csv.split("\n").length,
    workbook: await getPrefix(workbook),
    original: original.size,
    template: await getPrefix(template),
    cancelled: cancelled.status,
    listed: listed.results.map((each) => each.id === second.id),
    missing: missing.status === 404 ? missing.data.code : null,
  }),
);
