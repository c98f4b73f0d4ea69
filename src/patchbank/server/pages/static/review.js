/** The page of reviews: one part after the other, each decision by one key. */

import { spoken } from "./ask.js";
import { keep, read } from "./kept.js";
import { Pictures } from "./review_pictures.js";
import { Queue } from "./review_queue.js";
import { Teaching } from "./review_teach.js";
import { spokenTime } from "./times.js";
import { element, set } from "./view.js";

/** @typedef {import("./review_queue.js").Part} Part */
/** @typedef {import("./review_queue.js").Decision} Decision */

const OFTEN_MS = 3000;
/** Nobody decides so quickly about a part that has come by itself. */
const UNSEEN_MS = 300;
const MOST_COUNTED = 10000;
const FILTERS = ["product", "lot", "order", "which", "when"];
const STATES = { good: "ok", anomalous: "ng", unread: "unread" };
const { root = "", teaches = "no" } = document.body.dataset;
const say = spoken();
const language = document.documentElement.lang;
const whole = new Intl.NumberFormat(language, { style: "percent" });
const numbers = new Intl.NumberFormat(language);
const queue = new Queue(draw);
const pictures = new Pictures(root, drawPictures);
const teaching = teaches === "yes" ? new Teaching(root, say, name, draw) : null;
let isMarked = true;
let isOwnStep = true;
let seen = { id: 0, since: 0 };

/** @param {Part} part */
function name(part) {
  return part.serial_number ?? part.image ?? say("no_number");
}

function draw() {
  const part = queue.current;
  const id = part?.id ?? 0;
  if (id !== seen.id) seen = { id, since: isOwnStep ? -Infinity : performance.now() };
  isOwnStep = false;
  element("part").dataset.state = part ? "part" : queue.isKnown || queue.isLost ? "empty" : "loading";
  element("part").dataset.id = String(id || "");
  if (!part) set("empty", emptyText());
  drawCounts();
  drawFacts(part);
  drawButtons(part);
  if (!part) return;
  pictures.want(part, queue.coming, isMarked);
  drawPictures();
}

function emptyText() {
  if (queue.isLost) return say("lost");
  if (!queue.isKnown) return say("loading");
  return say(queue.waiting && queue.waiting <= queue.others ? "with_others" : "done");
}

function drawCounts() {
  const number = numbers.format(queue.waiting);
  set("waiting", queue.isKnown ? say(queue.waiting >= MOST_COUNTED ? "many" : "waiting", { number }) : "");
  set("kinds", queue.isKnown && queue.waiting && queue.waiting < MOST_COUNTED ? kinds() : "");
  set("period", queue.isKnown && queue.filters.when === "shift" ? shift() : "");
  set("others", queue.others ? say("others", { number: numbers.format(queue.others) }) : "");
}

/** Which shift it is, and since when. */
function shift() {
  const { since, shift: name } = queue.period;
  const time = since ? spokenTime(new Date(since), say("yesterday")) : "";
  return name ? say("of_shift", { name, time }) : say("no_shift", { time });
}

/** How many are flagged, unread and near the threshold, without those of which there are none. */
function kinds() {
  const { anomalous, unread } = queue.kinds;
  /** @type {[string, number][]} */
  const all = [["some_ng", anomalous], ["some_unread", unread], ["some_border", queue.waiting - anomalous - unread]];
  const some = all.filter(([_, number]) => number > 0);
  return some.map(([key, number]) => say(key, { number: numbers.format(number) })).join(", ");
}

/** @param {Part | null} part */
function drawFacts(part) {
  if (!part) return;
  const chip = element("chip");
  chip.dataset.state = STATES[part.verdict];
  set("chip", say(part.verdict === "good" ? "border" : part.verdict));
  set("serial", name(part));
  const hasShare = part.score !== null && !!part.threshold;
  const share = hasShare ? whole.format(/** @type {number} */ (part.score) / /** @type {number} */ (part.threshold)) : "";
  set("share", hasShare ? say("share", { share }) : part.verdict === "unread" ? say("could_not_be_read") : "");
  set("of", [part.product, part.lot && say("lot", { lot: part.lot })].filter(Boolean).join(" · "));
  element("time").dateTime = part.time;
  set("time", spokenTime(new Date(part.time), say("yesterday")));
}

/** @param {Part | null} part */
function drawButtons(part) {
  element("confirmed-defect").disabled = element("unsure").disabled = !part;
  element("false-alarm").disabled = !part || part.verdict === "unread";
  set("confirmed-defect-text", say(part?.verdict === "good" ? "defect" : "confirmed_defect"));
  set("false-alarm-text", say(part?.verdict === "good" ? "is_normal" : "is_false_alarm"));
  element("previous").disabled = !part || queue.at === 0;
  element("next").disabled = !part || queue.isAtEnd;
  element("undo").disabled = !queue.done.length;
  element("mark").setAttribute("aria-pressed", String(isMarked));
  set("mark-text", say(isMarked ? "hide_mark" : "show_mark"));
  teaching?.drawButton();
}

function drawPictures() {
  const part = queue.current;
  if (!part) return;
  const [marked, plain] = [pictures.marked(part), pictures.plain(part)];
  const hasMark = part.verdict !== "unread" && isMarked && pictures.state(marked) === "there";
  const absent = part.verdict === "unread" ? part.error ?? "" : say("no_picture");
  show("photograph", part.links.photograph ? (hasMark ? marked : plain) : null, absent);
  set("photograph-caption", part.verdict === "unread" ? "" : say(hasMark ? "with_mark" : "without_mark"));
  const isCompared = part.verdict !== "unread" && part.links.photograph;
  for (const spot of /** @type {const} */ (["odd", "nearest"])) {
    const gone = spot === "nearest" && isCompared ? say("no_good") : isCompared || !part.links.photograph ? say("no_picture") : "";
    show(spot, isCompared ? pictures.spot(part, spot) : null, gone);
  }
}

