// The sound of both sides as a scrolling spectrogram, with marks of the turns; levels if reduced motion is preferred.

import { make } from '../dom.js';
import { CEILING_DB, FLOOR_DB } from '../level.js';
import { BANDS } from './listener.js';
import { axisPosition } from './mel.js';
import { readPalette } from './palette.js';

const COLUMN_MS = 50;
// Painting costs more than measuring: about 7 times a second.
const COLUMNS_A_PAINT = 3;
export const COLUMNS = 240; // 12 s
// After this time without sound from either side the picture stands still.
const SILENCE_MS = 2_000;
// How often the levels are painted, and how often sound is looked for while the picture stands still.
const LEVEL_INTERVAL_MS = 250;
const WAIT_INTERVAL_MS = 120;
const GAP_PX = 6;
const TICKS_HZ = [200, 1_000, 4_000];
const SIDES = /** @type {const} */ (['user', 'reply']);

const SPECTROGRAM_LABEL = 'Spectrogram of the last 12 seconds: you above, Oviya below';
const LEVELS_LABEL = 'Levels of the sound: you above, Oviya below';

/** @typedef {'speech' | 'final' | 'interruption'} MarkKind */

/** @type {Record<MarkKind, {glyph: string, label: string, dash: number[]}>} */
const MARKS = {
  speech: { glyph: '▸', label: 'speech starts', dash: [] },
  final: { glyph: '▪', label: 'words are final', dash: [3, 3] },
  interruption: { glyph: '✕', label: 'reply is interrupted', dash: [] },
};

export class Spectrogram {
  /**
   * @param {HTMLElement} place
   * @param {import('./listener.js').Listeners} listeners
   */
  constructor(place, listeners) {
    this.listeners = listeners;
    this.canvas = /** @type {HTMLCanvasElement} */ (make('canvas', { attributes: { role: 'img' } }));
    this.counts = make('p', { className: 'visually-hidden' });
    // One pixel for each value; drawn at the canvas's size.
    this.sheet = Object.assign(document.createElement('canvas'), { width: COLUMNS, height: BANDS });
    this.image = new ImageData(COLUMNS, BANDS);
    this.#build(place);
    this.still = matchMedia('(prefers-reduced-motion: reduce)');
    this.visible = false;
    this.timer = 0;
    /** Columns so far, those that have left the picture included. */
    this.total = 0;
    this.quietMs = 0;
    this.levels = { user: 0, reply: 0 };
    /** The last COLUMNS columns of each side; column c is at c % COLUMNS. */
    this.rings = { user: new Uint8Array(COLUMNS * BANDS), reply: new Uint8Array(COLUMNS * BANDS) };
    /** @type {{kind: MarkKind | 'gap', column: number}[]} */
    this.marks = [];
    /** @type {Record<MarkKind, number>} */
    this.numbers = { speech: 0, final: 0, interruption: 0 };
    /** @type {import('./palette.js').Palette | null} */
    this.palette = null;
    this.#count();
    this.run();
    new IntersectionObserver(([{ isIntersecting }]) => {
      this.visible = isIntersecting;
      this.run();
    }).observe(this.canvas);
    new ResizeObserver(() => this.#paint()).observe(this.canvas);
    document.addEventListener('visibilitychange', () => this.run());
    this.still.addEventListener('change', () => this.run());
    document.addEventListener('themechange', () => {
      this.palette = null;
      this.#paint();
    });
  }

  /** Clears the picture. */
  reset() {
    this.total = 0;
    for (const side of SIDES) this.rings[side].fill(0);
    this.marks = [];
    this.numbers = { speech: 0, final: 0, interruption: 0 };
    this.#count();
    this.#paint();
  }

  /**
   * Marks the newest column.
   * @param {MarkKind} kind
   */
  mark(kind) {
    this.numbers[kind]++;
    if (this.timer) this.marks.push({ kind, column: this.total }); // else the picture has stood still since long ago
    this.#count();
    this.#paint();
  }

  /** Starts or stops the timer: nothing is read while nobody can see it. */
  run() {
    clearInterval(this.timer);
    this.timer = 0;
    const { user, reply } = this.listeners;
    const still = this.still.matches;
    this.canvas.setAttribute('aria-label', still ? LEVELS_LABEL : SPECTROGRAM_LABEL);
    if (!this.visible || document.hidden || !(user || reply)) return;
    this.#repeat(still ? () => this.#readLevels() : () => this.#wait(), still ? LEVEL_INTERVAL_MS : WAIT_INTERVAL_MS);
  }

  /**
   * @param {() => void} act
   * @param {number} intervalMs
   */
  #repeat(act, intervalMs) {
    clearInterval(this.timer);
    this.timer = window.setInterval(act, intervalMs);
  }

  /** Stands still until there is sound. */
  #wait() {
    if (!this.#sounding()) return;
    if (this.total) this.marks.push({ kind: 'gap', column: this.total });
    this.quietMs = 0;
    this.#repeat(() => this.#scroll(), COLUMN_MS);
  }

