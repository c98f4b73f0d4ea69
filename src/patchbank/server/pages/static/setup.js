/** The page of a set-up: photographs are sent and chosen, and its steps are begun. */

import { ask, spoken } from "./ask.js";
import { byId, tell, watch } from "./job_progress.js";
import { keep, read } from "./kept.js";
import { gallery, showChoice } from "./setup_gallery.js";
import { dropped, send } from "./uploads.js";

const { root = "", setup = "", product = "", job = "", maxBytes = "0" } = document.body.dataset;
const own = `/v1/setups/${setup}`;
const say = spoken();
const photographs = gallery(own);

let there = 0;

/** Say how many photographs the chosen rate takes. */
function needs() {
  const chosen = byId("rate").selectedOptions[0];
  byId("rate-needs").textContent = say("needed", { needed: chosen.dataset.needed, there: `${there}` });
}

/** @param {any} facts of the set-up */
function count(facts) {
  const learned = facts.photographs - facts.left_out;
  byId("count").textContent = say("photographs", { learned: `${learned}`, left_out: `${facts.left_out}` });
  there = learned;
  needs();
  for (const one of [byId("check"), byId("fit").querySelector("button")]) one.disabled = learned === 0;
}

async function counted() {
  const answer = await ask("GET", own);
  if (answer.ok) count(answer.body);
  else tell(answer.message);
}

/**
 * Begin work, show its progress, and then what came of it.
 * @param {string} path
 * @param {any} [body]
 */
async function begin(path, body) {
  tell("");
  const answer = await ask("POST", `${own}/${path}`, body);
  if (answer.ok) await follow(answer.body.id);
  else tell(answer.message);
}

/** @param {string} id of a job */
async function follow(id) {
  for (const one of document.querySelectorAll("main button:not(#work-cancel, .view)")) {
    /** @type {HTMLButtonElement} */ (one).disabled = true;
  }
  const done = await watch(id);
  if (done.state === "done" && done.result?.task === "fit") keep(sessionStorage, "next", "title-fitted");
  location.reload();
}

/** After a step the next one is in view, has the focus, and is said. */
function goOn() {
  const title = document.getElementById(read(sessionStorage, "next") || "");
  keep(sessionStorage, "next", "");
  if (!title) return;
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  title.focus({ preventScroll: true });
  title.scrollIntoView({ behavior: isStill ? "auto" : "smooth", block: "start" });
  tell(say(title.id === "title-fitted" ? "fit_done" : "now_in_use", { product }));
}

// Photographs

/** @param {File[]} files */
async function upload(files) {
  if (!files.length) return;
  const stop = new AbortController();
  byId("stop-sending").onclick = () => stop.abort();
  byId("sending").hidden = false;
  byId("stop-sending").hidden = false;
  const bar = byId("sent-bar");
  bar.hidden = false;
  bar.max = files.length;
  bar.value = 0;
  tell("");
  byId("sent").textContent = say("sending", { done: "0", total: `${files.length}` });
  const sent = await send(
    `${own}/photographs`,
    files,
    Number(maxBytes),
    (so_far, total) => {
      bar.max = total;
      bar.value = so_far.done;
      byId("sent").textContent = say("sending", { done: `${so_far.done}`, total: `${total}` });
    },
    (name) => say("too_large", { name }),
    stop.signal,
  );
  bar.hidden = true;
  byId("stop-sending").hidden = true;
  const parts = [say("added", { added: `${sent.added}` })];
  if (sent.known) parts.push(say("known", { known: `${sent.known}` }));
  if (sent.refused.length) parts.push(say("refused", { refused: `${sent.refused.length}` }));
  if (sent.done < files.length && (sent.error || stop.signal.aborted)) {
    parts.push(say("unsent", { done: `${sent.done}`, total: `${files.length}`, reason: sent.error }));
  }
  byId("sent").textContent = parts.join(" · ");
  const refused = byId("refused");
  refused.replaceChildren(
    ...sent.refused.map((one) => {
      const item = document.createElement("li");
      item.textContent = one.error;
      return item;
    }),
  );
  refused.hidden = !sent.refused.length;
  byId("all").open = true;
  await counted();
  await photographs.load();
}

