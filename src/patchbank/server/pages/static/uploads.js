/** Photographs that are chosen or dropped are sent in several requests, so that large sets arrive. */

import { ask } from "./ask.js";

const MOST_AT_ONCE = 20;
const SHARE = 0.9; // of the largest request: a form has more than its files
const SYSTEM_FILES = /^(\.ds_store|\._.*|thumbs\.db|desktop\.ini)$/i; // which folders have that were copied

/**
 * @typedef {object} Sent
 * @property {number} done files that were sent, or that the page has refused
 * @property {number} added
 * @property {number} known
 * @property {{name: string, error: string}[]} refused
 * @property {string} error why it was stopped; empty if all were sent
 */

/**
 * The files of a drop, those in folders too.
 * @param {DataTransfer} transfer
 * @returns {Promise<File[]>}
 */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((one) => one.webkitGetAsEntry());
  const plain = [...transfer.files]; // both have to be asked for at once: they are gone after that
  if (entries.every((one) => one === null)) return plain;
  const found = await Promise.all(entries.map((one) => (one ? filesOf(one) : [])));
  return found.flat();
}

/** @param {FileSystemEntry} entry @returns {Promise<File[]>} */
async function filesOf(entry) {
  if (entry.isFile) {
    const file = /** @type {FileSystemFileEntry} */ (entry);
    return [await new Promise((resolve, reject) => file.file(resolve, reject))];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const found = [];
  for (;;) {
    // A browser lists a hundred at a time.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    for (const one of some) found.push(...(await filesOf(one)));
  }
  return found;
}

/**
 * Send photographs, some at a time.
 * @param {string} path
 * @param {File[]} files
 * @param {number} maxBytes of a request
 * @param {(sent: Sent, total: number) => void} show
 * @param {(name: string) => string} tooLarge words for a file that is
 * @param {AbortSignal} signal
 * @returns {Promise<Sent>}
 */
export async function send(path, files, maxBytes, show, tooLarge, signal) {
  const wanted = files.filter((one) => !SYSTEM_FILES.test(one.name));
  /** @type {Sent} */
  const sent = { done: 0, added: 0, known: 0, refused: [], error: "" };
  let position = 0;
  while (position < wanted.length && !signal.aborted) {
    const form = new FormData();
    let bytes = 0;
    let number = 0;
    while (position < wanted.length && number < MOST_AT_ONCE) {
      const file = wanted[position];
      if (file.size > SHARE * maxBytes) {
        sent.refused.push({ name: file.name, error: tooLarge(file.name) });
        sent.done += 1;
        position += 1;
        continue;
      }
      if (bytes + file.size > SHARE * maxBytes) break;
      form.append("image", file, file.name);
      bytes += file.size;
      number += 1;
      position += 1;
    }
    if (number) {
      const answer = await ask("POST", path, form, { signal });
      if (!answer.ok) {
        sent.error = signal.aborted ? "" : answer.message;
        break;
      }
      sent.done += number;
      sent.added += answer.body.added.length;
      sent.known += answer.body.known.length;
      sent.refused.push(...answer.body.refused);
    }
    show(sent, wanted.length);
  }
  return sent;
}
