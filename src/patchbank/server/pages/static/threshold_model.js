/** What a threshold makes of the latest parts: only counted here, all rates come from the service. */

/**
 * @typedef {"confirmed_defect" | "false_alarm" | "undecided" | "good"} Kind
 * @typedef {{id: number, score: number | null, kind: Kind, is_always_flagged: boolean}} Part
 * @typedef {object} Expectation
 * @property {number} threshold
 * @property {number | null} false_alarm_rate expected; null where nothing is known
 * @property {number | null} [guaranteed_rate] null for a threshold that is set by hand
 * @property {boolean} [is_bound_proved] whether that is proved for the method
 *
 * @typedef {object} ScoresOnly
 * @property {number} smallest_rate that ranks of the learned photographs distinguish
 * @property {number} n_learned
 * @property {number} n_groups
 * @property {number[]} left_out ascending
 * @property {[number, number]} range
 * @property {Expectation[]} steps ascending
 * @property {Part[]} parts
 * @property {number} n_other_detector
 * @property {number} n_unread
 * @property {{parts: number | null, counted: string, n: number, days: number}} shift
 *
 * @typedef {Expectation & ScoresOnly} Scores
 */

/** @type {Kind[]} */
export const KINDS = ["confirmed_defect", "false_alarm", "undecided", "good"];

/**
 * @param {Part} part
 * @param {number} threshold
 */
export function isFlagged(part, threshold) {
  return part.is_always_flagged || (part.score !== null && part.score > threshold);
}

/**
 * @param {Part[]} parts
 * @param {number} threshold
 */
export function effect(parts, threshold) {
  const flagged = parts.filter((part) => isFlagged(part, threshold));
  const of = (/** @type {Kind} */ kind) => flagged.filter((part) => part.kind === kind).length;
  const defects = parts.filter((part) => part.kind === "confirmed_defect").length;
  const found = of("confirmed_defect"), alarms = of("false_alarm");
  return { flagged: flagged.length, found, alarms, open: flagged.length - found - alarms, missed: defects - found };
}

/**
 * The number of the step that is nearest to a wanted value.
 * @param {Expectation[]} steps
 * @param {"threshold" | "false_alarm_rate"} key
 * @param {number} value
 */
export function nearest(steps, key, value) {
  let found = 0;
  steps.forEach((step, index) => {
    if (Math.abs(Number(step[key]) - value) < Math.abs(Number(steps[found][key]) - value)) found = index;
  });
  return found;
}

/**
 * A rate as all rows and sentences say it: two digits.
 * @param {number} share
 */
export function rounded(share) {
  return Number(share.toPrecision(2));
}

/**
 * A bound, rounded up to a tenth of a percent; a small one to two digits.
 * @param {number} share
 */
export function atMost(share) {
  if (!(share > 0)) return 0;
  const step = 10 ** Math.min(-1, Math.floor(Math.log10(100 * share)) - 1);
  return Number((Math.ceil((100 * share) / step - 1e-9) * step / 100).toPrecision(10));
}