  /** Adds a column. */
  #scroll() {
    this.quietMs = this.#sounding() ? 0 : this.quietMs + COLUMN_MS;
    if (this.quietMs > SILENCE_MS) {
      this.#repeat(() => this.#wait(), WAIT_INTERVAL_MS);
      return;
    }
    const at = (this.total % COLUMNS) * BANDS;
    for (const side of SIDES) {
      const column = this.rings[side].subarray(at, at + BANDS);
      const listener = this.listeners[side];
      if (listener) listener.readBands(column);
      else column.fill(0);
    }
    this.total++;
    this.marks = this.marks.filter(({ column }) => column > this.total - COLUMNS);
    if (this.total % COLUMNS_A_PAINT === 0) this.#paint();
  }

  #sounding() {
    return SIDES.some((side) => this.listeners[side]?.soundAge());
  }

  #readLevels() {
    for (const side of SIDES) this.levels[side] = this.listeners[side]?.level() ?? 0;
    this.#paint();
  }

  #paint() {
    const pen = this.canvas.getContext('2d');
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!pen || !width) return;
    const scale = window.devicePixelRatio;
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
    }
    const palette = this.palette ??= readPalette(this.canvas, pen);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const tall = (height - GAP_PX) / 2;
    SIDES.forEach((side, row) => {
      const top = row * (tall + GAP_PX);
      if (this.still.matches) this.#paintLevel(pen, palette, side, width, top, tall);
      else this.#paintSide(pen, palette[side], this.rings[side], width, top, tall);
    });
    if (!this.still.matches) this.#paintMarks(pen, palette, width, height);
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {Uint32Array} table the pixel of each level
   * @param {Uint8Array} ring
   * @param {number} width
   * @param {number} top
   * @param {number} tall
   */
  #paintSide(pen, table, ring, width, top, tall) {
    const pixels = new Uint32Array(this.image.data.buffer);
    for (let x = 0; x < COLUMNS; x++) {
      const at = ((this.total + x) % COLUMNS) * BANDS;
      for (let band = 0; band < BANDS; band++) pixels[(BANDS - 1 - band) * COLUMNS + x] = table[ring[at + band]];
    }
    this.sheet.getContext('2d')?.putImageData(this.image, 0, 0);
    pen.drawImage(this.sheet, 0, top, width, tall);
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {import('./palette.js').Palette} palette
   * @param {'user' | 'reply'} side
   * @param {number} width
   * @param {number} top
   * @param {number} tall
   */
  #paintLevel(pen, palette, side, width, top, tall) {
    pen.strokeStyle = palette.muted;
    pen.strokeRect(0.5, top + tall / 2 - 8, width - 1, 16);
    const [red, green, blue] = new Uint8Array(palette[side].buffer, 4 * 190, 3);
    pen.fillStyle = `rgb(${red} ${green} ${blue})`;
    pen.fillRect(0, top + tall / 2 - 8, width * this.levels[side], 16);
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {import('./palette.js').Palette} palette
   * @param {number} width
   * @param {number} height
   */
  #paintMarks(pen, { text, muted, danger }, width, height) {
    pen.font = '12px system-ui, sans-serif';
    for (const { kind, column } of this.marks) {
      const x = Math.round(((column - this.total + COLUMNS) / COLUMNS) * width) - 0.5;
      const color = kind === 'interruption' ? danger : kind === 'gap' ? muted : text;
      pen.strokeStyle = color;
      pen.fillStyle = color;
      pen.setLineDash(kind === 'gap' ? [1, 4] : MARKS[kind].dash);
      pen.beginPath();
      pen.moveTo(x, kind === 'gap' ? 0 : 13);
      pen.lineTo(x, height);
      pen.stroke();
      if (kind !== 'gap') {
        pen.textAlign = x > width - 12 ? 'right' : 'center';
        pen.fillText(MARKS[kind].glyph, x, 11);
      }
    }
    pen.setLineDash([]);
  }

  #count() {
    const { speech, final, interruption } = this.numbers;
    this.counts.textContent = `Marks so far: speech starts: ${speech}; words are final: ${final}; `
      + `replies interrupted: ${interruption}.`;
  }

  /** @param {HTMLElement} place */
  #build(place) {
    const axes = SIDES.map((side) => {
      const ticks = TICKS_HZ.map((hertz) => {
        const tick = make('span', {}, hertz < 1000 ? `${hertz}` : `${hertz / 1000}k`);
        tick.style.bottom = `${axisPosition(hertz) * 100}%`;
        return tick;
      });
      return make('div', { className: 'hertz' }, make('b', {}, side === 'user' ? 'You' : 'Oviya'), ...ticks);
    });
    const times = make('p', { className: 'times' }, ...['−12 s', '−9', '−6', '−3', 'now'].map((time) => make('span', {}, time)));
    const legend = Object.values(MARKS).map(({ glyph, label }) => make('span', {}, `${glyph} ${label}`));
    place.append(
      make('div', { className: 'spectrogram' }, make('div', { className: 'axes', attributes: { 'aria-hidden': 'true' } }, ...axes),
        this.canvas, times),
      make('p', { className: 'legend' }, make('span', {}, 'Frequency in Hz; pauses of both over 2 s are left out.'), ...legend),
      make('p', { className: 'level-legend' }, `Level from −${-FLOOR_DB} to −${-CEILING_DB} dB.`),
      this.counts,
    );
  }
}
