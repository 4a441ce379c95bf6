// Sends the chosen files one after another, each with a bar of its own, and again if the
// connection breaks. They stay chosen whatever goes wrong.

import { words } from "./show.js";

const REPEAT_AFTER_MS = [1000, 3000, 6000, null];
const WORTH_REPEATING = [0, 502, 503, 504]; // 0: no answer at all.

const ids = ["upload", "upload-state", "upload-error", "upload-lines"];
const [form, state, problem, lines] = ids.map((id) => document.getElementById(id));
const input = form?.elements.file;
const button = form?.querySelector("button");
let sent = new Map(); // Of each file its key, then its import's address too.

async function submit(event) {
  event.preventDefault();
  if (button.disabled) return;
  const files = [...input.files];
  const wrong = files.length ? sizeProblem() : words.none;
  complain(wrong);
  if (wrong) return input.focus();
  lines.replaceChildren();
  button.disabled = true;
  const failures = [];
  for (const file of files)
    await upload(file).catch(({ message }) =>
      failures.push(files.length > 1 ? `${file.name}: ${message}` : message),
    );
  button.disabled = false;
  state.textContent = "";
  if (failures.length) complain(failures.join(" "));
  else if (files.length === 1) location.assign(sent.get(files[0]).address);
  else form.reset();
}

function complain(text) {
  problem.textContent = text;
  input.ariaInvalid = Boolean(text);
}

function sizeProblem() {
  const sizes = [...input.files].map((file) => file.size);
  if (sizes.includes(0)) return words.empty;
  return Math.max(...sizes) > Number(form.dataset.mostBytes) ? words.tooLarge : "";
}

async function upload(file) {
  const line = form.querySelector("template").content.firstElementChild.cloneNode(true);
  const [link, bar] = line.children;
  lines.append(line);
  link.textContent = file.name;
  // All attempts carry one key, so that together they make one import.
  if (!sent.has(file)) sent.set(file, { key: newKey() });
  const its = sent.get(file);
  const body = new FormData(form);
  body.set("file", file);
  its.address ??= form.dataset.importUrl.replace(/[-0-9a-f]{36}/, await sendUntilHeard(body, its.key, bar));
  bar.value = 100;
  link.href = its.address;
}

async function sendUntilHeard(body, key, bar) {
  for (const pause of REPEAT_AFTER_MS) {
    state.textContent = words.uploading;
    const answer = await send(body, key, bar);
    if (answer.status < 300 && answer.status) return JSON.parse(answer.responseText).id;
    if (pause === null || !WORTH_REPEATING.includes(answer.status)) throw new Error(refusal(answer));
    state.textContent = words.again;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function send(body, key, bar) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest(); // fetch() tells no progress.
    request.open("POST", form.dataset.uploadUrl);
    request.setRequestHeader("X-CSRFToken", form.elements.csrfmiddlewaretoken.value);
    request.setRequestHeader("Idempotency-Key", key);
    request.upload.onprogress = ({ loaded, total }) => {
      bar.value = Math.max(bar.value, (100 * loaded) / total);
    };
    request.upload.onload = () => (state.textContent = words.storing);
    request.onloadend = () => resolve(request);
    request.send(body);
  });
}

function refusal({ status, responseText }) {
  if (!status) return words.broken;
  if (status === 401 || status === 403) return words.signedOut;
  if (status === 413) return words.tooLarge;
  try {
    const { message, errors = [] } = JSON.parse(responseText);
    return errors.length ? errors.map((error) => error.message).join(" ") : message;
  } catch {
    return words.refused.replace("{n}", status); // Not from us: a proxy's page.
  }
}

// Anywhere: beside the field, files would replace the page.
function acceptDrop(event) {
  if (!event.dataTransfer?.types.includes("Files")) return;
  form.toggleAttribute("data-over", event.type === "dragover");
  if (event.target === input) return; // It takes a drop by itself.
  event.preventDefault();
  if (event.type !== "drop") return;
  input.files = event.dataTransfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

// Plain HTTP on another machine's address has no randomUUID().
const newKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

if (form) {
  form.noValidate = true; // We say it, beside the file.
  form.addEventListener("submit", submit);
  form.addEventListener("change", () => {
    sent = new Map(); // Another wish is another import.
    complain(sizeProblem());
  });
  for (const name of ["dragover", "dragleave", "drop"]) addEventListener(name, acceptDrop);
  addEventListener("beforeunload", (event) => button.disabled && event.preventDefault());
}
