/** The page of a threshold: what it would do is seen while it is moved, and applied with a reason. */

import { ask, locale, spoken } from "./ask.js";
import { Chart } from "./threshold_chart.js";
import { atMost, effect, KINDS, nearest, rounded } from "./threshold_model.js";
import { dated } from "./times.js";

/**
 * @typedef {import("./threshold_model.js").Scores} Scores
 * @typedef {import("./threshold_model.js").Expectation} Expectation
 * @typedef {{time: string, by: string, action: string, threshold: number, reason: string}} Change
 */

const FEW = 20;
const SHOWN_CHANGES = 8;
const ASKED_MS = 150;
const SPOKEN_MS = 600;
const PARTS = 1000;
const say = spoken();
const { product = "" } = document.body.dataset;
const own = `/v1/products/${encodeURIComponent(product)}`;
const language = locale();
const percent = new Intl.NumberFormat(language, { style: "percent", maximumSignificantDigits: 3 });
const numbers = new Intl.NumberFormat(language, { maximumSignificantDigits: 4 });
const few = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
const many = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
const chart = new Chart(element("chart"), say, percent);
/** @type {Scores | null} */
let scores = null;
/** @type {Expectation} what is chosen */
let chosen = { threshold: 0, false_alarm_rate: null };
/** @type {"present" | "threshold" | "false_alarm_rate"} by what it is set */
let mode = "present";
let asked = 0;
let timer = 0, speaking = 0;

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
 * @param {string} [name] of its class
 */
function made(tag, text, name = "") {
  const one = document.createElement(tag);
  one.textContent = text;
  if (name) one.className = name;
  return one;
}

/** @param {number | null | undefined} share */
function rate(share) {
  if (share === null || share === undefined) return say("unknown");
  return share < 1e-4 ? say("less_than", { share: percent.format(1e-4) }) : percent.format(rounded(share));
}

/** @param {number} value */
function score(value) {
  return numbers.format(value);
}

/** @param {number} value */
function count(value) {
  if (value > 0 && value < 0.1) return say("less_than", { share: few.format(0.1) });
  return (value < 10 ? few : many).format(value);
}

/** Load scores and changes, and begin with the present threshold. */
async function load() {
  const parts = new URLSearchParams(location.search).get("parts") ?? "500";
  const [told, changes] = await Promise.all([
    ask("GET", `${own}/scores?parts=${encodeURIComponent(parts)}`), ask("GET", `${own}/detectors`),
  ]);
  const failed = [told, changes].find((one) => !one.ok);
  if (failed) {
    element("said").textContent = say("failed", { reason: failed.message });
    return;
  }
  scores = /** @type {Scores} */ (told.body);
  element("sides").hidden = false;
  element("slider").max = String(scores.steps.length - 1);
  element("rate").disabled = scores.false_alarm_rate === null;
  if (!element("shift").value) element("shift").value = String(scores.shift.parts ?? PARTS);
  const { n, days, counted } = scores.shift;
  element("counted").textContent = say(counted, { number: String(n), days: String(days) });
  drawLegend(scores);
  drawChanges(changes.body.detectors);
  reset();
}

function reset() {
  if (!scores) return;
  element("slider").value = String(nearest(scores.steps, "threshold", scores.threshold));
  choose(scores, "present", null);
}

/**
 * Take what is chosen, and write it into the other fields.
 * @param {Expectation} wanted
 * @param {typeof mode} by
 * @param {string | null} from the field in which somebody writes
 */
function choose(wanted, by, from) {
  if (!scores) return;
  const { threshold, false_alarm_rate, guaranteed_rate, is_bound_proved } = wanted;
  chosen = { threshold, false_alarm_rate, guaranteed_rate, is_bound_proved };
  mode = by;
  if (from !== "threshold") element("threshold").value = String(Number(threshold.toPrecision(6)));
  if (from !== "rate") {
    element("rate").value = false_alarm_rate === null ? "" : String(Number((100 * false_alarm_rate).toPrecision(2)));
  }
  if (from !== "slider") element("slider").value = String(nearest(scores.steps, "threshold", threshold));
  draw();
}