for (const name of ["files", "folder"]) {
  const input = /** @type {HTMLInputElement} */ (byId(name));
  byId(`choose-${name}`).addEventListener("click", () => input.click());
  input.addEventListener("change", async () => {
    await upload([...(input.files ?? [])]);
    input.value = ""; // so that the same can be chosen again
  });
}
const drop = byId("drop");
drop.addEventListener("dragover", (/** @type {DragEvent} */ event) => {
  event.preventDefault();
  drop.dataset.over = "";
});
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => delete drop.dataset.over);
drop.addEventListener("drop", async (/** @type {DragEvent} */ event) => {
  event.preventDefault();
  if (event.dataTransfer) await upload(await dropped(event.dataTransfer));
});
document.getElementById("copy")?.addEventListener("submit", (event) => {
  event.preventDefault();
  void begin("copy", { folder: byId("server-folder").value });
});

/**
 * @param {string[]} names
 * @param {boolean} isLeftOut
 */
async function choose(names, isLeftOut) {
  const answer = await ask("POST", `${own}/left-out`, { names, left_out: isLeftOut });
  if (!answer.ok) {
    tell(answer.message);
    return;
  }
  for (const name of names) showChoice(name, isLeftOut);
  count(answer.body);
}

document.addEventListener("click", async (event) => {
  const pressed = /** @type {Element} */ (event.target).closest("button");
  if (!pressed) return;
  const { choose: name, chooseAll, remove } = pressed.dataset;
  if (name) {
    await choose([name], pressed.closest("[data-left-out]") === null);
  } else if (chooseAll) {
    await choose(JSON.parse(chooseAll), true);
  } else if (remove) {
    const answer = await ask("DELETE", `${own}/photographs/${encodeURIComponent(remove)}`);
    if (!answer.ok) tell(answer.message);
    else {
      for (const one of document.querySelectorAll("[data-name]")) {
        if (/** @type {HTMLElement} */ (one).dataset.name === remove) one.remove();
      }
      count(answer.body);
    }
  } else if (pressed.classList.contains("view")) {
    const large = /** @type {HTMLDialogElement} */ (byId("large"));
    const shown = pressed.closest("figure")?.dataset.name ?? "";
    byId("large-name").textContent = shown;
    byId("large-picture").src = `${pressed.dataset.large}`;
    byId("large-picture").alt = shown;
    large.showModal();
  }
});
byId("large-close").addEventListener("click", () => byId("large").close());

// Check, fit, use

byId("rate").addEventListener("change", needs);
byId("check").addEventListener("click", () => void begin("check"));
byId("fit").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  const chosen = new FormData(byId("fit")).get("preset");
  void begin("fit", { preset: chosen, false_alarm_rate: Number(byId("rate").value) });
});
document.getElementById("choose-trial")?.addEventListener("click", () => byId("trial").click());
document.getElementById("trial")?.addEventListener("change", async () => {
  const [file] = byId("trial").files;
  if (!file) return;
  const form = new FormData();
  form.append("image", file, file.name);
  tell(say("trying"));
  byId("choose-trial").disabled = true;
  const answer = await ask("POST", `${own}/try`, form);
  byId("choose-trial").disabled = false;
  byId("trial").value = "";
  const problem = answer.ok ? answer.body.error ?? "" : answer.message;
  tell(problem);
  byId("tried").hidden = problem !== "";
  if (problem) return;
  const { anomalous, share } = answer.body;
  byId("tried-picture").src = `${root}${own}/tried/${answer.body.key}`;
  byId("tried-verdict").dataset.state = anomalous ? "ng" : "ok";
  byId("tried-verdict").textContent = say(anomalous ? "ng" : "ok");
  const percent = share === null ? "" : `${Math.round(100 * share)} %`;
  byId("tried-share").textContent = percent && say("share", { share: percent });
  byId("tried").scrollIntoView({ block: "nearest" });
});
document.getElementById("activate")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await ask("POST", `${own}/activate`, { reason: byId("reason").value });
  if (!answer.ok) {
    tell(answer.message);
    return;
  }
  keep(sessionStorage, "next", "title-activate");
  location.reload();
});
byId("discard").addEventListener("click", () => byId("sure").showModal());
byId("sure-no").addEventListener("click", () => byId("sure").close());
byId("sure-yes").addEventListener("click", async () => {
  const answer = await ask("DELETE", own);
  byId("sure").close();
  if (answer.ok) location.href = `${root}/products`;
  else tell(answer.message);
});

void counted();
void photographs.load();
if (job) void follow(job);
else goOn();
