/** False alarms of this page become normal: what that would change is shown before it is applied. */

import { ask } from "./ask.js";
import { element, set } from "./view.js";

/** @typedef {import("./review_queue.js").Part} Part */
/** @typedef {(key: string, values?: Record<string, string>) => string} Say */

const OFTEN_MS = 500;
const MOST_SHOWN = 24;
const MOST_NAMED = 10;

export class Teaching {
  /**
   * @param {string} root path of the service
   * @param {Say} say
   * @param {(part: Part) => string} name
   * @param {() => void} changed is called when the button of the page is to be drawn
   */
  constructor(root, say, name, changed) {
    this.root = root;
    this.say = say;
    this.name = name;
    this.changed = changed;
    /** @type {Part[]} false alarms of this page, the latest last */
    this.collected = [];
    /** @type {Part[]} false alarms that were not taught, of everybody, the newest first */
    this.earlier = [];
    /** Product of which these are; all products if empty. */
    this.wanted = "";
    /** @type {{product: string, before: string, parts: Set<number>}[]} what was applied, the latest last */
    this.applied = [];
    /** @type {Part[]} those in the dialog */
    this.shown = [];
    this.job = "";
    this.detector = "";
    this.dialog = element("teach");
    const language = document.documentElement.lang;
    this.whole = new Intl.NumberFormat(language, { style: "percent" });
    this.numbers = new Intl.NumberFormat(language);
    this.fine = new Intl.NumberFormat(language, { maximumSignificantDigits: 4 });
    element("teach-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.apply();
    });
    element("again").addEventListener("click", () => void this.preview());
    element("later").addEventListener("click", () => this.dialog.close());
    element("discard").addEventListener("click", () => this.discard());
    this.dialog.addEventListener("close", () => this.closed());
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** @param {Part} part */
  add(part) {
    this.remove(part.id);
    this.collected.push(part);
  }

  /** @param {number} id */
  remove(id) {
    this.collected = this.collected.filter((part) => part.id !== id);
    this.earlier = this.earlier.filter((part) => part.id !== id);
  }

  /**
   * Whether a detector has learned a part of this page, and that was not undone since.
   * @param {Part} part
   */
  async isTaught(part) {
    if (!this.applied.some((one) => one.parts.has(part.id))) return false;
    const told = await ask("GET", `/v1/products/${encodeURIComponent(part.product)}`);
    const own = this.applied.filter((one) => one.product === part.product);
    const undone = told.ok ? own.findIndex((one) => one.before === told.body.detector_sha256) : -1;
    if (undone >= 0) this.applied = this.applied.filter((one) => !own.slice(undone).includes(one));
    return this.applied.some((one) => one.parts.has(part.id));
  }

  /**
   * Learn which false alarms were not taught: this page may be new, and others review too.
   * @param {string} product all products if empty
   */
  async renew(product) {
    this.wanted = product;
    const told = await ask("GET", `/review/false-alarms?${new URLSearchParams({ product })}`);
    if (told.ok && product === this.wanted) this.earlier = told.body.inspections;
    this.changed();
  }

  /** Those of the service that are not of this page. */
  get others() {
    return this.earlier.filter((part) => !this.collected.some((own) => own.id === part.id));
  }

  drawButton() {
    const number = this.collected.length;
    element("teach-open").disabled = !number && !this.earlier.length;
    set("teach-text", number ? this.say("teach_some", { number: String(number) }) : this.say("teach"));
  }

  /** The chosen parts of the product of the latest false alarm. */
  get chosen() {
    return this.shown.filter((part) => element(`taught-${part.id}`).checked);
  }

  async open() {
    await this.renew(this.wanted);
    const product = (this.collected.at(-1) ?? this.others[0])?.product;
    const [own, others] = [this.collected, this.others].map((all) => all.filter((part) => part.product === product));
    this.shown = [...own, ...others];
    if (!this.shown.length || this.isOpen) return;
    set("teach-title", this.say("teach_title", { product: product ?? "" }));
    element("taught").replaceChildren(...own.map((part) => this.choice(part, true)));
    element("earlier").replaceChildren(...others.map((part) => this.choice(part, false)));
    element("taught-of").hidden = !own.length;
    element("earlier-of").hidden = !others.length;
    element("earlier-of").open = !own.length;
    set("earlier-said", this.say("earlier", { number: this.numbers.format(others.length) }));
    element("reason").value = "";
    set("teach-said", "");
    this.dialog.showModal();
    if (own.length) void this.preview();
    else this.stale();
  }

