/** Times of the page as the reader's computer writes them. */

/** @param {string} text a time in UTC */
export function localTime(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : time.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

for (const one of document.querySelectorAll("time[datetime]")) {
  one.textContent = localTime(/** @type {HTMLTimeElement} */ (one).dateTime);
}
