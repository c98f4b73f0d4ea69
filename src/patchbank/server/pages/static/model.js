/** What the operator's screen knows: the last parts, those to acknowledge, and the one to show. */

/**
 * @typedef {object} Part
 * @property {number} id
 * @property {string} time
 * @property {"good" | "anomalous" | "unread"} verdict
 * @property {string | null} review
 * @property {number | null} share
 * @property {string | null} serial_number
 * @property {string | null} lot
 * @property {string | null} image
 * @property {boolean} is_kept
 * @property {string | null} error
 * @property {(string | null)[]} [reviews] those before, as far as this screen has made them
 */

export const STRIP = 12;
const MOST_UNDONE = 50;

export class Line {
  /** @param {number | null} last number of the last part that this screen had before it was loaded */
  constructor(last) {
    /** @type {Part[]} oldest first */
    this.parts = [];
    /** @type {Part[]} to acknowledge, the first is shown */
    this.held = [];
    /** @type {Part[]} not good, and not seen long enough yet; the first is shown */
    this.brief = [];
    /** @type {Part | null} an earlier part that somebody wants to see */
    this.earlier = null;
    /** @type {Part[]} reviewed on this screen, the latest last */
    this.reviewed = [];
    this.last = last;
    this.isLive = false;
    this.freezes = false;
    /** @type {Set<number>} held ones that came while the screen was not live */
    this.missed = new Set();
  }

  /** @param {{after: number, parts: Part[]}} content */
  begin(content) {
    this.parts = content.parts;
    if (this.last === null || content.after < this.last) this.last = content.after;
  }

  /**
   * Take in a part.
   * @param {Part} part
   * @returns {boolean} whether it is new
   */
  add(part) {
    if (this.last !== null && part.id <= this.last) return false;
    this.last = part.id;
    if (!this.parts.some((one) => one.id === part.id)) {
      this.parts.push(part);
      this.parts.sort((one, other) => one.id - other.id);
      this.parts.splice(0, this.parts.length - STRIP);
    }
    if (part.verdict === "good") return true;
    this.earlier = null;
    this.brief.push(part);
    if (this.freezes || !this.isLive || this.held.length > 0) this.hold();
    return true;
  }

  /** Hold the parts that nobody can have seen yet, until they are acknowledged. */
  hold() {
    if (!this.isLive) for (const part of this.brief) this.missed.add(part.id);
    this.held.push(...this.brief.splice(0));
  }

  /** The first of those that were to be seen for a moment has been seen. */
  seen() {
    if (this.isLive) this.brief.shift();
    else this.hold();
  }

  /** The part on the screen. */
  get shown() {
    return this.earlier ?? this.held[0] ?? this.brief[0] ?? this.parts[this.parts.length - 1] ?? null;
  }

  /** Number after which a screen that is loaded again goes on, so that it holds the same parts. */
  get position() {
    const first = this.held[0] ?? this.brief[0];
    return first ? first.id - 1 : this.last;
  }

  acknowledge() {
    const part = this.held.shift();
    if (part) this.missed.delete(part.id);
  }

  /** @param {boolean} freezes */
  setFreezes(freezes) {
    this.freezes = freezes;
    if (!freezes) this.held = this.held.filter((part) => this.missed.has(part.id));
  }

  /**
   * Note the review of a part, and show what comes next.
   * @param {Part} part
   * @param {string | null} review
   */
  review(part, review) {
    for (const one of [part, ...this.parts, ...this.held, ...this.reviewed]) {
      if (one.id === part.id) one.review = review;
    }
  }

  /** @param {Part} part */
  remember(part) {
    this.reviewed.push(part);
    this.reviewed.splice(0, this.reviewed.length - MOST_UNDONE);
    if (this.held[0]?.id === part.id) this.acknowledge();
  }
}
