/** Times as all pages write them, by the clock of this computer: 2026-11-25 07:04:10. */

/** @param {number} value */
const two = (value) => String(value).padStart(2, "0");

/** @param {Date} time */
const day = (time) => [String(time.getFullYear()).padStart(4, "0"), two(time.getMonth() + 1), two(time.getDate())].join("-");

/**
 * The time of the day.
 * @param {Date} time
 */
export function clock(time) {
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
}

/**
 * Date and time.
 * @param {Date} time
 */
export function dated(time) {
  return `${day(time)} ${clock(time)}`;
}

/**
 * As short as it says all: the time of today, that of yesterday, or date and time.
 * @param {Date} time
 * @param {string} yesterday text with {time}
 */
export function spokenTime(time, yesterday) {
  const before = new Date();
  if (day(time) === day(before)) return clock(time);
  before.setDate(before.getDate() - 1);
  return day(time) === day(before) ? yesterday.replace("{time}", () => clock(time)) : dated(time);
}
