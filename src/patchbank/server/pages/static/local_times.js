/** Times of the page by the clock of the reader's computer. */

import { dated } from "./times.js";

/** @param {string} text a time in UTC */
export function localTime(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : dated(time);
}

for (const one of document.querySelectorAll("time[datetime]")) {
  one.textContent = localTime(/** @type {HTMLTimeElement} */ (one).dateTime);
}
