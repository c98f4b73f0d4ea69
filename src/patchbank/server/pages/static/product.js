/** The page of a product, and that of a comparison: changes of its detector, each with a reason. */

import { ask, spoken } from "./ask.js";
import { byId, tell, watch } from "./job_progress.js";
import { keep, read } from "./kept.js";
import { localTime } from "./local_times.js";

const { root = "", product = "", inUse = "" } = document.body.dataset;
const own = `/v1/products/${encodeURIComponent(product)}`;
const say = spoken();
const dialog = /** @type {HTMLDialogElement} */ (byId("ask"));
/** @type {DOMStringMap} */
let asked = {};

const said = read(sessionStorage, "said");
if (said) {
  tell(said);
  keep(sessionStorage, "said", "");
}

document.addEventListener("click", (event) => {
  const pressed = /** @type {Element} */ (event.target).closest("button");
  if (pressed?.dataset.ask) open(pressed.dataset);
  else if (pressed?.dataset.compare) void compare(pressed.dataset.compare);
});

/** @param {DOMStringMap} wanted */
function open(wanted) {
  asked = wanted;
  const title = byId("ask-title");
  const time = wanted.time ? `: ${localTime(wanted.time)}` : "";
  title.textContent = wanted.ask === "undo" ? undone(wanted) : title.dataset[`${wanted.ask}`] + time;
  const yes = byId("ask-yes");
  yes.textContent = yes.dataset[wanted.to ? "back" : `${wanted.ask}`];
  byId("ask-file").hidden = wanted.ask !== "upload";
  byId("detector").required = wanted.ask === "upload";
  byId("reason").value = "";
  dialog.showModal();
}

/** @param {DOMStringMap} wanted @returns {string} the change that is undone, or the state that is restored */
function undone({ to, what = "", when, photographs }) {
  const parts = [what.trim()];
  if (when) parts.push(localTime(when));
  if (photographs) parts.push(photographs === "1" ? say("one_photograph") : say("n_photographs", { n: photographs }));
  const found = parts.join(", ");
  return to ? say("go_back", { n: to, what: found }) : say("undo_of", { what: found });
}

byId("ask-no").addEventListener("click", () => dialog.close());
byId("ask-form").addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  byId("ask-yes").disabled = true;
  const answer = await changed(byId("reason").value);
  byId("ask-yes").disabled = false;
  dialog.close();
  if (!answer.ok) {
    tell(answer.message);
    return;
  }
  keep(sessionStorage, "said", words(answer.body));
  location.reload();
});

/** @param {string} reason */
function changed(reason) {
  if (asked.ask === "activate") return ask("POST", `${own}/activate`, { sha256: asked.sha256, reason });
  if (asked.ask === "undo") {
    return ask("POST", `${own}/undo`, asked.to ? { to: Number(asked.to), reason } : { reason });
  }
  const query = new URLSearchParams({ reason });
  return ask("PUT", `${own}/detector?${query}`, byId("detector").files[0]);
}

/** @param {any} answer */
function words(answer) {
  if (!answer.changed) return say("unchanged");
  const threshold = answer.threshold.toPrecision(4);
  const key = { activate: "activated", undo: "undone", upload: "uploaded" }[`${asked.ask}`] ?? "undone";
  return say(key, { threshold, time: localTime(asked.time ?? "") });
}

/** @param {string} sha256 of a detector that is compared with the one in use */
async function compare(sha256) {
  tell("");
  const answer = await ask("POST", `${own}/comparisons`, { a: inUse, b: sha256 });
  if (answer.ok) await follow(answer.body.id);
  else tell(answer.message);
}

/** @param {string} id of a job */
async function follow(id) {
  const job = await watch(id);
  if (job.state === "done") {
    location.href = `${root}/products/${encodeURIComponent(product)}/comparisons/${job.result.comparison}`;
  } else {
    tell(job.state === "cancelled" ? say("cancelled") : say("failed", { reason: job.error }));
  }
}

if (document.getElementById("working")) {
  const answer = await ask("GET", "/v1/jobs");
  const found = answer.body?.jobs?.find(
    (/** @type {any} */ one) =>
      one.kind === "comparison" && one.product === product && ["waiting", "running"].includes(one.state),
  );
  if (found) await follow(found.id);
}
