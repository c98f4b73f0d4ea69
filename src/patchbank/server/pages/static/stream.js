/** The connection to the service: it opens again by itself, and says when it is lost. */

const SILENT_MS = 6000;
const PATIENCE_MS = 1000;
const AGAIN_MS = 1000;
const EVENTS = ["begin", "part", "live", "counts", "trouble", "beat"];

export class Stream {
  /**
   * @param {string} url of the events
   * @param {() => number | null} last number of the last part
   * @param {(name: string, content: any) => void} heard is called with each event
   * @param {() => void} lost is called when there is no connection
   * @param {() => void} refused is called when the service does not give the events
   */
  constructor(url, last, heard, lost, refused) {
    this.url = url;
    this.last = last;
    this.heard = heard;
    this.lost = lost;
    this.refused = refused;
    /** @type {EventSource | null} */
    this.source = null;
    this.heardAt = performance.now();
    this.timer = 0;
    setInterval(() => this.check(), AGAIN_MS);
  }

  open() {
    this.source?.close();
    this.heardAt = performance.now();
    const last = this.last();
    const source = new EventSource(last === null ? this.url : `${this.url}?after=${last}`);
    this.source = source;
    for (const name of EVENTS) {
      source.addEventListener(name, (event) => {
        this.heardAt = performance.now();
        clearTimeout(this.timer);
        this.timer = 0;
        this.heard(name, JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => {
      this.expect();
      if (source.readyState === EventSource.CLOSED) this.refused();
    });
  }

  /** It is lost unless something is heard soon. */
  expect() {
    if (!this.timer) this.timer = setTimeout(() => this.lost(), PATIENCE_MS);
  }

  check() {
    const isSilent = performance.now() - this.heardAt > SILENT_MS;
    if (isSilent) this.lost();
    if (isSilent || this.source?.readyState === EventSource.CLOSED) this.open();
  }
}
