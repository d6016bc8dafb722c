// The map of the emotions by valence and arousal, with the one heard and the one spoken.

import { make } from '../dom.js';
import { readableEmotion } from '../wire.js';
import { draw, signed } from './svg.js';

const WIDTH = 340;
const HEIGHT = 320;
const CENTER = { x: 178, y: 150 };
const SCALE = 138; // pixels from 0 to 1
const LABEL_MARGIN = 75;

/**
 * A row of /emotions.json.
 * @typedef {{emotion: string, tier: number, style: string, valence: number, arousal: number}} Emotion
 * @typedef {{valence?: number, arousal?: number}} Point
 */

/** @param {Point} point */
function place({ valence = 0, arousal = 0 }) {
  return { x: CENTER.x + SCALE * valence, y: CENTER.y - SCALE * arousal };
}

/**
 * The marks that move: shape and label say which is which, not the colour alone.
 * @typedef {'heard' | 'words' | 'voice' | 'spoken'} MarkerKind
 */

export class EmotionMap {
  /** @param {HTMLElement} parent */
  constructor(parent) {
    /** @type {Map<string, {emotion: Emotion, dot: SVGElement}>} */
    this.dots = new Map();
    this.options = draw('g', { role: 'listbox', 'aria-label': 'Emotions', 'aria-multiselectable': 'true' });
    this.links = draw('g', { class: 'links' });
    this.hint = draw('text', { class: 'hint' });
    this.markers = {
      heard: marker('heard', draw('circle', { r: 9 })),
      words: marker('words', draw('rect', { x: -5, y: -5, width: 10, height: 10 })),
      voice: marker('voice', draw('path', { d: 'M0 -7 L6.5 5 L-6.5 5 Z' })),
      spoken: marker('spoken', draw('path', { d: 'M0 -9 L9 0 L0 9 L-9 0 Z' })),
    };
    this.svg = draw(
      'svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'emotion-map' },
      ...axes(), this.links, this.options, ...Object.values(this.markers), this.hint,
    );
    this.details = make('p', { className: 'hovered' }, 'Point at an emotion, or move with the arrow keys.');
    parent.append(this.svg, this.details);
    this.svg.addEventListener('keydown', (event) => this.#move(/** @type {KeyboardEvent} */ (event)));
  }

  /** @param {Emotion[]} emotions */
  setEmotions(emotions) {
    this.dots.clear();
    for (const emotion of emotions) {
      const { x, y } = place(emotion);
      const dot = draw(
        'g', {
          class: 'emotion', role: 'option', tabindex: -1, 'aria-selected': 'false', 'data-emotion': emotion.emotion,
          'data-style': emotion.style, transform: `translate(${x} ${y})`, 'aria-label': describe(emotion),
        },
        draw('circle', { class: 'target', r: 12 }), draw('circle', { class: 'dot', r: 3.5 }),
      );
      for (const name of ['pointerenter', 'focus']) dot.addEventListener(name, () => this.#hint(emotion));
      for (const name of ['pointerleave', 'blur']) dot.addEventListener(name, () => this.#hint(null));
      this.dots.set(emotion.emotion, { emotion, dot });
    }
    this.options.replaceChildren(...[...this.dots.values()].map(({ dot }) => dot));
    this.dots.get('neutral')?.dot.setAttribute('tabindex', '0'); // one tab stop; the arrow keys move it
  }

  /**
   * Moves a marker; it is hidden where there is no point.
   * @param {MarkerKind} kind
   * @param {Point | undefined} point
   * @param {string} label empty: none
   */
  show(kind, point, label) {
    const shape = this.markers[kind];
    shape.toggleAttribute('hidden', !point);
    if (!point) return;
    const { x, y } = place(point);
    shape.style.transform = `translate(${x}px, ${y}px)`;
    shape.dataset.valence = signed(point.valence);
    shape.dataset.arousal = signed(point.arousal);
    const text = /** @type {SVGElement} */ (shape.querySelector('text'));
    text.textContent = label;
    text.setAttribute('text-anchor', anchorAt(x));
  }

  /**
   * Draws how far apart the evidence is.
   * @param {Point[]} points
   * @param {Point} heard
   */
  link(points, heard) {
    const to = place(heard);
    this.links.replaceChildren(...points.map((point) => {
      const from = place(point);
      return draw('line', { x1: from.x, y1: from.y, x2: to.x, y2: to.y });
    }));
  }

  /**
   * Sets how strongly each emotion is a candidate for what is heard, as the size of its halo.
   * @param {{emotion: string, score?: number}[]} candidates
   */
  rank(candidates) {
    for (const { dot } of this.dots.values()) dot.querySelector('.halo')?.remove();
    for (const { emotion, score = 0 } of candidates) {
      this.dots.get(emotion)?.dot.prepend(draw('circle', { class: 'halo', r: 5 + 14 * score }));
    }
  }

  /**
   * Marks the options that are heard or spoken, for screen readers.
   * @param {(string | undefined)[]} names
   */
  select(names) {
    for (const [name, { dot }] of this.dots) dot.setAttribute('aria-selected', String(names.includes(name)));
  }

  /**
   * @param {string} name
   * @returns {Emotion | undefined}
   */
  find(name) {
    return this.dots.get(name)?.emotion;
  }

  /** @param {Emotion | null} emotion */
  #hint(emotion) {
    this.hint.textContent = emotion ? readableEmotion(emotion.emotion) : '';
    if (!emotion) return;
    const { x, y } = place(emotion);
    this.hint.setAttribute('x', String(x));
    this.hint.setAttribute('y', String(y - 10));
    this.hint.setAttribute('text-anchor', anchorAt(x));
    this.details.textContent = describe(emotion);
  }

  /**
   * Moves the focus to the next emotion by valence (left, right) or arousal (up, down); each reaches all of them.
   * @param {KeyboardEvent} event
   */
  #move(event) {
    const axis = { ArrowLeft: 'valence', ArrowRight: 'valence', ArrowUp: 'arousal', ArrowDown: 'arousal' }[event.key];
    const focused = /** @type {SVGElement | null} */ (document.activeElement);
    const name = focused?.dataset.emotion;
    if (!axis || !focused || !name) return;
    event.preventDefault();
    const ordered = [...this.dots.values()].sort((a, b) => {
      const [one, other] = [a.emotion, b.emotion];
      return axis === 'valence'
        ? one.valence - other.valence || one.arousal - other.arousal
        : one.arousal - other.arousal || one.valence - other.valence;
    });
    const step = event.key === 'ArrowRight' || event.key === 'ArrowUp' ? 1 : -1;
    const next = ordered[ordered.findIndex(({ emotion }) => emotion.emotion === name) + step];
    if (!next) return;
    focused.setAttribute('tabindex', '-1');
    next.dot.setAttribute('tabindex', '0');
    next.dot.focus();
  }
}

/** @param {Emotion} emotion */
function describe({ emotion, valence, arousal, style }) {
  return `${readableEmotion(emotion)}: valence ${signed(valence)}, arousal ${signed(arousal)}, style ${style}`;
}

/** @param {number} x */
function anchorAt(x) {
  if (x > WIDTH - LABEL_MARGIN) return 'end';
  return x < LABEL_MARGIN ? 'start' : 'middle';
}

/**
 * @param {MarkerKind} kind
 * @param {SVGElement} shape
 */
function marker(kind, shape) {
  const below = kind === 'spoken';
  const group = draw('g', { class: `marker ${kind}` }, shape, draw('text', { y: below ? 23 : -14 }));
  group.toggleAttribute('hidden', true);
  return group;
}

function axes() {
  const [left, right, top, bottom] = [CENTER.x - SCALE, CENTER.x + SCALE, CENTER.y - SCALE, CENTER.y + SCALE];
  const { x, y } = CENTER;
  /**
   * @param {number} at
   * @param {number} down
   * @param {string} text
   * @param {string} anchor
   */
  const label = (at, down, text, anchor) => draw('text', { x: at, y: down, 'text-anchor': anchor, class: 'axis' }, text);
  return [
    draw('g', { 'aria-hidden': 'true' },
      draw('rect', { x: left, y: top, width: 2 * SCALE, height: 2 * SCALE, class: 'frame' }),
      draw('path', { d: `M${left} ${y}H${right}M${x} ${top}V${bottom}`, class: 'cross' }),
      ...[-1, 0, 1].map((value) => label(x + SCALE * value, bottom + 14, value < 0 ? '−1' : String(value), 'middle')),
      ...[-1, 0, 1].map((value) => label(left - 5, y - SCALE * value + 4, value < 0 ? '−1' : String(value), 'end')),
      label(x, bottom + 29, 'valence: unpleasant → pleasant', 'middle'),
      draw('text', { class: 'axis', 'text-anchor': 'middle', transform: `translate(14 ${y}) rotate(-90)` }, 'arousal: calm → excited')),
  ];
}