  /**
   * @param {Part} part
   * @param {boolean} isChosen
   */
  choice(part, isChosen) {
    const [item, label, box, text] = ["li", "label", "input", "span"].map((tag) => document.createElement(tag));
    const input = /** @type {HTMLInputElement} */ (box);
    input.type = "checkbox";
    input.checked = isChosen;
    input.id = `taught-${part.id}`;
    input.addEventListener("change", () => this.stale());
    text.textContent = this.name(part);
    label.append(input, this.picture(part.product, part.id), text);
    item.append(label);
    return item;
  }

  /**
   * @param {string} product
   * @param {number} id
   */
  picture(product, id) {
    const image = document.createElement("img");
    image.loading = "lazy";
    image.alt = "";
    image.src = `${this.root}/line/${encodeURIComponent(product)}/parts/${id}/small`;
    return image;
  }

  /** What is shown is the preview of others. */
  stale() {
    this.clear();
    element("again").hidden = false;
    element("outcome-progress").hidden = true;
    set("outcome-said", this.chosen.length ? "" : this.say("choose"));
    element("again").disabled = !this.chosen.length;
    void this.cancel();
  }

  clear() {
    this.detector = "";
    element("apply").disabled = true;
    element("refusal").hidden = element("more").hidden = true;
    for (const id of ["findings", "changes", "further", "lines"]) element(id).replaceChildren();
  }

  async cancel() {
    const job = this.job;
    this.job = "";
    if (job) await ask("DELETE", `/v1/jobs/${job}`);
  }

  get lesson() {
    return { normal: this.chosen.map((part) => ({ inspection: part.id })) };
  }

  get product() {
    return encodeURIComponent(this.shown[0].product);
  }

  async preview() {
    await this.cancel();
    this.clear();
    const parts = this.chosen;
    element("again").hidden = true;
    element("outcome-progress").hidden = false;
    element("outcome-progress").removeAttribute("value");
    set("outcome-said", this.say("beginning"));
    const told = await ask("POST", `/v1/products/${this.product}/update/preview`, this.lesson);
    if (!told.ok) return this.failed(told.message);
    if (!this.isOpen) return void ask("DELETE", `/v1/jobs/${told.body.id}`);
    const job = (this.job = told.body.id);
    while (this.job === job) {
      const { ok, body, message } = await ask("GET", `/v1/jobs/${job}`);
      if (this.job !== job) return;
      if (ok && body.state === "done") return this.draw(parts, body.result);
      if (ok ? body.state === "failed" : message.includes("404")) return this.failed(body?.error ?? message);
      if (ok && body.state === "cancelled") return this.stale();
      if (ok && body.total) this.progress(body);
      await new Promise((resolve) => setTimeout(resolve, OFTEN_MS));
    }
  }

  /** @param {{done: number, total: number}} job */
  progress({ done, total }) {
    const bar = element("outcome-progress");
    bar.max = total;
    bar.value = done;
    set("outcome-said", this.say("previewing", { done: String(done), total: String(total) }));
  }

  /** @param {string} reason */
  failed(reason) {
    this.job = "";
    element("outcome-progress").hidden = true;
    element("again").hidden = false;
    element("again").disabled = false;
    set("outcome-said", this.say("preview_failed", { reason }));
  }

  /**
   * @param {Part[]} parts that were taught
   * @param {any} result of the job
   */
  draw(parts, result) {
    this.job = "";
    this.detector = result.detector_sha256;
    element("outcome-progress").hidden = true;
    set("outcome-said", "");
    const refusal = element("refusal");
    refusal.hidden = !result.refusal;
    refusal.textContent = result.refusal && this.say("refused", { names: this.lost(result) });
    element("apply").disabled = !!result.refusal;
    this.list("findings", this.findings(parts, result));
    this.list("lines", result.lines);
    element("more").hidden = !result.lines.length;
    const weight = (/** @type {any} */ one) => (one.is_taught ? 2 : this.isDefect(one) ? 1 : 0);
    const changes = [...result.changes].sort((/** @type {any} */ one, /** @type {any} */ other) => weight(other) - weight(one));
    element("changes").replaceChildren(
      ...changes.slice(0, MOST_SHOWN).map((/** @type {any} */ change) => this.change(change, result)),
    );
    const number = this.numbers.format(changes.length - MOST_SHOWN);
    set("further", changes.length > MOST_SHOWN ? this.say("further", { number }) : "");
  }

