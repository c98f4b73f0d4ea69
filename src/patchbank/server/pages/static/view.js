/** The operator's screen as it is drawn. Texts are always set as text, never as HTML. */

/** @typedef {import("./model.js").Part} Part */
/** @typedef {import("./model.js").Line} Line */

import { spokenTime } from "./times.js";

const SVG = "http://www.w3.org/2000/svg";
const STATES = { good: "ok", anomalous: "ng", unread: "unread" };
/** Time after which a picture that did not arrive is asked for again. */
const AGAIN_MS = 2000;

/**
 * @param {string} id
 * @returns {any}
 */
export function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return found;
}

export class View {
  /**
   * @param {string} root path of the service
   * @param {string} product
   * @param {Record<string, string>} words
   * @param {(part: Part) => void} chosen is called when a part of the strip is chosen
   */
  constructor(root, product, words, chosen) {
    this.own = `${root}/line/${encodeURIComponent(product)}/parts`;
    this.parts = `${root}/parts`;
    this.product = product;
    this.words = words;
    this.chosen = chosen;
    const language = document.documentElement.lang;
    this.numbers = new Intl.NumberFormat(language);
    this.whole = new Intl.NumberFormat(language, { style: "percent" });
    this.fine = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
    /** @type {Map<number, HTMLLIElement>} */
    this.items = new Map();
    this.drawn = "";
    /** @type {Record<string, string | null>} addresses of the pictures that are shown or come */
    this.wanted = {};
  }

  /**
   * @param {string} key
   * @param {Record<string, string>} values
   */
  say(key, values = {}) {
    return this.words[key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  }

  /** @param {Part} part */
  name(part) {
    return part.serial_number ?? part.image ?? this.words.no_number;
  }

  /** @param {Part} part */
  word(part) {
    return this.words[STATES[part.verdict]];
  }

  /** @param {Date} time */
  time(time) {
    return spokenTime(time, this.words.yesterday);
  }

  /**
   * Draw all of it.
   * @param {Line} line
   * @param {{since: Date, isRecorded: boolean} | null} lost
   */
  draw(line, lost) {
    const part = lost ? (line.parts.at(-1) ?? null) : line.shown;
    const state = lost ? "not_live" : part ? STATES[part.verdict] : "waiting";
    const drawn = `${state} ${part?.id}`;
    const main = element("main");
    main.classList.toggle("new", drawn !== this.drawn);
    main.dataset.state = state;
    main.dataset.part = String(part?.id ?? "");
    document.body.dataset.live = lost ? "no" : "yes";
    element("shape").setAttribute("href", `#shape-${state}`);
    set("word", this.words[state]);
    this.drawFacts(part, lost);
    this.drawHeld(line, lost);
    if (drawn !== this.drawn) this.drawPictures(lost ? null : part);
    this.drawn = drawn;
    this.drawStrip(line, lost ? null : part);
    this.drawButtons(line, part, lost !== null);
  }

  /**
   * @param {Part | null} part
   * @param {{since: Date, isRecorded: boolean} | null} lost
   */
  drawFacts(part, lost) {
    const review = element("review");
    review.hidden = !part?.review || lost !== null;
    review.textContent = part?.review ? this.words[part.review] : "";
    set("time", part && !lost ? this.time(new Date(part.time)) : "");
    if (lost) {
      const key = lost.isRecorded ? "since" : "not_recorded";
      set("share", this.say(key, { time: this.time(lost.since) }));
      const last = part && { part: `${this.word(part)} ${this.name(part)}`, time: this.time(new Date(part.time)) };
      set("serial", last ? this.say("last_part", last) : "");
    } else if (!part) {
      set("serial", "");
      set("share", this.words.first_part);
    } else {
      set("serial", this.name(part));
      const share = part.share === null ? "" : this.say("share", { share: this.whole.format(part.share) });
      set("share", part.verdict === "unread" ? this.words.could_not_be_read : share);
    }
  }

  /**
   * @param {Line} line
   * @param {object | null} lost
   */
  drawHeld(line, lost) {
    const isEarlier = line.earlier !== null && !lost;
    const isHeld = !lost && !isEarlier && line.held.length > 0;
    document.querySelector(".field")?.classList.toggle("earlier", isEarlier);
    const note = element("note");
    note.hidden = !isEarlier && !(isHeld && line.missed.has(line.held[0].id));
    set("note", isEarlier ? this.words.earlier : this.words.missed);
    element("back").hidden = !isEarlier;
    element("acknowledge").hidden = !isHeld;
    const left = line.held.length - 1;
    set("acknowledge-text", left > 0 ? this.say("next", { number: String(left) }) : this.words.acknowledge);
  }

  /** @param {Part | null} part */
  drawPictures(part) {
    const isNg = part?.verdict === "anomalous";
    element("pictures").hidden = !isNg;
    element("small-figure").hidden = true;
    const own = part && `${this.own}/${part.id}`;
    this.load("small", part && part.verdict === "good" && part.is_kept ? `${own}/small` : null);
    this.load("overlay", isNg ? `${this.parts}/${part.id}/marked` : null);
    this.load("odd", isNg ? `${own}/odd` : null);
    this.load("nearest", isNg ? `${own}/nearest` : null);
  }

  /**
   * A picture of the part before must not be seen with the word of this one.
   * @param {string} name
   * @param {string | null} address
   */
  load(name, address) {
    this.wanted[name] = address;
    element(name).hidden = true;
    if (name !== "small") element(`${name}-absent`).hidden = true;
    if (address) void this.fetch(name, address);
  }

  /**
   * A picture is drawn on a canvas, since browsers keep hundreds of megabytes of decoded images.
   * One that the service is too busy to make, or that was cut off, is asked for again.
   * @param {string} name
   * @param {string} address
   */
  async fetch(name, address) {
    let status = 0;
    try {
      const answer = await fetch(address);
      status = answer.status;
      if (answer.ok) {
        const bitmap = await createImageBitmap(await answer.blob());
        if (this.wanted[name] === address) this.drawPicture(name, bitmap);
        else bitmap.close();
        return;
      }
    } catch {
      // there is no service at the moment
    }
    if (this.wanted[name] !== address) return;
    if (status === 0 || status === 429 || status >= 500) {
      setTimeout(() => this.wanted[name] === address && this.fetch(name, address), AGAIN_MS);
    } else if (name !== "small") {
      const absent = element(`${name}-absent`);
      absent.textContent = name === "nearest" ? this.words.no_good : this.words.no_picture;
      absent.hidden = false;
    }
  }

  /**
   * @param {string} name
   * @param {ImageBitmap} bitmap
   */
  drawPicture(name, bitmap) {
    const canvas = element(name);
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.getContext("bitmaprenderer").transferFromImageBitmap(bitmap);
    canvas.hidden = false;
    if (name === "small") element("small-figure").hidden = false;
  }

  /**
   * The newest part is the first.
   * @param {Line} line
   * @param {Part | null} shown
   */
  drawStrip(line, shown) {
    const list = element("strip");
    const ids = new Set(line.parts.map((part) => part.id));
    for (const [id, item] of this.items) {
      if (!ids.has(id)) {
        item.remove();
        this.items.delete(id);
      }
    }
    for (const part of line.parts) {
      let item = this.items.get(part.id);
      if (!item) {
        item = this.item(part);
        this.items.set(part.id, item);
        const next = line.parts.filter((one) => one.id < part.id).map((one) => this.items.get(one.id)).pop();
        list.insertBefore(item, next ?? null);
      }
      const button = /** @type {HTMLButtonElement} */ (item.firstElementChild);
      button.toggleAttribute("aria-current", part.id === shown?.id);
      if (part.id === shown?.id) button.setAttribute("aria-current", "true");
      /** @type {HTMLElement} */ (button.lastElementChild).textContent = part.review ? this.words[part.review] : "";
    }
  }

  /**
   * @param {Part} part
   * @returns {HTMLLIElement}
   */
  item(part) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.state = STATES[part.verdict];
    button.dataset.id = String(part.id);
    const shape = document.createElementNS(SVG, "svg");
    shape.setAttribute("aria-hidden", "true");
    shape.setAttribute("viewBox", "0 0 100 100");
    const use = document.createElementNS(SVG, "use");
    use.setAttribute("href", `#shape-${STATES[part.verdict]}`);
    shape.append(use);
    const word = document.createElement("span");
    word.textContent = this.word(part);
    const name = document.createElement("small");
    name.textContent = part.serial_number ?? this.time(new Date(part.time));
    button.append(shape, word, name, document.createElement("small"));
    button.addEventListener("click", () => this.chosen(part));
    item.append(button);
    return item;
  }

