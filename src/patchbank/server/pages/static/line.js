/** The operator's screen: parts come in, keys and buttons go out. */

import { keep, read } from "./kept.js";
import { Line } from "./model.js";
import { isPermitted, permit, play } from "./sound.js";
import { Stream } from "./stream.js";
import { element, set, View } from "./view.js";

/** @typedef {import("./model.js").Part} Part */

const EARLIER_MS = 30000;
/** Time for which each part that is not good is seen, however soon the next one comes. */
const LEAST_SHOWN_MS = 300;
/** Nobody decides so quickly: a part that has just come in is not the one that was meant. */
const UNSEEN_MS = 300;
const { root = "", product = "", csrf = "", version = "", words = "{}" } = document.body.dataset;
const position = `last.${root}/${product}`;
const before = read(sessionStorage, position);
const line = new Line(before === null ? null : Number(before));
const view = new View(root, product, JSON.parse(words), showEarlier);
const settings = { freeze: element("freeze"), sound: element("sound"), keys: element("keys") };
/** @type {{since: Date, isRecorded: boolean} | null} */
let lost = null;
let isSending = false;
let earlierTimer = 0;
let briefTimer = 0;
let seen = { id: 0, since: 0 };

const stream = new Stream(
  `${root}/line/${encodeURIComponent(product)}/events`,
  () => line.last,
  heard,
  () => setLost(true),
  findOutWhy,
);

function draw() {
  const id = line.shown?.id ?? 0;
  if (id !== seen.id) seen = { id, since: performance.now() };
  view.draw(line, lost);
  if (line.brief.length && !briefTimer) briefTimer = setTimeout(endBrief, LEAST_SHOWN_MS);
  view.drawLive(line.isLive && !lost);
  if (line.position !== null) keep(sessionStorage, position, String(line.position));
}

/**
 * @param {string} name
 * @param {any} content
 */
function heard(name, content) {
  if (name === "begin") {
    if (!version.endsWith(content.version)) location.reload();
    line.begin(content);
    line.isLive = false;
  } else if (name === "part") {
    const isNew = line.add(content);
    if (isNew && content.verdict !== "good" && settings.sound.checked) play();
    if (!line.isLive) return; // all that were missed are drawn at once
  } else if (name === "live") {
    line.isLive = true;
    lost = null;
  } else if (name === "trouble") {
    setLost(false);
  } else if (name === "counts") {
    view.drawCounts(content);
    return;
  } else {
    return;
  }
  draw();
}

function endBrief() {
  briefTimer = 0;
  line.seen();
  draw();
}

/** @param {boolean} isRecorded whether the connection is lost, and not the records */
function setLost(isRecorded) {
  line.isLive = false;
  line.earlier = null;
  if (lost?.isRecorded !== isRecorded) lost = { since: lost?.since ?? new Date(), isRecorded };
  draw();
}

/** Whoever is logged out sees the login. */
async function findOutWhy() {
  const options = { headers: { accept: "text/html" }, redirect: /** @type {const} */ ("manual") };
  try {
    const response = await fetch(location.href, options);
    if (response.type === "opaqueredirect") location.reload();
  } catch {
    // there is no service at the moment
  }
}

/** @param {Part} part */
function showEarlier(part) {
  line.earlier = part.id === line.held[0]?.id || (!line.held.length && part === line.parts.at(-1)) ? null : part;
  clearTimeout(earlierTimer);
  earlierTimer = setTimeout(backToLive, EARLIER_MS);
  draw();
}

function backToLive() {
  line.earlier = null;
  draw();
}

/**
 * @param {Part} part
 * @param {string} decision
 * @returns {Promise<"recorded" | "refused" | "failed">}
 */
async function send(part, decision) {
  if (isSending) return "failed";
  isSending = true;
  try {
    const response = await fetch(`${root}/v1/inspections/${part.id}/review`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-csrf-token": csrf },
      body: JSON.stringify({ decision }),
    });
    if (response.ok) return "recorded";
    const reason = (await response.json()).error?.message ?? String(response.status);
    set("said", view.say("failed", { reason }));
    return response.status < 500 ? "refused" : "failed";
  } catch (error) {
    set("said", view.say("failed", { reason: String(error) }));
  } finally {
    isSending = false;
  }
  return "failed";
}

/** @param {"false_alarm" | "confirmed_defect"} decision */
async function review(decision) {
  const part = line.shown;
  if (performance.now() - seen.since < UNSEEN_MS) return set("said", view.words.just_came);
  if (!part || (await send(part, decision)) !== "recorded") return;
  part.reviews = [...(part.reviews ?? []), part.review];
  line.review(part, decision);
  line.remember(part);
  const said = { part: view.name(part), decision: view.words[decision] };
  set("said", view.say("reviewed", said));
  draw();
}

async function undo() {
  const part = line.reviewed.at(-1);
  const answer = part ? await send(part, "withdrawn") : "failed";
  if (!part || answer === "failed") return;
  line.reviewed.pop();
  if (answer === "refused") return draw(); // somebody else has reviewed it since
  line.review(part, part.reviews?.pop() ?? null);
  set("said", view.say("withdrawn", { part: view.name(part) }));
  showEarlier(part);
}

function acknowledge() {
  if (line.earlier) return;
  line.acknowledge();
  draw();
}

/** @type {Record<string, [string, () => void]>} key -> its button, and what that does */
const actions = {
  f: ["false-alarm", () => review("false_alarm")],
  n: ["false-alarm", () => review("false_alarm")],
  d: ["confirmed-defect", () => review("confirmed_defect")],
  z: ["undo", undo],
  a: ["acknowledge", acknowledge],
  escape: ["back", backToLive],
};

for (const [id, act] of new Map(Object.values(actions))) element(id).addEventListener("click", act);

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const key = event.key.toLowerCase();
  if (key === "escape") element("settings").open = false;
  if (!(key in actions) || (key !== "escape" && !settings.keys.checked)) return;
  const [id, act] = actions[key];
  const button = element(id);
  if (!button.disabled && !button.hidden) act();
});

function sayIfSoundWaits() {
  if (settings.sound.checked && !isPermitted()) set("said", view.words.sound_waits);
  else if (element("said").textContent === view.words.sound_waits) set("said", "");
}

for (const name of ["pointerdown", "keydown"]) {
  document.addEventListener(name, async () => {
    if (!settings.sound.checked || isPermitted()) return;
    await permit();
    sayIfSoundWaits();
  });
}

for (const [name, box] of Object.entries(settings)) {
  const kept = read(localStorage, name);
  if (kept !== null) box.checked = kept === "yes";
  box.addEventListener("change", async () => {
    keep(localStorage, name, box.checked ? "yes" : "no");
    line.setFreezes(settings.freeze.checked);
    if (name === "sound" && box.checked) {
      await permit();
      play();
    }
    sayIfSoundWaits();
    draw();
  });
}

line.freezes = settings.freeze.checked;
sayIfSoundWaits();
stream.open();
