// A level meter: the last seconds as bars, the newest next to the buttons; a single bar if reduced motion is preferred.

const BAR_PX = 3;
const GAP_PX = 3;
const BAR_INTERVAL_MS = 60;
// How often the value for assistive technology is updated.
const ARIA_INTERVAL_MS = 500;

export class Meter {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {'left' | 'right'} newest the side of the newest bar
   */
  constructor(canvas, newest) {
    this.canvas = canvas;
    this.newest = newest;
    this.still = matchMedia('(prefers-reduced-motion: reduce)');
    /** @type {{read: () => number, close: () => void} | null} */
    this.source = null;
    /** @type {number[]} newest first */
    this.levels = [];
    this.peak = 0;
    this.barAt = 0;
    this.ariaAt = 0;
    new ResizeObserver(() => this.#resize()).observe(canvas);
    document.addEventListener('themechange', () => this.#draw());
  }

  /**
   * Shows a source (see level.js) until the next call; null clears the meter.
   * @param {{read: () => number, close: () => void} | null} source
   */
  follow(source) {
    const running = this.source !== null;
    this.source?.close();
    this.source = source;
    if (source && !running) requestAnimationFrame((now) => this.#tick(now));
    if (!source) {
      this.levels = [];
      this.#announce(0);
      this.#draw();
    }
  }

  /** @param {number} now in ms */
  #tick(now) {
    if (!this.source) return;
    const level = this.source.read();
    this.peak = Math.max(this.peak, level);
    if (now - this.barAt >= BAR_INTERVAL_MS) {
      this.levels.unshift(this.peak);
      this.levels.length = Math.min(this.levels.length, this.#capacity());
      this.peak = 0;
      this.barAt = now;
      this.#draw();
    }
    if (now - this.ariaAt >= ARIA_INTERVAL_MS) {
      this.#announce(level);
      this.ariaAt = now;
    }
    requestAnimationFrame((next) => this.#tick(next));
  }

  /** @param {number} level */
  #announce(level) {
    this.canvas.setAttribute('aria-valuenow', String(Math.round(level * 100)));
  }

  #capacity() {
    return Math.max(1, Math.floor((this.canvas.clientWidth + GAP_PX) / (BAR_PX + GAP_PX)));
  }

  #resize() {
    const scale = window.devicePixelRatio;
    this.canvas.width = Math.round(this.canvas.clientWidth * scale);
    this.canvas.height = Math.round(this.canvas.clientHeight * scale);
    this.#draw();
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const pen = this.canvas.getContext('2d');
    if (!pen || !width) return;
    const style = getComputedStyle(this.canvas);
    pen.setTransform(window.devicePixelRatio, 0, 0, window.devicePixelRatio, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (this.still.matches) {
      this.#box(pen, style.getPropertyValue('--meter-rest'), 0, height / 2 - 4, width, 8);
      const long = (this.levels[0] ?? 0) * width;
      this.#box(pen, style.color, this.newest === 'left' ? 0 : width - long, height / 2 - 4, long, 8);
      return;
    }
    for (let bar = 0; bar < this.#capacity(); bar++) {
      const level = this.levels[bar] ?? 0;
      const tall = Math.max(BAR_PX, level * height);
      const offset = bar * (BAR_PX + GAP_PX);
      const x = this.newest === 'left' ? offset : width - BAR_PX - offset;
      const color = level > 0.05 ? style.color : style.getPropertyValue('--meter-rest');
      this.#box(pen, color, x, (height - tall) / 2, BAR_PX, tall);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {string} color
   * @param {number} x
   * @param {number} y
   * @param {number} wide
   * @param {number} tall
   */
  #box(pen, color, x, y, wide, tall) {
    pen.fillStyle = color;
    pen.beginPath();
    pen.roundRect(x, y, wide, tall, Math.min(wide, tall) / 2);
    pen.fill();
  }
}
