// Sends the chosen files one after another, each with a bar of its own, and again if the
// connection breaks. One that cannot be sent is named, and all stay chosen.

import { words } from "./show.js";

const REPEAT_AFTER_MS = [1000, 3000, 6000, 0]; // 0: no more.
const WORTH_REPEATING = [0, 502, 503, 504]; // 0: no answer.

const ids = ["upload", "upload-state", "upload-error", "upload-lines"];
const [form, state, problem, lines] = ids.map((id) => document.getElementById(id));
const input = form?.elements.file;
const button = form?.querySelector("button");
let sent = new Map(); // Of each file its key, then its import's address too.

async function submit(event) {
  event.preventDefault();
  if (button.disabled) return;
  const files = [...input.files];
  const failures = files.length ? [] : [words.none];
  complain([]);
  lines.replaceChildren();
  button.disabled = true;
  for (const file of files)
    await upload(file).catch(({ message }) => failures.push(told(file, message)));
  button.disabled = false;
  state.textContent = "";
  complain(failures);
  if (failures.length) input.focus();
  else if (files.length > 1) form.reset();
  else location.assign(sent.get(files[0]).address);
}

function complain(problems) {
  problem.textContent = problems.join(" ");
  input.ariaInvalid = problems.length > 0;
}

// Of several files, which.
const told = ({ name }, text) => (input.files.length > 1 ? `${name}: ${text}` : text);

const wrongSize = ({ size }) =>
  size ? size > form.dataset.mostBytes && words.tooLarge : words.empty;

async function upload(file) {
  const wrong = wrongSize(file);
  if (wrong) throw new Error(wrong);
  const line = form.querySelector("template").content.firstElementChild.cloneNode(true);
  const [link, bar] = line.children;
  lines.append(line);
  link.textContent = file.name;
  // One key, so that all attempts make one import. Plain HTTP has no randomUUID().
  const key = crypto.getRandomValues(new Uint32Array(4)).join("-");
  if (!sent.has(file)) sent.set(file, { key });
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
    if (!pause || !WORTH_REPEATING.includes(answer.status)) throw new Error(refusal(answer));
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
  if ([401, 403].includes(status)) return words.signedOut;
  if (status === 413) return words.tooLarge;
  try {
    const { message, errors = [] } = JSON.parse(responseText);
    return errors.map((error) => error.message).join(" ") || message;
  } catch {
    return words.refused.replace("{n}", status); // Not from us: a proxy's page.
  }
}

function change() {
  sent = new Map(); // Another wish is another import.
  complain([...input.files].filter(wrongSize).map((file) => told(file, wrongSize(file))));
}

// Anywhere: beside the field, files would replace the page.
function acceptDrop(event) {
  if (!event.dataTransfer?.types.includes("Files")) return;
  form.toggleAttribute("data-over", event.type === "dragover");
  if (event.target === input) return; // It takes a drop by itself.
  event.preventDefault();
  if (event.type !== "drop") return;
  input.files = event.dataTransfer.files;
  change();
}

if (form) {
  form.noValidate = true; // We say it, beside the file.
  form.addEventListener("submit", submit);
  form.addEventListener("change", change);
  for (const name of ["dragover", "dragleave", "drop"]) addEventListener(name, acceptDrop);
  addEventListener("beforeunload", (event) => button.disabled && event.preventDefault());
}
