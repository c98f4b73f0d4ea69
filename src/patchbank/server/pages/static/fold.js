/** On a phone, what is looked at comes first: forms above it are folded. */

const phone = matchMedia("(max-width: 700px)");

function fold() {
  for (const one of document.querySelectorAll("details[data-folds]")) {
    /** @type {HTMLDetailsElement} */ (one).open = !phone.matches;
  }
}

phone.addEventListener("change", fold);
fold();
