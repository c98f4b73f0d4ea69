/** The page of trials: a photograph comes in by a file, a drop, the clipboard or a camera. */

import { ask, locale, spoken } from "./ask.js";
import { keep, read } from "./kept.js";
import { SPOT_PX, whenCome } from "./spots.js";
import { dated } from "./times.js";
import { Viewer } from "./trial_viewer.js";

/**
 * @typedef {object} Spot
 * @property {string} crop
 * @property {number} distance
 * @property {number | null} usual_distance
 *
 * @typedef {object} Trial
 * @property {string} product
 * @property {"good" | "anomalous"} verdict
 * @property {[number, number]} size width and height
 * @property {number} score
 * @property {number} threshold
 * @property {number} p_value
 * @property {boolean} is_rate_known
 * @property {{left: number, top: number, width: number, height: number}[]} regions
 * @property {{text: string}[]} unlike
 * @property {Spot[]} spots
 * @property {{photograph: string | null, heat: string | null}} links
 */

const MOST_SPOTS = 6;
const say = spoken();
const { root = "" } = document.body.dataset;
const mostBytes = Number(document.body.dataset.maxBytes);
const language = locale();
const whole = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
const number = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
const viewer = new Viewer(element("frame"), say, whole);
/** @type {{file: File, name: string, product: string, key: string} | null} the photograph on the page */
let shown = null;
/** @type {File | null} the last one that came */
let given = null;
let asking = new AbortController();

/**
 * @param {string} id
 * @returns {any}
 */
function element(id) {
  return document.getElementById(id);
}

/**
 * @param {string} tag
 * @param {string} text
 */
function made(tag, text) {
  const one = document.createElement(tag);
  one.textContent = text;
  return one;
}

/** @param {number} bytes */
function bytesInWords(bytes) {
  /** @type {[number, string]} */
  const [size, unit] =
    bytes < 1e3 ? [bytes, "byte"] : bytes < 1e6 ? [bytes / 1e3, "kilobyte"] : [bytes / 1e6, "megabyte"];
  return new Intl.NumberFormat(language, { style: "unit", unit, maximumFractionDigits: 1 }).format(size);
}

/** A text that no other photograph has: whoever records twice by mistake records once. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `try-${[...bytes].map((one) => one.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * @param {File} file
 * @param {string} name
 * @param {string} product
 */
function formOf(file, name, product) {
  const form = new FormData();
  form.append("image", file, name);
  form.append("product", product);
  return form;
}

/**
 * Try the first of some files.
 * @param {FileList | File[]} files
 */
async function take(files) {
  const [file] = files;
  if (!file) {
    element("said").textContent = say("no_file");
    return;
  }
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  given = file;
  const name = file.name || "photograph";
  element("result").hidden = true;
  document.body.removeAttribute("aria-busy");
  shown = null;
  if (file.size > mostBytes) {
    const reason = { name, bytes: bytesInWords(file.size), most: bytesInWords(mostBytes) };
    element("said").textContent = say("too_large", reason);
    return;
  }
  element("said").textContent = say("busy", { name });
  document.body.setAttribute("aria-busy", "true");
  const product = element("product").value;
  keep(localStorage, "tried-product", product);
  const told = await ask("POST", "/v1/trials", formOf(file, name, product), { signal });
  if (signal.aborted) return; // another one has come meanwhile
  document.body.removeAttribute("aria-busy");
  const isUnread = ["unread", "no_product"].includes(told.body?.error?.code);
  if (!told.ok && !isUnread) {
    element("said").textContent = say("not_inspected", { reason: told.message });
    return;
  }
  const more = files.length > 1 ? say("first_of", { number: String(files.length), name }) : "";
  element("said").textContent = more;
  shown = { file, name, product: isUnread ? product : told.body.product, key: newKey() };
  if (isUnread) drawUnread(told.message);
  else draw(told.body);
  drawFacts(isUnread ? null : told.body);
  element("result").hidden = false;
  element("result").scrollIntoView({ block: "nearest" });
}

/** @param {"ok" | "ng" | "unread"} state */
function drawState(state) {
  element("give").dataset.used = "yes";
  element("result").dataset.state = state;
  element("shape").setAttribute("href", `#shape-${state}`);
  element("word").textContent = say(state);
  const isRead = state !== "unread";
  for (const id of ["figures", "views", "spots-of", "record"]) element(id).hidden = !isRead;
  element("reason").hidden = isRead;
  element("notes-of").hidden = true;
  element("recorded").replaceChildren();
}

/** @param {string} reason */
function drawUnread(reason) {
  drawState("unread");
  element("reason").textContent = reason;
}

/** @param {Trial} trial */
function draw(trial) {
  drawState(trial.verdict === "good" ? "ok" : "ng");
  drawScore(trial);
  element("notes").replaceChildren(...trial.unlike.map((note) => made("li", note.text)));
  element("notes-of").hidden = trial.unlike.length === 0;
  const count = trial.regions.length;
  element("n-boxes").textContent = `(${count})`;
  viewer.show(trial.size, trial.links, trial.regions);
  const spots = trial.spots.slice(0, MOST_SPOTS);
  element("spots").replaceChildren(...spots.map(drawSpot));
  element("spots-of").hidden = spots.length === 0;
}

