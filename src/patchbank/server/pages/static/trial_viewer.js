/** A photograph with its map over it: how strongly, up to which line, and with which boxes. */

/** @typedef {{left: number, top: number, width: number, height: number}} Region */

const SVG = "http://www.w3.org/2000/svg";

export class Viewer {
  /**
   * @param {HTMLElement} frame
   * @param {(key: string, values?: Record<string, string>) => string} say
   * @param {Intl.NumberFormat} percent
   */
  constructor(frame, say, percent) {
    this.frame = frame;
    this.say = say;
    this.percent = percent;
    if (!frame) return;
    for (const id of ["divider", "strength", "boxes-on"]) {
      this.element(id).addEventListener("input", () => this.draw());
    }
    for (const id of ["photograph", "heat"]) {
      this.element(id).addEventListener("error", () => this.fail());
    }
  }

  /**
   * @param {string} id
   * @returns {any}
   */
  element(id) {
    return document.getElementById(id);
  }

  /**
   * @param {[number, number]} size width and height
   * @param {{photograph: string | null, heat: string | null}} links
   * @param {Region[]} regions
   */
  show([width, height], links, regions) {
    this.frame.style.setProperty("--width", String(width));
    this.frame.style.setProperty("--height", String(height));
    this.element("picture-absent").hidden = true;
    this.frame.hidden = false;
    for (const [id, address] of Object.entries({ photograph: links.photograph, heat: links.heat })) {
      if (address) this.element(id).src = address;
      else this.fail();
    }
    const boxes = this.element("boxes");
    boxes.setAttribute("viewBox", `0 0 ${width} ${height}`);
    boxes.replaceChildren(...regions.map((region) => this.box(region)));
    this.element("divider").value = "0";
    this.draw();
  }

  /** @param {Region} region */
  box(region) {
    const box = document.createElementNS(SVG, "rect");
    const { left, top, width, height } = region;
    for (const [name, value] of Object.entries({ x: left, y: top, width, height })) {
      box.setAttribute(name, String(value));
    }
    return box;
  }

  draw() {
    const divider = this.element("divider"), strength = this.element("strength");
    const line = Number(divider.value);
    this.element("heat").style.opacity = String(Number(strength.value) / 100);
    this.element("heat").style.clipPath = `inset(0 0 0 ${line}%)`;
    this.element("boxes").style.clipPath = `inset(0 0 0 ${line}%)`;
    this.element("divides").style.left = `${line}%`;
    this.element("boxes").toggleAttribute("hidden", !this.element("boxes-on").checked);
    divider.setAttribute("aria-valuetext", this.say("before", { share: this.percent.format(line / 100) }));
    strength.setAttribute("aria-valuetext", this.percent.format(Number(strength.value) / 100));
  }

  fail() {
    this.frame.hidden = true;
    this.element("picture-absent").hidden = false;
  }
}