/**
 * A picture of the part before must not be seen with the facts of this one.
 * @param {string} id
 * @param {string | null} address
 * @param {string} absent text where there is none
 */
function show(id, address, absent) {
  const image = element(id);
  const state = address === null ? "gone" : pictures.state(address);
  image.hidden = state !== "there";
  if (state === "there" && image.getAttribute("src") !== address) image.src = address;
  if (state !== "there") image.removeAttribute("src");
  element(`${id}-absent`).hidden = state === "there";
  set(`${id}-absent`, state === "loading" ? say("loading") : absent);
}

/** @param {Decision} decision */
async function decide(decision) {
  const part = queue.current;
  if (!part || element(decision.replaceAll("_", "-")).disabled) return;
  if (performance.now() - seen.since < UNSEEN_MS) return set("said", say("just_came"));
  const note = element("note").value;
  element("note").value = "";
  const decided = queue.decide(decision, note);
  const word = part.verdict === "good" && decision === "false_alarm" ? "normal" : decision;
  step();
  const told = await decided;
  if (told.ok) {
    set("said", say("reviewed", { part: name(part), decision: say(word) }));
    if (decision === "false_alarm" && part.verdict === "anomalous") teaching?.add(part);
  } else if (told.status === 409) {
    set("said", say("gone", { part: name(part) }));
  } else {
    element("note").value ||= note;
    set("said", say("failed", { reason: told.message }));
  }
  draw();
}

async function undo() {
  const undone = await queue.undo(async (part) => (await teaching?.isTaught(part)) ?? false);
  if (!undone) return;
  const { part, told } = undone;
  if (!told) return sayTaught(part);
  if (told.ok) teaching?.remove(part.id);
  set("said", told.ok ? say("withdrawn", { part: name(part) }) : say("failed", { reason: told.message }));
  step();
}

/**
 * The detector would still have learned it: that is undone where the changes of the product are.
 * @param {Part} part
 */
function sayTaught(part) {
  const link = document.createElement("a");
  link.href = `${root}/products/${encodeURIComponent(part.product)}`;
  link.textContent = say("undo_there", { product: part.product });
  set("said", say("is_taught", { part: name(part) }));
  element("said").append(" ", link);
}

/** Draw what the person at the page has asked for. */
function step() {
  isOwnStep = true;
  draw();
}

/** @param {number} steps */
function move(steps) {
  const isHeld = steps > 0 && queue.isAtEnd && queue.parts.length > 1;
  queue.move(steps);
  set("said", isHeld ? say("at_the_end") : "");
  step();
}

/** @type {Record<string, [string, () => void]>} key -> its button, and what that does */
const actions = {
  j: ["next", () => move(1)],
  k: ["previous", () => move(-1)],
  d: ["confirmed-defect", () => void decide("confirmed_defect")],
  n: ["false-alarm", () => void decide("false_alarm")],
  f: ["false-alarm", () => void decide("false_alarm")],
  u: ["unsure", () => void decide("unsure")],
  z: ["undo", () => void undo()],
  m: ["mark", () => ((isMarked = !isMarked), step())],
};
if (teaching) actions.t = ["teach-open", () => void teaching.open()];

for (const [id, act] of new Map(Object.values(actions))) element(id).addEventListener("click", act);

element("more-buttons").addEventListener("click", () => {
  const isOpen = element("decisions").classList.toggle("all");
  element("more-buttons").setAttribute("aria-expanded", String(isOpen));
});

document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || teaching?.isOpen) return;
  if (target.matches("input[type=text], select")) {
    if (target.id === "note" && ["Enter", "Escape"].includes(event.key)) target.blur();
    return;
  }
  const key = event.key.toLowerCase();
  if (!element("keys").checked) return;
  if (key === "e") {
    event.preventDefault();
    element("note").focus();
  } else if (key === "j" && queue.isAtEnd) {
    move(1);
  } else if (key === "t" && teaching && element("teach-open").disabled) {
    set("said", say("teach_nothing"));
  } else if (key in actions && !element(actions[key][0]).disabled) {
    actions[key][1]();
  }
});

for (const id of FILTERS) element(id).addEventListener("change", chosen);
element("filters").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  element("lot").blur();
});
element("keys").checked = read(localStorage, "review-keys") !== "no";
element("keys").addEventListener("change", () => keep(localStorage, "review-keys", element("keys").checked ? "yes" : "no"));

/** What the form says. */
function chosenFilters() {
  const [product, lot, order, which, when] = FILTERS.map((id) => element(id).value.trim());
  return { product, lot, order, which, when };
}

/** Another queue is wanted: what this page has goes back. */
async function chosen() {
  const filters = chosenFilters();
  queue.filters = filters;
  void teaching?.renew(filters.product);
  queue.isKnown = false;
  const query = new URLSearchParams(Object.entries(filters).filter(([_, value]) => value));
  history.replaceState(null, "", `?${query}`);
  const released = queue.release();
  draw();
  await released;
  await queue.fill();
}

addEventListener("pagehide", () => void queue.releaseNow());
addEventListener("pageshow", (event) => event.persisted && location.reload());
document.addEventListener("visibilitychange", () => document.hidden || void queue.fill());
setInterval(() => void queue.fill(), OFTEN_MS);
queue.filters = chosenFilters();
void teaching?.renew(queue.filters.product);
draw();
void queue.fill();
