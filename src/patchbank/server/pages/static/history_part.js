/** One part: keys for its buttons and links, and all of its odd spots. */

import { ask, spoken } from "./ask.js";
import { keep, read } from "./kept.js";
import { whenCome } from "./spots.js";

const say = spoken();
/** @type {Record<string, string>} */
const SAME = { F: "N" };

document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  const isTyping = target.matches("textarea, input, select");
  if (isTyping || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const key = event.key.toUpperCase();
  const found = document.querySelector(`[data-key="${CSS.escape(SAME[key] ?? key)}"]`);
  if (found instanceof HTMLElement) {
    event.preventDefault();
    found.click();
  }
});

const note = document.querySelector("textarea[name=note]");
if (note instanceof HTMLTextAreaElement) keepNote(note);

/**
 * A note outlives whatever keeps its review from being saved, such as a session that is over.
 * @param {HTMLTextAreaElement} field
 */
function keepNote(field) {
  const key = `note.${field.dataset.number}`;
  const kept = read(sessionStorage, key) ?? "";
  const isSaved = [...document.querySelectorAll(".note")].some((one) => one.textContent === kept.trim());
  if (isSaved) keep(sessionStorage, key, "");
  else field.value ||= kept;
  field.addEventListener("input", () => keep(sessionStorage, key, field.value));
}

const spots = document.getElementById("spots");
if (spots) void draw(spots);

/**
 * The page has the first spot; the others are known once the inspection is explained.
 * @param {HTMLElement} list
 */
async function draw(list) {
  const said = /** @type {HTMLElement} */ (document.getElementById("spots-said"));
  const found = await ask("GET", `/v1/inspections/${list.dataset.number}/explanation`);
  if (!found.ok || found.body.crops.length === 0) {
    list.replaceChildren();
    said.textContent = found.ok ? say("no_more_spots") : say("no_pictures", { reason: found.message });
    return;
  }
  const first = /** @type {HTMLElement} */ (list.firstElementChild);
  found.body.crops.slice(1).forEach((/** @type {string} */ address, /** @type {number} */ at) => {
    const figure = /** @type {HTMLElement} */ (first.cloneNode(true));
    const [link, image] = [figure.querySelector("a"), figure.querySelector("img")];
    if (!link || !image) return;
    link.href = image.src = address;
    image.id = `spot-${at + 1}`;
    list.append(figure);
  });
  [...list.children].forEach((figure, at) => caption(figure, at, said));
}

/**
 * A caption announces only what its picture shows.
 * @param {Element} figure
 * @param {number} at
 * @param {HTMLElement} said where it is said why spots of good parts are missing
 */
function caption(figure, at, said) {
  const [image, text] = [figure.querySelector("img"), figure.querySelector("figcaption")];
  if (!image || !text) return;
  const tell = (/** @type {boolean} */ hasGood) => {
    const key = at ? (hasGood ? "spot" : "spot_alone") : hasGood ? "first_spot" : "first_alone";
    image.alt = text.textContent = say(key, { number: String(at + 1) });
    if (!hasGood) said.textContent = say("no_good");
  };
  image.alt = text.textContent = say(at ? "spot_alone" : "first_alone", { number: String(at + 1) });
  whenCome(image, tell);
}