/**
 * Ask what is exactly expected of what somebody writes; until then the nearest step is shown.
 * @param {"threshold" | "rate"} field
 */
function askExactly(field) {
  clearTimeout(timer);
  const number = ++asked;
  const written = Number(element(field).value);
  if (!scores || element(field).value === "" || !Number.isFinite(written)) return;
  const key = field === "rate" ? "false_alarm_rate" : "threshold";
  const value = field === "rate" ? Number((written / 100).toPrecision(12)) : written;
  const near = scores.steps[nearest(scores.steps, key, value)];
  choose(key === "threshold" ? { ...near, threshold: value } : { ...near, false_alarm_rate: value }, key, field);
  hold(true);
  timer = setTimeout(async () => {
    const told = await ask("GET", `${own}/threshold?${key}=${value}`);
    if (number !== asked) return;
    element("said").textContent = told.ok ? "" : say("failed", { reason: told.message });
    if (!told.ok) return;
    choose(told.body, key, field);
    hold(false);
  }, ASKED_MS);
}

/** @param {boolean} isHeld whether nothing can be applied */
function hold(isHeld) {
  element("apply").querySelector("button").disabled = isHeld || mode === "present";
}

function draw() {
  if (!scores) return;
  chart.draw(scores, chosen.threshold);
  drawEffects(scores);
  drawWarnings(scores);
  const share = scores.threshold > 0 ? percent.format(chosen.threshold / scores.threshold) : say("unknown");
  element("of-present").textContent = say("of_present", { share, present: score(scores.threshold) });
  element("slider").setAttribute("aria-valuetext", `${score(chosen.threshold)}, ${rate(chosen.false_alarm_rate)}`);
  const threshold = score(chosen.threshold);
  const most = chosen.guaranteed_rate;
  const isPromised = mode === "false_alarm_rate" && most !== null && most !== undefined;
  const values = { threshold, share: rate(chosen.false_alarm_rate), most: isPromised ? percent.format(atMost(most)) : "" };
  const words = { present: "unchanged", threshold: "by_hand", false_alarm_rate: isPromised ? "by_rate" : "by_rate_alone" };
  element("mode").textContent = say(words[mode], values);
  const bound = isPromised ? (chosen.is_bound_proved ? "proved" : "about") : "no_bound";
  element("bound").textContent = say(mode === "present" ? "present_bound" : bound, values);
  hold(false);
}

/** @param {Scores} of */
function drawEffects(of) {
  const now = effect(of.parts, of.threshold), then = effect(of.parts, chosen.threshold);
  const all = of.parts.length, shift = Number(element("shift").value) || 0;
  const perShift = (/** @type {number} */ parts) => (all ? count((parts / all) * shift) : say("unknown"));
  const cell = (/** @type {number} */ parts) => {
    if (!all) return [say("unknown"), ""];
    return [perShift(parts), say("of_all", { parts: String(parts), all: String(all) })];
  };
  const expected = (/** @type {Expectation} */ one) =>
    one.false_alarm_rate === null
      ? [say("unknown"), ""] : [count(one.false_alarm_rate * shift), rate(one.false_alarm_rate)];
  const seen = /** @type {const} */ (["flagged", "found", "missed"]);
  const finer = /** @type {const} */ (["alarms", "open"]);
  element("effects").replaceChildren(
    line("expected", expected(of), expected(chosen)), ...seen.map((key) => line(key, cell(now[key]), cell(then[key]))),
  );
  element("flagged-of").replaceChildren(...finer.map((key) => line(key, cell(now[key]), cell(then[key]))));
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    element("spoken").textContent = say("summary", {
      threshold: score(chosen.threshold), rate: rate(chosen.false_alarm_rate),
      flagged: perShift(then.flagged), found: perShift(then.found), missed: perShift(then.missed),
    });
  }, SPOKEN_MS);
}

/**
 * A row of a table: now and then.
 * @param {string} key
 * @param {string[]} before
 * @param {string[]} after
 */
