/** Two histograms over one axis: learned photographs above, the latest parts below. */

import { KINDS } from "./threshold_model.js";

/** @typedef {import("./threshold_model.js").Scores} Scores */

const SVG = "http://www.w3.org/2000/svg";
const BINS = 60;
/** The thumb of the slider below ends this far from its ends, and so does the axis. */
const SIDE = 22;
const ABOVE = 90, BELOW = 170, GAP = 34, TOP = 24, FOOT = 30;
const LEAST = 4;
export const HEIGHT = TOP + ABOVE + GAP + BELOW + FOOT;

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {string} [text]
 */
export function drawn(tag, attributes, text) {
  const one = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, String(value));
  if (text !== undefined) one.textContent = text;
  return one;
}

export class Chart {
  /**
   * @param {SVGSVGElement} svg
   * @param {(key: string, values?: Record<string, string>) => string} say
   * @param {Intl.NumberFormat} percent
   */
  constructor(svg, say, percent) {
    this.svg = svg;
    this.say = say;
    this.percent = percent;
    this.width = 600;
    this.low = 0;
    this.high = 1;
    this.title = /** @type {Element} */ (svg.querySelector("title"));
  }

  /**
   * @param {Scores} scores
   * @param {number} chosen
   */
  draw(scores, chosen) {
    this.width = this.svg.clientWidth || this.width;
    [this.low, this.high] = scores.range;
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    const marks = [this.line(scores.threshold, "present"), this.line(chosen, "chosen")];
    const all = [...this.leftOut(scores), ...this.recent(scores), ...this.axis(scores), ...marks];
    all.sort((one, other) => Number(one.tagName === "text") - Number(other.tagName === "text"));
    this.svg.replaceChildren(this.title, ...this.patterns(), ...all);
  }

  /** @param {number} score */
  x(score) {
    const { width, low, high } = this;
    const place = (Math.min(score, high) - low) / (high - low);
    return SIDE + Math.max(place, 0) * (width - 2 * SIDE);
  }

  /** Bars are told apart without colours, too. */
  patterns() {
    const stripes = drawn("pattern", { id: "stripes", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
    stripes.append(drawn("rect", { width: 6, height: 6, class: "false_alarm" }), drawn("rect", { width: 2, height: 6, class: "gaps" }));
    const dots = drawn("pattern", { id: "dots", width: 5, height: 5, patternUnits: "userSpaceOnUse" });
    dots.append(drawn("rect", { width: 5, height: 5, class: "undecided" }), drawn("circle", { cx: 2.5, cy: 2.5, r: 1.2, class: "gaps" }));
    return [stripes, dots];
  }

  /** @param {number[]} values */
  counted(values) {
    const { low, high } = this;
    const bins = new Array(BINS).fill(0);
    for (const value of values) {
      const place = Math.floor(((value - low) / (high - low)) * BINS);
      bins[Math.min(Math.max(place, 0), BINS - 1)] += 1;
    }
    return bins;
  }

  /** @param {Scores} scores */
  leftOut(scores) {
    const bins = this.counted(scores.left_out);
    const words = this.say("left_out_scores", { number: String(scores.n_learned) });
    return [drawn("text", { x: SIDE, y: TOP - 8 }, words), ...this.bars([["learned", bins]], TOP, ABOVE)];
  }

  /** @param {Scores} scores */
  recent(scores) {
    const top = TOP + ABOVE + GAP;
    const kinds = [...KINDS].reverse();
    /** @type {[string, number[]][]} */
    const rows = kinds.map((kind) => [
      kind,
      this.counted(scores.parts.filter((part) => part.kind === kind).map((part) => part.score ?? scores.range[1])),
    ]);
    const words = this.say("recent", { number: String(scores.parts.length) });
    return [drawn("text", { x: SIDE, y: top - 8 }, words), ...this.bars(rows, top, BELOW)];
  }

  /**
   * Stacked bars; the least is still seen.
   * @param {[string, number[]][]} rows
   * @param {number} top
   * @param {number} height
   */
  bars(rows, top, height) {
    const { width } = this;
    const side = (width - 2 * SIDE) / BINS;
    const tall = (/** @type {number} */ count) => (count ? Math.max((count / most) * height, LEAST) : 0);
    const most = Math.max(1, ...rows[0][1].map((_, bin) => rows.reduce((sum, row) => sum + row[1][bin], 0)));
    const found = [drawn("line", { x1: SIDE, x2: width - SIDE, y1: top + height, y2: top + height, class: "base" })];
    for (let bin = 0; bin < BINS; bin++) {
      let y = top + height;
      for (const [name, bins] of rows) {
        const own = tall(bins[bin]);
        y -= own;
        if (own) found.push(drawn("rect", { x: SIDE + bin * side + 0.5, y, width: Math.max(side - 1, 1), height: own, class: name }));
      }
    }
    return found;
  }

  /**
   * Ticks in shares of the present threshold; in scores where it is not above zero.
   * @param {Scores} scores
   */
  axis(scores) {
    const { width, low, high } = this;
    const unit = scores.threshold > 0 ? scores.threshold : 1;
    const words = (/** @type {number} */ value) => (unit === 1 ? String(value) : this.percent.format(value));
    const span = (high - low) / unit;
    const wide = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 50].find((one) => (span / one) * 64 < width) ?? 100;
    const y = HEIGHT - FOOT;
    const found = [];
    for (let tick = Math.ceil(low / unit / wide) * wide; tick * unit <= high + 1e-9; tick += wide) {
      const x = this.x(tick * unit);
      found.push(drawn("line", { x1: x, x2: x, y1: y, y2: y + 5, class: "base" }));
      if (x > 24 && x < width - 24) found.push(drawn("text", { x, y: y + 20, class: "tick" }, words(Number(tick.toFixed(2)))));
    }
    const beyond = scores.parts.filter((part) => part.score !== null && part.score > high).length;
    if (beyond) found.push(drawn("text", { x: width - SIDE, y: TOP + ABOVE + GAP - 8, class: "more" }, `${this.say("more")} →`));
    return found;
  }

  /**
   * @param {number} score
   * @param {string} name
   */
  line(score, name) {
    const x = this.x(score);
    return drawn("line", { x1: x, x2: x, y1: TOP, y2: HEIGHT - FOOT + 4, class: name });
  }
}