  /** @param {any} change */
  isDefect(change) {
    return change.review === "confirmed_defect" && change.verdict === "good";
  }

  /**
   * Names of the defects for which the guard refuses it.
   * @param {any} result
   * @returns {string}
   */
  lost(result) {
    const names = result.changes.filter((/** @type {any} */ one) => this.isDefect(one)).map((/** @type {any} */ one) => this.title(one));
    return names.slice(0, MOST_NAMED).join(", ") || result.refusal.lost.join(", ") || result.refusal.message;
  }

  /**
   * @param {any} change
   * @returns {string}
   */
  title(change) {
    return change.serial_number ?? change.image ?? this.say("no_number");
  }

  /**
   * @param {Part[]} parts
   * @param {any} result
   * @returns {string[]}
   */
  findings(parts, result) {
    const number = (/** @type {number} */ count) => this.numbers.format(count);
    const taught = result.changes.filter((/** @type {any} */ one) => one.is_taught && one.verdict === "good");
    const others = result.changes.filter((/** @type {any} */ one) => !one.is_taught);
    const ok = others.filter((/** @type {any} */ one) => one.verdict === "good").length;
    const { judged, threshold_before: before, threshold_after: after } = result;
    const found = [
      this.say("passing", { number: number(taught.length), total: number(parts.length) }),
      this.say("changing", { total: number(judged.parts), ok: number(ok), ng: number(others.length - ok) }),
    ];
    if (before !== after) found.push(this.say("threshold", { before: this.fine.format(before), after: this.fine.format(after) }));
    found.push(this.say("judged", { law: number(judged.by_law), inspected: number(judged.inspected) }));
    if (judged.not_kept) found.push(this.say("not_kept", { number: number(judged.not_kept) }));
    return found;
  }

  /**
   * @param {any} change
   * @param {any} result
   */
  change(change, result) {
    const item = document.createElement("li");
    item.dataset.verdict = change.verdict;
    const [name, turned, mark] = ["strong", "span", "span"].map((tag) => document.createElement(tag));
    name.textContent = this.title(change);
    const before = change.verdict === "good" ? "anomalous" : "good";
    const share = this.whole.format(change.score_after / result.threshold_after);
    turned.textContent = this.say("turned", { before: this.say(before), after: this.say(change.verdict), share });
    mark.textContent = this.isDefect(change) ? this.say("defect_mark") : change.is_taught ? this.say("taught_mark") : "";
    item.append(this.picture(this.shown[0].product, change.inspection), name, turned, mark);
    return item;
  }

  /**
   * @param {string} id
   * @param {string[]} texts
   */
  list(id, texts) {
    element(id).replaceChildren(
      ...texts.map((text) => {
        const item = document.createElement("li");
        item.textContent = text;
        return item;
      }),
    );
  }

  async apply() {
    const reason = element("reason").value.trim();
    if (element("apply").disabled || !this.detector) return;
    if (!reason) {
      set("teach-said", this.say("give_reason"));
      element("reason").focus();
      return;
    }
    element("apply").disabled = true;
    const parts = this.chosen;
    const body = { ...this.lesson, reason, detector_sha256: this.detector };
    const told = await ask("POST", `/v1/products/${this.product}/update`, body);
    if (!told.ok) {
      set("teach-said", this.say("not_applied", { reason: told.message }));
      element("again").hidden = element("again").disabled = false;
      element("apply").disabled = told.status === 409;
      return;
    }
    for (const part of parts) this.remove(part.id);
    const { product, before_sha256: before } = told.body;
    if (told.body.changed) this.applied.push({ product, before, parts: new Set(parts.map((part) => part.id)) });
    const number = this.numbers.format(parts.length);
    set("said", this.say("applied", { product, number }));
    this.dialog.close();
  }

  discard() {
    for (const part of this.shown) this.remove(part.id);
    this.dialog.close();
  }

  closed() {
    void this.cancel();
    this.clear();
    this.changed();
  }
}