function line(key, before, after) {
  const row = document.createElement("tr");
  row.dataset.row = key;
  const head = made("th", say(key));
  head.setAttribute("scope", "row");
  row.append(head, figure(before, "number"), figure(after, "number then"));
  return row;
}

/**
 * A number in a shift, above where it comes from.
 * @param {string[]} words
 * @param {string} name of its class
 */
function figure([number, from], name) {
  const cell = made("td", number, name);
  if (from) cell.append(" ", made("small", from));
  return cell;
}

/** @param {Scores} of */
function drawWarnings(of) {
  const decided = of.parts.filter((part) => part.kind === "confirmed_defect" || part.kind === "false_alarm").length;
  const found = [];
  const expected = chosen.false_alarm_rate;
  if (expected === null) found.push(say("rate_unknown"));
  else if (expected < of.smallest_rate) {
    found.push(say("extrapolated", { number: String(of.n_groups), share: percent.format(of.smallest_rate) }));
  }
  if (of.parts.length === 0) found.push(say("no_parts"));
  else if (!of.parts.some((part) => part.kind === "confirmed_defect")) found.push(say("no_defects"));
  if (of.parts.length > 0 && decided < FEW) found.push(say("few_reviews", { number: String(decided) }));
  const list = element("warnings");
  if (found.join("\n") === list.dataset.said) return;
  list.dataset.said = found.join("\n");
  list.replaceChildren(...found.map((text) => made("li", text)));
}

/** @param {Scores} of */
function drawLegend(of) {
  const items = KINDS.map((kind) => {
    const number = of.parts.filter((part) => part.kind === kind).length;
    const item = made("li", `${say(kind)}: ${number}`);
    item.dataset.kind = kind;
    return item;
  });
  element("legend").replaceChildren(...items);
  const others = [];
  if (of.n_other_detector) others.push(say("not_comparable", { number: String(of.n_other_detector) }));
  if (of.n_unread) others.push(say("unread", { number: String(of.n_unread) }));
  element("left-out").textContent = others.join(" ");
}

/** @param {Change[]} changes newest first */
function drawChanges(changes) {
  const rows = changes.slice(0, SHOWN_CHANGES).map((change) => {
    const row = document.createElement("tr");
    const what = say(change.action === "undone" ? "restored" : change.action);
    const time = dated(new Date(change.time));
    for (const text of [time, change.by, what]) row.append(made("td", text));
    row.append(made("td", score(change.threshold), "number"), made("td", change.reason, "why"));
    return row;
  });
  element("changes").replaceChildren(...rows);
  element("undo").hidden = changes[0]?.action !== "tuned";
}

/**
 * @param {string} path
 * @param {object} content
 * @param {string} key
 */
async function change(path, content, key) {
  const told = await ask("POST", `${own}/${path}`, content);
  if (!told.ok) {
    element("said").textContent = say("failed", { reason: told.message });
    return false;
  }
  await load();
  element("said").textContent = say(key, { threshold: score(told.body.threshold) });
  return true;
}

element("slider").addEventListener("input", () => {
  asked++;
  clearTimeout(timer);
  if (scores) choose(scores.steps[Number(element("slider").value)], "threshold", "slider");
});
element("threshold").addEventListener("input", () => askExactly("threshold"));
element("rate").addEventListener("input", () => askExactly("rate"));
element("shift").addEventListener("input", draw);
element("reset").addEventListener("click", () => {
  asked++;
  reset();
});
element("apply").addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  if (mode === "present") return;
  const reason = element("reason").value.trim();
  const wanted = { [mode]: mode === "threshold" ? chosen.threshold : chosen.false_alarm_rate, reason };
  if (reason && (await change("tune", wanted, "applied"))) element("reason").value = "";
});
element("undo").addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  const reason = element("undo-reason").value.trim();
  if (reason && (await change("undo", { reason }, "undone"))) element("undo-reason").value = "";
});
new ResizeObserver(() => scores && chart.draw(scores, chosen.threshold)).observe(element("chart"));
void load();
