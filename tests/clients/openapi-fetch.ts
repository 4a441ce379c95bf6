/** The whole flow with the types of openapi-typescript and the client openapi-fetch. */

import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";

import type { components, paths } from "./schema.d.ts";

type Schemas = components["schemas"];

const [address, username, password, folder] = process.argv.slice(2) as [string, string, string, string];
const site = createClient<paths>({ baseUrl: address });

/** Return the data of a response, or throw its error. */
function check<Data>({ data, error }: { data?: Data; error?: Schemas["ApiError"] }): Data {
  if (error || data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

const tokens = check(await site.POST("/api/auth/token/", { body: { username, password } }));
const { access } = check(await site.POST("/api/auth/token/refresh/", { body: { refresh: tokens.refresh } }));
site.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${access}`);
  },
});

function toForm(body: object): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(body)) form.set(name, value instanceof Blob ? value : String(value));
  return form;
}

async function upload(fileName: string): Promise<Schemas["ImportJob"]> {
  const file = new File([await readFile(`${folder}/${fileName}`)], fileName);
  return check(
    await site.POST("/api/imports/", {
      params: { header: { "Idempotency-Key": fileName } },
      // The type of a file is string, because a schema has no other word for it.
      body: { file: file as unknown as string, importer: "customers", check_first: true },
      bodySerializer: toForm,
    }),
  );
}

/** Follow an import with its stream, and return the last snapshot. */
async function follow(id: string): Promise<Schemas["ImportSnapshot"]> {
  const { data } = await site.GET("/api/imports/{id}/events/", {
    params: { path: { id } },
    parseAs: "stream",
  });
  let text = "";
  for await (const part of (data as ReadableStream<BufferSource>).pipeThrough(new TextDecoderStream())) {
    text += part;
    const lines = text.split("\n").filter((line) => line.startsWith("data: "));
    const last = text.endsWith("\n\n") && lines.at(-1);
    if (last) {
      const snapshot = JSON.parse(last.slice("data: ".length)) as Schemas["ImportSnapshot"];
      if (!["QUEUED", "CHECKING", "RUNNING"].includes(snapshot.status)) return snapshot;
    }
  }
  throw new Error(`The stream ended early: ${text}`);
}

const importers = check(await site.GET("/api/importers/"));
const importer = check(
  await site.GET("/api/importers/{name}/", { params: { path: { name: importers.results[0]!.name } } }),
);

const { id } = await upload("customers.csv");
const path = { id };
const ready = await follow(id);
const job = check(
  await site.PATCH("/api/imports/{id}/", { params: { path }, body: { on_duplicate: "update" } }),
);
await follow(id);
const preview = check(await site.GET("/api/imports/{id}/preview/", { params: { path } }));
check(await site.POST("/api/imports/{id}/start/", { params: { path } }));
const last = await follow(id);
const whole: Schemas["ImportJob"] = check(await site.GET("/api/imports/{id}/", { params: { path } }));
const problems = check(await site.GET("/api/imports/{id}/problems/", { params: { path } }));
const rows = check(
  await site.GET("/api/imports/{id}/rows/", { params: { path, query: { outcome: "failed" } } }),
);
const csv: string | undefined = (
  await site.GET("/api/imports/{id}/failed-rows.csv", { params: { path }, parseAs: "text" })
).data;
const workbook: ArrayBuffer | undefined = (
  await site.GET("/api/imports/{id}/failed-rows.xlsx", { params: { path }, parseAs: "arrayBuffer" })
).data;
const original: ArrayBuffer | undefined = (
  await site.GET("/api/imports/{id}/file/", { params: { path }, parseAs: "arrayBuffer" })
).data;
const template: ArrayBuffer | undefined = (
  await site.GET("/api/imports/template.xlsx", {
    params: { query: { importer: "customers" } },
    parseAs: "arrayBuffer",
  })
).data;

const second = await upload("second.csv");
await follow(second.id);
const cancelled = check(
  await site.POST("/api/imports/{id}/cancel/", { params: { path: { id: second.id } } }),
);
const listed = check(await site.GET("/api/imports/", { params: { query: { status: ["CANCELLED"] } } }));
const missing = await site.GET("/api/imports/{id}/", { params: { path: { id: crypto.randomUUID() } } });

const row = rows.results[0];
const error = row?.errors[0];
const national: string | number | undefined = error?.params.national;
type PhoneParams = Schemas["RowErrorParamsByCode"]["phone_too_short"];
const params = error?.params as PhoneParams;
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
    csv: csv?.split("\n").length,
    workbook: Buffer.from(workbook ?? new ArrayBuffer(0)).toString("latin1", 0, 2),
    original: original?.byteLength,
    template: Buffer.from(template ?? new ArrayBuffer(0)).toString("latin1", 0, 2),
    cancelled: cancelled.status,
    listed: listed.results.map((each) => each.id === second.id),
    missing: missing.error?.code,
  }),
);
