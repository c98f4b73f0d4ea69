/** All photographs of a set-up, some at a time, each with a button that leaves it out. */

import { ask, spoken } from "./ask.js";
import { byId, tell } from "./job_progress.js";

const AT_ONCE = 60;
const say = spoken();
const { root = "" } = document.body.dataset;

/**
 * @param {string} own path of the set-up
 */
export function gallery(own) {
  let last = "";

  /** @param {boolean} again whether it begins with the first one */
  async function load(again) {
    const after = again ? "" : last;
    const query = new URLSearchParams({ after, limit: `${AT_ONCE}` });
    const answer = await ask("GET", `${own}/photographs?${query}`);
    if (!answer.ok) {
      tell(answer.message);
      return;
    }
    const figures = answer.body.photographs.map((/** @type {any} */ one) => figure(own, one));
    if (again) byId("gallery").replaceChildren(...figures);
    else byId("gallery").append(...figures);
    last = answer.body.photographs.at(-1)?.name ?? last;
    byId("more").hidden = !answer.body.is_cut;
  }

  byId("more").addEventListener("click", () => void load(false));
  return { load: () => load(true) };
}

/**
 * Show whether a photograph is learned, wherever it is on the page.
 * @param {string} name
 * @param {boolean} isLeftOut
 */
export function showChoice(name, isLeftOut) {
  for (const one of document.querySelectorAll("figure[data-name]")) {
    const shown = /** @type {HTMLElement} */ (one);
    if (shown.dataset.name !== name) continue;
    shown.toggleAttribute("data-left-out", isLeftOut);
    const button = shown.querySelector("[data-choose]");
    if (button) button.textContent = say(isLeftOut ? "take_in" : "leave_out");
  }
}

/**
 * @param {string} own
 * @param {{name: string, left_out: boolean}} photograph
 */
function figure(own, { name, left_out: isLeftOut }) {
  const address = `${root}${own}/photographs/${encodeURIComponent(name)}`;
  const made = document.createElement("figure");
  made.className = "photograph";
  made.dataset.name = name;
  made.toggleAttribute("data-left-out", isLeftOut);
  const view = button("view", "");
  view.dataset.large = `${address}/large`;
  view.setAttribute("aria-label", say("show_large", { name }));
  const picture = document.createElement("img");
  picture.loading = "lazy";
  picture.alt = name;
  picture.onerror = () => {
    const absent = document.createElement("span");
    absent.className = "hint";
    absent.textContent = say("unreadable");
    picture.replaceWith(absent);
  };
  picture.src = `${address}/small`;
  view.append(picture);
  const caption = document.createElement("figcaption");
  const strong = document.createElement("strong");
  strong.textContent = name;
  caption.append(strong);
  const choice = button("choose", say(isLeftOut ? "take_in" : "leave_out"));
  choice.dataset.choose = name;
  const remove = button("remove", say("delete"));
  remove.dataset.remove = name;
  made.append(view, caption, choice, remove);
  return made;
}

/** @param {string} kind @param {string} text */
function button(kind, text) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = kind;
  made.textContent = text;
  return made;
}
