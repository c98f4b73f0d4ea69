/** The parts that this page has claimed, and what was decided: everything is sent in order. */

import { ask } from "./ask.js";

/**
 * @typedef {object} Part
 * @property {number} id
 * @property {string} time in UTC
 * @property {string} product
 * @property {"good" | "anomalous" | "unread"} verdict
 * @property {number | null} score
 * @property {number | null} threshold
 * @property {string | null} serial_number
 * @property {string | null} lot
 * @property {string | null} image
 * @property {string | null} error
 * @property {{photograph: string | null}} links
 */
/** @typedef {"confirmed_defect" | "false_alarm" | "unsure"} Decision */
/** @typedef {import("./ask.js").Told} Told */

/** Parts that are claimed ahead of the one that is shown, and when further ones are. */
const AHEAD = 12;
const LEAST_AHEAD = 6;
const MOST_UNDONE = 100;

/** Time after which it is asked anew which day or shift it is. */
const PERIOD_MS = 60_000;
/** @typedef {{since: string | null, until: string | null, shift: string | null}} Period */
/** @type {Period} */
const ALWAYS = { since: null, until: null, shift: null };

/** A page without a secure context has no randomUUID. */
function newName() {
  const numbers = crypto.getRandomValues(new Uint8Array(16));
  return [...numbers].map((one) => one.toString(16).padStart(2, "0")).join("");
}

export class Queue {
  /** @param {() => void} changed is called when something else is to be drawn */
  constructor(changed) {
    this.reviewer = newName();
    this.changed = changed;
    this.filters = { product: "", lot: "", order: "oldest", which: "all", when: "" };
    /** What the chosen time comes to, for which filters and since when that is known. */
    this.period = ALWAYS;
    this.periodOf = "";
    this.periodSince = 0;
    /** @type {Part[]} those that are claimed and not decided */
    this.parts = [];
    this.at = 0;
    /** @type {{part: Part, decision: Decision}[]} on record, the latest last */
    this.done = [];
    this.waiting = 0;
    this.others = 0;
    /** How many of those that wait are flagged, and how many unread; the rest is near the threshold. */
    this.kinds = { anomalous: 0, unread: 0 };
    /** Whether the service has answered at all, and the last time. */
    this.isKnown = false;
    this.isLost = false;
    this.isFilling = false;
    /** @type {Promise<any>} one request after the other, so that none overtakes another */
    this.chain = Promise.resolve();
  }

  /** @returns {Part | null} the part that is shown */
  get current() {
    return this.parts[this.at] ?? null;
  }

  /** The parts after it that are looked at next. */
  get coming() {
    return this.parts.slice(this.at + 1, this.at + 5);
  }

  get isAtEnd() {
    return this.at === this.parts.length - 1;
  }

  /**
   * @template Result
   * @param {() => Promise<Result>} work
   * @returns {Promise<Result>}
   */
  inTurn(work) {
    const done = this.chain.then(work);
    this.chain = done.catch(() => {});
    return done;
  }

  /** Claim further parts where few are ahead, and keep those that there are. */
  async fill() {
    if (this.isFilling) return;
    this.isFilling = true;
    await this.inTurn(() => this.claim());
    this.isFilling = false;
    this.changed();
  }

  async claim() {
    const ahead = this.parts.length - this.at;
    const count = ahead < LEAST_AHEAD ? AHEAD - ahead : 0;
    const { product, lot, order, which, when } = this.filters;
    this.isLost = !(await this.renewPeriod(when, product));
    if (this.isLost) return;
    const told = await ask("POST", "/v1/reviews/claims", {
      reviewer: this.reviewer, count, order, product: product || null, lot: lot || null,
      border: which !== "flagged", ...this.period,
    });
    this.isLost = !told.ok;
    if (!told.ok) return;
    this.isKnown = true;
    this.waiting = told.body.waiting;
    this.others = told.body.others;
    this.kinds = { anomalous: told.body.anomalous, unread: told.body.unread };
    this.keepOnly(new Set(told.body.held));
    this.parts.push(...told.body.inspections);
  }

