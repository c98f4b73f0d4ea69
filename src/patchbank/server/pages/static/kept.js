/** Settings that stay in this browser; without its storage they last as long as the page. */

/**
 * @param {Storage} storage
 * @param {string} key
 * @returns {string | null}
 */
export function read(storage, key) {
  try {
    return storage.getItem(`patchbank.${key}`);
  } catch {
    return null;
  }
}

/**
 * @param {Storage} storage
 * @param {string} key
 * @param {string} text
 */
export function keep(storage, key, text) {
  try {
    storage.setItem(`patchbank.${key}`, text);
  } catch {
    // it is not kept
  }
}
