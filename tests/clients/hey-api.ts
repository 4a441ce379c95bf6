/** The whole flow with the client that @hey-api/openapi-ts generates. */

import { readFile } from "node:fs/promises";

import { client } from "./hey-api/client.gen.ts";
import * as site from "./hey-api/sdk.gen.ts";
import type { ImportJob, RowErrorParamsByCode, ImportSnapshot } from "./hey-api/types.gen.ts";

const [address, username, password, folder] = process.argv.slice(2) as [string, string, string, string];
client.setConfig({ baseUrl: address, throwOnError: true });
const options = { throwOnError: true } as const;

const { data: tokens } = await site.tokenCreate({ body: { username, password }, ...options });
const { data: fresh } = await site.tokenRefresh({ body: { refresh: tokens.refresh }, ...options });
client.setConfig({ auth: (scheme) => (scheme.scheme === "bearer" ? fresh.access : undefined) });

async function upload(fileName: string): Promise<ImportJob> {
  const { data } = await site.importsCreate({
    headers: { "Idempotency-Key": fileName },
    body: {
      file: new File([await readFile(`${folder}/${fileName}`)], fileName),
      importer: "customers",
      check_first: true,
    },
    ...options,
  });
  return data;
}

/** Follow an import with its stream, and return the last snapshot. */
async function follow(id: string): Promise<ImportSnapshot> {
  const events: unknown[] = [];
  const { stream } = await site.importsEvents({
    path: { id },
    onSseEvent: (event) => events.push(event.data),
  });
  for await (const snapshot of stream) {
    if (typeof snapshot !== "object") throw new Error(`An event without a snapshot: ${snapshot}`);
    if (!["QUEUED", "CHECKING", "RUNNING"].includes(snapshot.status)) {
      // Every event of the stream has a snapshot: `retry:` is not an event of its own.
      if (events.some((data) => data === undefined)) throw new Error("An event without data.");
      return snapshot;
    }
  }
  throw new Error("The stream ended early.");
}

async function getPrefix(file: Blob): Promise<string> {
  return Buffer.from(await file.arrayBuffer()).toString("latin1", 0, 2);
}

const { data: importers } = await site.importersList(options);
const name = importers.results[0]!.name;
const { data: importer } = await site.importersRetrieve({ path: { name }, ...options });

const { id } = await upload("customers.csv");
const path = { id };
const ready = await follow(id);
const { data: job } = await site.importsChange({ path, body: { on_duplicate: "update" }, ...options });
await follow(id);
const { data: preview } = await site.importsPreview({ path, ...options });
await site.importsStart({ path, ...options });
const last = await follow(id);
const { data: whole } = await site.importsRetrieve({ path, ...options });
const { data: problems } = await site.importsProblems({ path, ...options });
const { data: rows } = await site.importsRows({ path, query: { outcome: "failed" }, ...options });
const { data: csv } = await site.importsFailedRowsCsv({ path, ...options });
const { data: workbook } = await site.importsFailedRowsXlsx({ path, ...options });
const { data: original } = await site.importsFile({ path, ...options });
const { data: template } = await site.importsTemplate({ query: { importer: "customers" }, ...options });

const second = await upload("second.csv");
await follow(second.id);
const { data: cancelled } = await site.importsCancel({ path: { id: second.id }, ...options });
const { data: listed } = await site.importsList({ query: { status: ["CANCELLED"] }, ...options });
const missing = await site.importsRetrieve({ path: { id: crypto.randomUUID() }, throwOnError: false });

const row = rows.results[0];
const error = row?.errors[0];
const national: string | number | undefined = error?.params.national;
const params = error?.params as RowErrorParamsByCode["phone_too_short"];
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
    missing: missing.error?.code,
  }),
);
