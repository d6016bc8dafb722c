// When each stage of the last turn was reached, and the medians of the session: a table with bars.

import { make } from '../dom.js';
import { seconds } from '../wire.js';
import { draw } from './svg.js';

/** @type {[string, string][]} the fields of oviya.v1.TurnLatency, and what the browser measures */
const STAGES = [
  ['turnEnd', 'Turn is over'],
  ['finalTranscript', 'Words are final'],
  ['firstSentence', 'First sentence'],
  ['firstFrame', 'First voice frame'],
  ['firstAudio', 'First sound is sent'],
  ['firstHeard', 'First sound arrives here'],
];
// Widths of the axis, the smallest that holds all bars is used.
const AXES_S = [0.5, 1, 2, 5, 10, 20, 60];
const NARROWEST = 0.6; // in % of the axis: a stage that took no time is still seen

/**
 * Times of the stages in seconds from the end of the user's speech; without those that were not reached.
 * @typedef {Record<string, number>} Latency
 */

export class Waterfall {
  /** @param {HTMLElement} place */
  constructor(place) {
    /** @type {Latency[]} */
    this.turns = [];
    this.caption = make('caption');
    this.body = make('tbody');
    this.scale = make('span', { className: 'scale' });
    place.append(make(
      'table', { className: 'waterfall' }, this.caption,
      make('thead', {}, make('tr', {}, ...['Stage', this.scale, 'This turn', 'Median'].map((title) => (
        make('th', { attributes: { scope: 'col' } }, title))))),
      this.body,
    ));
    this.reset();
  }

  /** Forgets the session. */
  reset() {
    /** @type {Latency[]} */
    this.turns = [];
    this.#show();
  }

  /**
   * Shows a turn.
   * @param {Record<string, string | undefined>} latency TurnLatency as JSON
   * @param {number | undefined} delay seconds from the announcement of the reply's first sentence to its first sound
   */
  add(latency, delay) {
    /** @type {Latency} */
    const turn = {};
    for (const [stage] of STAGES) {
      const time = seconds(latency[stage]);
      if (time !== undefined) turn[stage] = time;
    }
    // The gateway announces a sentence when its sound is ready.
    if (turn.firstAudio !== undefined && delay !== undefined) turn.firstHeard = turn.firstAudio + delay;
    this.turns.push(turn);
    this.#show();
  }

  #show() {
    const last = this.turns.at(-1) ?? {};
    const medians = Object.fromEntries(STAGES.map(([stage]) => [stage, median(this.turns.flatMap((turn) => turn[stage] ?? []))]));
    const longest = Math.max(0, ...Object.values(last), ...Object.values(medians).map((time) => time ?? 0));
    const axis = AXES_S.find((width) => width >= longest) ?? Math.ceil(longest);
    this.scale.replaceChildren(make('span', {}, '0'), make('span', {}, `${axis} s`));
    const reached = Object.values(last);
    this.body.replaceChildren(...STAGES.map(([stage, label]) => {
      const time = last[stage];
      const bar = draw('svg', { class: 'bar', viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
      if (time !== undefined) {
        // From the stage before it in time: a reply that is made early reaches its stages before the turn is over.
        const before = Math.max(0, ...reached.filter((other) => other < time));
        const width = Math.max(NARROWEST, (100 * (time - before)) / axis);
        bar.append(draw('rect', { x: (100 * before) / axis, y: 1, width, height: 8 }));
      }
      const middle = medians[stage];
      if (middle !== undefined) bar.append(draw('path', { d: `M${(100 * middle) / axis} 0V10`, class: 'median' }));
      return make('tr', { data: { stage } },
        make('th', { attributes: { scope: 'row' } }, label), make('td', {}, bar),
        make('td', { className: 'time' }, milliseconds(time)), make('td', { className: 'time' }, milliseconds(middle)));
    }));
    const count = this.turns.length;
    this.caption.textContent = count
      ? `Time from the end of your turn; medians (│) of ${count} ${count === 1 ? 'turn' : 'turns'}.`
      : 'Time from the end of your turn. No reply has ended yet.';
  }
}

/**
 * @param {number[]} values
 * @returns {number | undefined} undefined: there are none
 */
export function median(values) {
  const ordered = [...values].sort((a, b) => a - b);
  const half = ordered.length >> 1;
  return ordered.length % 2 ? ordered[half] : ordered.length ? (ordered[half - 1] + ordered[half]) / 2 : undefined;
}

/** @param {number | undefined} time in seconds */
function milliseconds(time) {
  return time === undefined ? '–' : `${Math.round(time * 1000).toLocaleString('en')} ms`;
}
