/** Pictures are loaded before their part is shown; those that take the service long, one by one. */

/** @typedef {import("./review_queue.js").Part} Part */
/** @typedef {"loading" | "there" | "gone"} State */

const AGAIN_MS = 2000;
const MOST_KEPT = 120;
/** Parts whose pictures are made for them alone, in addition to the one that is shown. */
const SLOW_AHEAD = 2;

export class Pictures {
  /**
   * @param {string} root path of the service
   * @param {() => void} arrived is called when a picture has come, or will never come
   */
  constructor(root, arrived) {
    this.root = root;
    this.arrived = arrived;
    /** @type {Map<string, {state: State, image: HTMLImageElement}>} by their addresses */
    this.known = new Map();
    /** @type {string[]} that have to be made, the most urgent first */
    this.slow = [];
    this.isMaking = false;
  }

  /** @param {Part} part */
  plain(part) {
    return `${this.root}/parts/${part.id}/plain`;
  }

  /** @param {Part} part */
  marked(part) {
    return `${this.root}/parts/${part.id}/marked`;
  }

  /**
   * @param {Part} part
   * @param {"odd" | "nearest"} name
   */
  spot(part, name) {
    return `${this.root}/line/${encodeURIComponent(part.product)}/parts/${part.id}/${name}`;
  }

  /**
   * Load what is looked at now and next.
   * @param {Part} current
   * @param {Part[]} coming
   * @param {boolean} isMarked
   */
  want(current, coming, isMarked) {
    const kept = [current, ...coming].filter((part) => part.links.photograph);
    for (const part of kept) {
      const isFlagged = part.verdict === "anomalous";
      void this.load(isFlagged && isMarked ? this.marked(part) : this.plain(part));
      if (part === current && isFlagged) void this.load(isMarked ? this.plain(part) : this.marked(part));
    }
    this.slow = [];
    for (const part of kept.slice(0, 1 + SLOW_AHEAD)) {
      if (part.verdict === "unread") continue;
      this.slow.push(this.spot(part, "odd"), this.spot(part, "nearest"));
      if (part.verdict === "good") this.slow.push(this.marked(part));
    }
    void this.makeNext();
  }

  async makeNext() {
    if (this.isMaking) return;
    const address = this.slow.find((one) => !this.known.has(one));
    if (!address) return;
    this.isMaking = true;
    await this.load(address);
    this.isMaking = false;
    void this.makeNext();
  }

  /**
   * @param {string} address
   * @returns {State}
   */
  state(address) {
    return this.known.get(address)?.state ?? "loading";
  }

  /**
   * Load a picture once; it is asked for again where the service was too busy to make it.
   * @param {string} address
   */
  async load(address) {
    if (this.known.has(address)) return;
    /** @type {{state: State, image: HTMLImageElement}} */
    const one = { state: "loading", image: new Image() };
    this.known.set(address, one);
    for (const old of [...this.known.keys()].slice(0, this.known.size - MOST_KEPT)) this.known.delete(old);
    const status = await fetch(address).then(
      async (answer) => (await answer.blob(), answer.status),
      () => 0,
    );
    if (status === 200) {
      one.image.src = address; // from the cache of the browser
      one.state = await one.image.decode().then(() => "there", () => "gone");
    } else if (status === 0 || status === 429 || status >= 500) {
      setTimeout(() => {
        this.known.delete(address);
        this.arrived();
      }, AGAIN_MS);
    } else {
      one.state = "gone";
    }
    if (one.state !== "loading") this.arrived();
  }
}
