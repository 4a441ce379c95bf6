// Sends the file with a bar of its own, and again if the connection breaks.
//
// Without it the form is an ordinary one. The file stays chosen whatever goes wrong, and all
// attempts carry one key, so that together they make one import.

const REPEAT_AFTER_MS = [1000, 3000, 6000];
const WORTH_REPEATING = [0, 502, 503, 504]; // 0: no answer at all.

const form = document.getElementById("upload");
if (form) improve(form);

function improve(form) {
  const words = JSON.parse(document.getElementById("words").textContent);
  const zone = form.querySelector(".drop");
  const input = form.elements.file;
  const bar = document.getElementById("upload-bar");
  const state = document.getElementById("upload-state");
  const problem = document.getElementById("upload-error");
  let key = newKey();

  acceptDrops(zone, input);
  form.noValidate = true; // We say it beside the file, in the page's own words.
  form.addEventListener("change", () => {
    key = newKey(); // Another file or another wish is another import.
    complain(sizeProblem());
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if ("busy" in form.dataset) return;
    const wrong = input.files.length ? sizeProblem() : words.none;
    complain(wrong);
    if (wrong) return input.focus();
    begin();
    try {
      const job = await sendUntilHeard();
      location.assign(form.dataset.importUrl.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/, job.id));
    } catch (refusal) {
      end();
      complain(refusal.message);
    }
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    end(); // Back from the import's page: ready for the next file.
    form.reset();
    key = newKey();
  });

  const sizeProblem = () =>
    (input.files[0]?.size ?? 0) > Number(form.dataset.mostBytes) ? words.tooLarge : "";

  function begin() {
    form.dataset.busy = "";
    form.querySelector("button").disabled = true;
    bar.value = 0;
    bar.hidden = false;
  }

  function end() {
    delete form.dataset.busy;
    form.querySelector("button").disabled = false;
    bar.hidden = true;
    state.textContent = "";
  }

  function complain(text) {
    problem.textContent = text;
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }

  async function sendUntilHeard() {
    const body = new FormData(form);
    for (const pause of [...REPEAT_AFTER_MS, null]) {
      const answer = await send(body);
      if (answer.status === 200 || answer.status === 202) return JSON.parse(answer.responseText);
      if (!WORTH_REPEATING.includes(answer.status)) throw new Error(refusal(answer));
      if (pause === null) throw new Error(answer.status ? refusal(answer) : words.broken);
      state.textContent = words.again;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  function send(body) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest(); // fetch() tells nothing of an upload's progress.
      request.open("POST", form.dataset.uploadUrl);
      request.setRequestHeader("Accept", "application/json");
      request.setRequestHeader("X-CSRFToken", form.elements.csrfmiddlewaretoken.value);
      request.setRequestHeader("Idempotency-Key", key);
      request.upload.addEventListener("progress", (event) => showSent(event.loaded / event.total));
      request.addEventListener("loadend", () => resolve(request));
      request.send(body);
    });
  }

  function showSent(part) {
    const percent = Math.floor(100 * part);
    bar.value = Math.max(bar.value, percent);
    state.textContent = percent < 100 ? words.uploading.replace("{n}", percent) : words.storing;
  }

  // Errors have one shape: {"code", "message", "errors"}.
  function refusal(answer) {
    if (answer.status === 401 || answer.status === 403) return words.signedOut;
    if (answer.status === 413) return words.tooLarge;
    try {
      const { message, errors = [] } = JSON.parse(answer.responseText);
      return errors.length ? errors.map((error) => error.message).join(" ") : message;
    } catch {
      return words.refused.replace("{n}", answer.status); // Not from us: a proxy's page.
    }
  }
}

// The file field takes a drop by itself; this widens it to its whole zone, and keeps a file
// that misses it from replacing the page.
function acceptDrops(zone, input) {
  const hasFile = (event) => event.dataTransfer?.types.includes("Files");
  for (const name of ["dragenter", "dragover"]) {
    addEventListener(name, (event) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      zone.toggleAttribute("data-over", zone.contains(event.target));
    });
  }
  addEventListener("dragleave", (event) => event.relatedTarget ?? zone.removeAttribute("data-over"));
  addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    zone.removeAttribute("data-over");
    if (!zone.contains(event.target)) return;
    const chosen = new DataTransfer();
    chosen.items.add(event.dataTransfer.files[0]);
    input.files = chosen.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  // Plain HTTP on another machine's address has no randomUUID.
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}
