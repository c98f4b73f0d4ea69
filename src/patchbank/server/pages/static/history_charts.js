/** Charts: values by hover and tap, and what is asked for by a second request. */

const AGAIN_MS = 300;

for (const chart of document.querySelectorAll(".chart")) {
  const said = chart.querySelector(".value");
  for (const name of ["pointerover", "click"]) {
    chart.addEventListener(name, (event) => {
      const text = event.target instanceof Element ? event.target.getAttribute("data-says") : null;
      if (said && text) said.textContent = text;
    });
  }
}

const section = document.getElementById("statements");
if (section?.dataset.path && section.querySelector("a")) void load(section, section.dataset.path);

/**
 * A page of its own, whose section comes here; it is asked again while later parts follow.
 * @param {HTMLElement} shown
 * @param {string} path
 */
async function load(shown, path) {
  const answer = await fetch(path, { headers: { accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return; // the link stays
  const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("statements");
  if (!found) return;
  shown.replaceWith(found);
  if (found.dataset.behind === "yes") setTimeout(() => void load(found, path), AGAIN_MS);
}
