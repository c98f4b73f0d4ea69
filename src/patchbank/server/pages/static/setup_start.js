/** The start of a set-up: its product has a name. */

import { ask, spoken } from "./ask.js";
import { byId, tell } from "./job_progress.js";

const FIRST = "bolt-m8";
const root = document.body.dataset.root ?? "";
const say = spoken();
const name = /** @type {HTMLInputElement} */ (byId("name"));
const isGiven = name.type === "hidden"; // another detector of a product

byId("begin").addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  tell("");
  if (!isGiven && (await exists(name.value))) return;
  const answer = await ask("POST", "/v1/setups", { product: name.value });
  if (answer.ok) location.href = `${root}/products/${encodeURIComponent(answer.body.product)}/new/${answer.body.id}`;
  else tell(answer.message);
});

/** @param {string} product @returns {Promise<boolean>} whether there is such a product, about which is asked then */
async function exists(product) {
  const found = await ask("GET", `/v1/products/${encodeURIComponent(product)}`);
  if (!found.ok) return false;
  byId("exists-said").textContent = say("exists", { product });
  byId("exists-go").href = `${root}/products/${encodeURIComponent(product)}/new`;
  byId("exists").hidden = false;
  byId("exists-go").focus();
  return true;
}

name.addEventListener("input", () => {
  name.setCustomValidity("");
  byId("exists").hidden = true;
});
name.addEventListener("invalid", () => {
  if (name.validity.patternMismatch) name.setCustomValidity(say("name_rule", { name: allowed(name.value) }));
});

/** @param {string} text @returns {string} a name that is allowed, and like it */
function allowed(text) {
  const plain = text.replaceAll("ß", "ss").normalize("NFKD").replace(/[\u0300-\u036f]/g, "");
  const joined = plain.replace(/[^A-Za-z0-9._-]+/g, "-");
  return joined.replace(/^[^A-Za-z0-9]+|[.-]+$/g, "") || FIRST;
}
