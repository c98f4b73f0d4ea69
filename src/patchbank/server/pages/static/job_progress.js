/** Progress of a job of the service in the part of the page for that, with a button to cancel it. */

import { ask, spoken } from "./ask.js";

const ASKED_MS = 500;
const say = spoken();

/** @param {string} id @returns {any} the element of an id, of which there is one */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(id);
  return found;
}

/** @param {string} text shown in the line that confirms what was done */
export function tell(text) {
  byId("said").textContent = text;
}

/**
 * Show a job until it is over.
 * @param {string} id
 * @returns {Promise<any>} the job
 */
export async function watch(id) {
  const part = byId("working");
  const cancel = /** @type {HTMLButtonElement} */ (byId("work-cancel"));
  part.hidden = false;
  cancel.disabled = false;
  cancel.onclick = () => {
    cancel.disabled = true;
    void ask("DELETE", `/v1/jobs/${id}`);
  };
  part.scrollIntoView({ block: "nearest" });
  for (;;) {
    const answer = await ask("GET", `/v1/jobs/${id}`);
    if (answer.status === 404) return { state: "failed", error: answer.message };
    if (!answer.ok) {
      tell(say("no_answer"));
    } else {
      if (!["waiting", "running"].includes(answer.body.state)) {
        part.hidden = true;
        return answer.body;
      }
      show(answer.body);
    }
    await new Promise((resolve) => setTimeout(resolve, ASKED_MS));
  }
}

/** @param {any} job */
function show(job) {
  const title = job.title || (job.state === "waiting" ? "waiting" : "starting");
  const shown = say(title);
  if (byId("work-title").textContent !== shown) byId("work-title").textContent = shown;
  const bar = /** @type {HTMLProgressElement} */ (byId("work-bar"));
  if (job.total) {
    bar.max = job.total;
    bar.value = job.done;
  } else {
    bar.removeAttribute("value");
  }
  byId("work-steps").textContent = job.total ? say("steps", { done: `${job.done}`, total: `${job.total}` }) : "";
}