  /**
   * @param {Line} line
   * @param {Part | null} part
   * @param {boolean} isLost
   */
  drawButtons(line, part, isLost) {
    element("false-alarm").disabled = isLost || part?.verdict !== "anomalous";
    element("confirmed-defect").disabled = isLost || !part || part.verdict === "unread";
    element("undo").disabled = isLost || line.reviewed.length === 0;
    set("confirmed-defect-text", part?.verdict === "good" ? this.words.defect : this.words.confirmed_defect);
  }

  /** @param {{shift: string | null, good: number, anomalous: number, unread: number}} counts */
  drawCounts(counts) {
    const inspected = counts.good + counts.anomalous;
    const name = counts.shift === null ? this.words.today : this.say("shift", { name: counts.shift });
    set("since", `${this.product} · ${name}`);
    set("counts", this.say("counts", {
      inspected: this.numbers.format(inspected),
      ng: this.numbers.format(counts.anomalous),
      share: this.fine.format(inspected ? counts.anomalous / inspected : 0),
      unread: this.numbers.format(counts.unread),
    }));
  }

  /** @param {boolean} isLive */
  drawLive(isLive) {
    element("state").dataset.live = isLive ? "yes" : "no";
    set("state-text", isLive ? this.words.live : this.words.connecting);
  }
}

/**
 * Set a text, which a screen reader says again only where it has changed.
 * @param {string} id
 * @param {string} text
 */
export function set(id, text) {
  const one = element(id);
  if (one.textContent !== text) one.textContent = text;
}
