/** The start of a set-up: its product has a name. */

import { ask } from "./ask.js";
import { byId, tell } from "./job_progress.js";

const root = document.body.dataset.root ?? "";

byId("begin").addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  const answer = await ask("POST", "/v1/setups", { product: byId("name").value });
  if (answer.ok) location.href = `${root}/products/${encodeURIComponent(answer.body.product)}/new/${answer.body.id}`;
  else tell(answer.message);
});
