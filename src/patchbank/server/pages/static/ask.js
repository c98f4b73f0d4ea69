/** Questions of a page to its service, with the text that only pages of its session know. */

/**
 * @typedef {object} Told
 * @property {boolean} ok
 * @property {number} status 0 where the service did not answer
 * @property {any} body what was answered, as JSON
 * @property {string} message why it did not work
 */

const { root = "", csrf = "" } = document.body.dataset;

/**
 * @param {string} method
 * @param {string} path of the service, as "/v1/products"
 * @param {any} [body] FormData as a form, anything else as JSON
 * @param {{signal?: AbortSignal, keepalive?: boolean, headers?: Record<string, string>}} [more] keepalive:
 *   sent to its end also where the page is left
 * @returns {Promise<Told>}
 */
export async function ask(method, path, body, { signal, keepalive = false, headers: further = {} } = {}) {
  /** @type {Record<string, string>} */
  const headers = { accept: "application/json", "x-csrf-token": csrf, ...further };
  const isForm = body instanceof FormData || body instanceof Blob;
  if (body !== undefined && !isForm) headers["content-type"] = "application/json";
  const sent = body === undefined || isForm ? body : JSON.stringify(body);
  try {
    const response = await fetch(root + path, { method, headers, body: sent, signal, keepalive });
    const text = await response.text();
    const content = text ? JSON.parse(text) : null;
    const message = response.ok ? "" : content?.error?.message ?? String(response.status);
    if (response.status === 401) location.reload(); // the session is over
    return { ok: response.ok, status: response.status, body: content, message };
  } catch (error) {
    return { ok: false, status: 0, body: null, message: String(error) };
  }
}

/**
 * The messages of the page, in the language of the reader.
 * @returns {(key: string, values?: Record<string, string>) => string}
 */
export function spoken() {
  /** @type {Record<string, string>} */
  const words = JSON.parse(document.body.dataset.words ?? "{}");
  return (key, values = {}) => (words[key] ?? key).replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}

/** The way in which the reader writes numbers and times, in the language of the page. */
export function locale() {
  const language = document.documentElement.lang;
  return navigator.language.startsWith(language) ? navigator.language : language;
}