  /**
   * Learn from when until when the parts are that are wanted, which another day or shift changes.
   * @param {string} when
   * @param {string} product
   * @returns {Promise<boolean>} whether it is known
   */
  async renewPeriod(when, product) {
    const wanted = JSON.stringify([when, product]);
    const isNew = wanted === this.periodOf && performance.now() - this.periodSince < PERIOD_MS;
    if (isNew) return true;
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const query = new URLSearchParams({ when, product, ...(zone && { zone }) });
    const told = when ? await ask("GET", `/review/period?${query}`) : null;
    if (told && !told.ok) return false;
    this.period = told ? told.body : ALWAYS;
    [this.periodOf, this.periodSince] = [wanted, performance.now()];
    return true;
  }

  /** @param {Set<number>} held others were reviewed elsewhere */
  keepOnly(held) {
    const before = this.parts.slice(0, this.at).filter((part) => held.has(part.id)).length;
    this.parts = this.parts.filter((part) => held.has(part.id));
    this.at = Math.min(before, Math.max(this.parts.length - 1, 0));
  }

  /** @param {number} steps */
  move(steps) {
    this.at = Math.max(Math.min(this.at + steps, this.parts.length - 1), 0);
    if (this.parts.length - this.at < LEAST_AHEAD) void this.fill();
  }

  /**
   * Decide about the part that is shown, and go on at once; where it is not recorded, it comes back.
   * @param {Decision} decision
   * @param {string} note
   * @returns {Promise<Told>}
   */
  async decide(decision, note) {
    const [part] = this.parts.splice(this.at, 1);
    this.at = Math.min(this.at, Math.max(this.parts.length - 1, 0));
    this.count(part, -1);
    const sent = this.inTurn(() => this.send(part, decision, note));
    if (this.parts.length - this.at < LEAST_AHEAD) void this.fill();
    const told = await sent;
    if (told.ok) {
      this.done.push({ part, decision });
      this.done.splice(0, this.done.length - MOST_UNDONE);
    } else if (told.status !== 409) {
      this.putBack(part);
    }
    return told;
  }

  /**
   * Take the last decision back, and show its part again.
   * @param {(part: Part) => Promise<boolean>} isFixed whether more hangs on it than this page can take back
   * @returns {Promise<{part: Part, told: Told | null} | null>} told: null for one that is fixed
   */
  async undo(isFixed) {
    await this.chain;
    const last = this.done.pop();
    if (!last) return null;
    if (await isFixed(last.part)) {
      this.done.push(last);
      return { part: last.part, told: null };
    }
    const told = await this.inTurn(() => this.send(last.part, "withdrawn", ""));
    if (told.ok) this.putBack(last.part);
    else if (told.status === 0 || told.status >= 500) this.done.push(last);
    return { part: last.part, told };
  }

  /** @param {Part} part is shown again */
  putBack(part) {
    this.parts.splice(this.at, 0, part);
    this.count(part, 1);
  }

  /**
   * @param {Part} part that waits no more, or again
   * @param {number} by
   */
  count(part, by) {
    this.waiting = Math.max(this.waiting + by, 0);
    if (part.verdict !== "good") this.kinds[part.verdict] = Math.max(this.kinds[part.verdict] + by, 0);
  }

  /**
   * @param {Part} part
   * @param {string} decision
   * @param {string} note
   */
  send(part, decision, note) {
    const body = { decision, note, reviewer: this.reviewer };
    return ask("POST", `/v1/inspections/${part.id}/review`, body, { keepalive: true });
  }

  /** Give all parts back, as others may want them. */
  async release() {
    this.parts = [];
    this.at = 0;
    await this.inTurn(() => this.releaseNow());
  }

  /** @returns {Promise<Told>} */
  releaseNow() {
    return ask("DELETE", `/v1/reviews/claims/${this.reviewer}`, undefined, { keepalive: true });
  }
}