/** @param {Trial} trial */
function drawScore(trial) {
  const share = trial.threshold > 0 ? trial.score / trial.threshold : null;
  element("gauge").hidden = element("limit-words").hidden = share === null;
  const isNear = share !== null && Math.abs(share - 1) < 0.1;
  const words = share === null ? "" : say("share", { share: (isNear ? fine : whole).format(share) });
  element("share").textContent = words;
  element("gauge").setAttribute("aria-label", words);
  if (share !== null) {
    const end = Math.max(1.5, 1.1 * share);
    element("value").setAttribute("width", String((100 * Math.max(share, 0)) / end));
    element("limit").setAttribute("x", String(100 / end - 0.5));
    element("limit-words").style.left = `${100 / end}%`;
  }
  const good = Math.round(1000 * trial.p_value);
  const key = !trial.is_rate_known ? "unknown_chance" : good < 1 ? "no_chance" : "chance";
  element("chance").textContent = say(key, { number: number.format(good) });
}

/**
 * @param {Spot} spot
 * @param {number} index
 */
function drawSpot(spot, index) {
  const values = { number: String(index + 1), times: "" };
  const usual = spot.usual_distance;
  if (usual !== null && usual > 0) values.times = number.format(spot.distance / usual);
  const item = document.createElement("li");
  item.append(made("p", say(values.times ? "spot_times" : "spot", values)));
  const scrolls = document.createElement("div");
  scrolls.className = "scrolls";
  scrolls.tabIndex = 0;
  scrolls.setAttribute("role", "group");
  scrolls.setAttribute("aria-label", say("crop_alone", values));
  const image = document.createElement("img");
  image.alt = say("crop_alone", values);
  whenCome(image, (hasGood) => {
    image.style.setProperty("--rows", String(image.naturalHeight / SPOT_PX));
    const words = say(hasGood ? "crop" : "crop_alone", values);
    scrolls.setAttribute("aria-label", words);
    image.alt = words;
    element("compared").textContent = hasGood ? "" : say("no_good");
    element("compared-with").hidden = !hasGood;
  });
  image.src = spot.crop;
  scrolls.append(image);
  item.append(scrolls);
  return item;
}

/** @param {Trial | null} trial None where it was not read */
function drawFacts(trial) {
  if (!shown) return;
  const { file, name, product } = shown;
  /** @type {[string, string][]} */
  const facts = [
    [say("file"), name],
    [say("kind"), file.type || "–"],
    [say("bytes"), bytesInWords(file.size)],
    [say("changed"), dated(new Date(file.lastModified))],
  ];
  if (trial || product !== "auto") facts.push([say("product"), product]);
  if (trial) {
    const [width, height] = trial.size.map((side) => number.format(side));
    facts.splice(3, 0, [say("pixels"), say("pixel_size", { width, height })]);
  }
  element("facts").replaceChildren(...facts.flatMap(([key, value]) => [made("dt", key), made("dd", value)]));
}

/** @param {SubmitEvent} event */
async function record(event) {
  event.preventDefault();
  const button = element("record").querySelector("button");
  if (!shown || button.disabled) return;
  const { file, name, product, key } = shown;
  button.disabled = true;
  const form = formOf(file, name, product);
  for (const [field, id] of [["serial_number", "serial"], ["lot", "lot"]]) {
    if (element(id).value) form.append(field, element(id).value);
  }
  const told = await ask("POST", "/v1/inspections", form, { headers: { "idempotency-key": key } });
  button.disabled = false;
  if (shown?.key !== key) return;
  if (!told.ok) {
    element("recorded").textContent = say("not_recorded_now", { reason: told.message });
    return;
  }
  const verdict = say(told.body.verdict === "good" ? "ok" : "ng");
  const link = made("a", say("recorded", { number: String(told.body.id), verdict }));
  link.setAttribute("href", `${root}/history/${told.body.id}`);
  link.className = "button";
  element("recorded").replaceChildren(link);
  element("record").hidden = true;
  element("record").reset();
  link.focus();
}

if (element("give")) {
  for (const id of ["file", "camera"]) {
    element(id).addEventListener("change", () => {
      void take([...element(id).files]);
      element(id).value = ""; // so that the same file can be chosen again
    });
    element(id).addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter" || event.repeat) return; // browsers open the chooser by Space alone
      event.preventDefault();
      element(id).click();
    });
  }
  const products = element("product");
  const last = read(localStorage, "tried-product");
  const isNamed = new URLSearchParams(location.search).has("product");
  if (!isNamed && [...products.options].some((option) => option.value === last)) products.value = last;
  products.addEventListener("change", () => {
    keep(localStorage, "tried-product", products.value);
    if (given) void take([given]);
  });
  element("record").addEventListener("submit", record);
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData?.files ?? [];
    const isText = event.target instanceof HTMLInputElement && event.target.type === "text";
    if (isText && files.length === 0) return;
    event.preventDefault();
    void take([...files]);
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    element("give").dataset.over = "yes";
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) delete element("give").dataset.over;
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    delete element("give").dataset.over;
    void take([...(event.dataTransfer?.files ?? [])]);
  });
}
