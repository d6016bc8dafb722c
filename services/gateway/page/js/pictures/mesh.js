// The state of the six services: ready, degraded or away, their models and devices.

import { make } from '../dom.js';
import { SERVICE_NAMES } from '../readiness.js';

/** @typedef {'ready' | 'degraded' | 'starting' | 'away' | 'unknown'} State */

/** @type {Record<State, {glyph: string, label: string}>} */
const STATES = {
  ready: { glyph: '●', label: 'ready' },
  degraded: { glyph: '◐', label: 'degraded' },
  starting: { glyph: '◌', label: 'starting' },
  away: { glyph: '○', label: 'away' },
  unknown: { glyph: '?', label: 'unknown' },
};

/**
 * What is shown of one service.
 * @typedef {{name: string, role: string, state: State, model: string, problem: string}} Row
 */

export class MeshState {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.list = make('ul', { className: 'mesh' });
    this.note = make('p', { className: 'note-line' });
    place.append(this.list, this.note);
    /** @type {import('../readiness.js').Readiness | null} */
    this.report = null;
    this.known = false;
    this.#show();
  }

  /** @param {import('../readiness.js').Readiness | null} report null: the gateway does not respond */
  show(report) {
    this.report = report;
    this.known = true;
    this.#show();
  }

  /**
   * A service stopped working well during the conversation: the next report is up to 10 s away.
   * @param {import('../readiness.js').Degraded} degraded
   */
  degrade(degraded) {
    if (!this.report) return;
    const others = this.report.degraded.filter(({ service }) => service !== degraded.service);
    this.report = { ...this.report, degraded: [...others, degraded] };
    this.#show();
  }

  #show() {
    const { report } = this;
    const rows = [gatewayRow(report, this.known), ...Object.keys(SERVICE_NAMES).map((name) => serviceRow(name, report))];
    const key = JSON.stringify(rows);
    if (this.list.dataset.shown === key) return;
    this.list.dataset.shown = key;
    this.list.replaceChildren(...rows.map(({ name, role, state, model, problem }) => {
      const { glyph, label } = STATES[state];
      return make(
        'li', { data: { service: name, state } },
        make('span', { className: 'glyph', attributes: { 'aria-hidden': 'true' } }, glyph),
        make('span', { className: 'name' }, make('b', {}, name), ` ${role}`), make('span', { className: 'state' }, label),
        ...[model, problem].filter(Boolean).map((line) => make('span', { className: 'line' }, line)),
      );
    }));
    const hidden = report && !Object.keys(report.services).length;
    this.note.textContent = hidden ? 'The server shows details only with its access token.' : '';
  }
}

/**
 * @param {import('../readiness.js').Readiness | null} report
 * @param {boolean} known whether the gateway was asked yet
 * @returns {Row}
 */
function gatewayRow(report, known) {
  const problem = report?.draining ? 'it is stopping' : degradedOf('store', report);
  /** @type {State} */
  const state = report ? (problem ? 'degraded' : 'ready') : known ? 'away' : 'unknown';
  return { name: 'gateway', role: 'sessions', state, model: '', problem };
}

/**
 * @param {string} name
 * @param {import('../readiness.js').Readiness | null} report
 * @returns {Row}
 */
function serviceRow(name, report) {
  const service = report?.services[name];
  const problem = degradedOf(name, report);
  /** @type {State} */
  let state = 'unknown';
  if (service) state = service.state === 'serving' ? (problem ? 'degraded' : 'ready') : service.state === 'starting' ? 'starting' : 'away';
  const model = [service?.model, service?.trained === false ? 'untrained' : '', service?.device].filter(Boolean).join(' · ');
  return { name, role: SERVICE_NAMES[name], state, model, problem };
}

/**
 * @param {string} name
 * @param {import('../readiness.js').Readiness | null} report
 * @returns {string} empty: it works
 */
function degradedOf(name, report) {
  return report?.degraded.find(({ service }) => service === name)?.message ?? '';
}
