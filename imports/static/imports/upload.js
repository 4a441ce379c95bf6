// Uploads the selected files one after another, and retries if the connection breaks.

import { texts } from "./render.js";

const RETRY_AFTER_MS = [1000, 3000, 6000, 0]; // 0: the last attempt.
const RETRIED_STATUSES = [0, 502, 503, 504]; // 0: no response.

const ids = ["upload", "upload-state", "upload-error", "upload-lines"];
const [form, state, error, lines] = ids.map((id) => document.getElementById(id));
const input = form?.elements.file;
const button = form?.querySelector("button");
let uploads = new Map(); // File -> { key, url of its import }.

async function onSubmit(event) {
  event.preventDefault();
  if (button.disabled) return;
  const files = [...input.files];
  const errors = files.length ? [] : [texts.none];
  showErrors([]);
  lines.replaceChildren();
  button.disabled = true;
  const options = errors.length ? null : await checkOptions().catch(({ message }) => errors.push(message) && null);
  for (const file of options === null ? [] : files)
    await upload(file, options).catch(({ message }) => errors.push(withFileName(file, message)));
  button.disabled = false;
  state.textContent = "";
  showErrors(errors);
  if (options === null && !errors.length) findOptions().querySelector("[aria-invalid=true]")?.focus();
  else if (errors.length) input.focus();
  else if (files.length > 1) form.reset();
  else location.assign(uploads.get(files[0]).url);
}

function showErrors(errors) {
  error.textContent = errors.join(" ");
  input.ariaInvalid = errors.length > 0;
}

const withFileName = ({ name }, text) => (input.files.length > 1 ? `${name}: ${text}` : text);

const sizeError = ({ size }) => (size ? size > form.dataset.maxBytes && texts.tooLarge : texts.empty);

// The options of the selected importer; the fields of other importers are disabled.
const findOptions = () => form.querySelector("fieldset[data-importer]:enabled");

function showOptions() {
  const importer = form.elements.importer.value;
  for (const set of form.querySelectorAll("fieldset[data-importer]"))
    set.hidden = set.disabled = set.dataset.importer !== importer;
  showPolicies(importer);
}

// The duplicate policies that the user may not choose for the importer are disabled.
function showPolicies(importer) {
  const policies = [...form.querySelectorAll("[name=on_duplicate]")];
  for (const policy of policies) policy.disabled = !policy.dataset.importers.split(" ").includes(importer);
  if (policies.some(({ checked, disabled }) => checked && !disabled)) return;
  const first = policies.find(({ disabled }) => !disabled);
  if (first) first.checked = true;
}

// Returns the options as JSON for the API. Returns null after it has shown their errors.
async function checkOptions() {
  const set = findOptions();
  if (!set) return "";
  const body = new FormData(form);
  body.delete("file");
  const headers = { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
  const response = await fetch(form.dataset.optionsUrl, { method: "POST", body, headers }).catch(() => ({ status: 0 }));
  if (response.status === 422) {
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    set.replaceWith(page.querySelector("fieldset"));
    return null;
  }
  if (response.redirected) throw new Error(texts.signedOut);
  if (response.status !== 200) throw new Error(errorMessage({ status: response.status, responseText: "" }));
  return JSON.stringify((await response.json()).options);
}

async function upload(file, options) {
  const message = sizeError(file);
  if (message) throw new Error(message);
  const line = form.querySelector("template").content.firstElementChild.cloneNode(true);
  const [link, bar] = line.children;
  lines.append(line);
  link.textContent = file.name;
  // One key, so that all attempts create one import. Plain HTTP has no randomUUID().
  const key = crypto.getRandomValues(new Uint32Array(4)).join("-");
  if (!uploads.has(file)) uploads.set(file, { key });
  const entry = uploads.get(file);
  const body = new FormData(form);
  body.set("file", file);
  if (options) {
    const prefix = `${form.elements.importer.value}-`;
    for (const name of [...body.keys()]) if (name.startsWith(prefix)) body.delete(name);
    body.set("options", options);
  }
  entry.url ??= form.dataset.importUrl.replace(/[-0-9a-f]{36}/, await sendWithRetries(body, entry.key, bar));
  bar.value = 100;
  link.href = entry.url;
}

async function sendWithRetries(body, key, bar) {
  for (const pause of RETRY_AFTER_MS) {
    state.textContent = texts.uploading;
    const response = await send(body, key, bar);
    if (response.status < 300 && response.status) return JSON.parse(response.responseText).id;
    if (!pause || !RETRIED_STATUSES.includes(response.status)) throw new Error(errorMessage(response));
    state.textContent = texts.again;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function send(body, key, bar) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest(); // fetch() reports no upload progress.
    request.open("POST", form.dataset.uploadUrl);
    request.setRequestHeader("X-CSRFToken", form.elements.csrfmiddlewaretoken.value);
    request.setRequestHeader("Idempotency-Key", key);
    request.setRequestHeader("X-Imports-Via", "page"); // For the history of the import.
    request.upload.onprogress = ({ loaded, total }) => {
      bar.value = Math.max(bar.value, (100 * loaded) / total);
    };
    request.upload.onload = () => (state.textContent = texts.storing);
    request.onloadend = () => resolve(request);
    request.send(body);
  });
}

function errorMessage({ status, responseText }) {
  if (!status) return texts.broken;
  if (status === 401) return texts.signedOut;
  if (status === 413) return texts.tooLarge;
  try {
    const { code, message, errors = [], params = {} } = JSON.parse(responseText);
    showDeletable(params.imports ?? []);
    if (status === 403 && code === "permission_denied") return texts.signedOut; // A CSRF token of an earlier session.
    return errors.map((error) => error.message).join(" ") || message;
  } catch {
    return texts.serverError.replace("{n}", status); // A proxy's error page.
  }
}

// Links to the imports that can be deleted when a quota is exceeded. Several files can name the same import.
function showDeletable(imports) {
  for (const { id, file_name } of imports) {
    const url = form.dataset.importUrl.replace(/[-0-9a-f]{36}/, id);
    if (lines.querySelector(`a[href="${url}"]`)) continue;
    const link = document.createElement("a");
    link.textContent = file_name;
    link.dir = "auto";
    link.href = url;
    const line = document.createElement("li");
    line.append(link);
    lines.append(line);
  }
}

function onChange() {
  showOptions();
  uploads = new Map(); // Other options create other imports.
  showErrors([...input.files].filter(sizeError).map((file) => withFileName(file, sizeError(file))));
}

// On the whole window: the browser would open a file that is dropped beside the field.
function onDrag(event) {
  if (!event.dataTransfer?.types.includes("Files")) return;
  form.toggleAttribute("data-over", event.type === "dragover");
  if (event.target === input) return; // The field accepts it.
  event.preventDefault();
  if (event.type !== "drop") return;
  input.files = event.dataTransfer.files;
  onChange();
}

if (form) {
  form.noValidate = true;
  showOptions();
  form.addEventListener("submit", onSubmit);
  form.addEventListener("change", onChange);
  for (const name of ["dragover", "dragleave", "drop"]) addEventListener(name, onDrag);
  addEventListener("beforeunload", (event) => button.disabled && event.preventDefault());
}
