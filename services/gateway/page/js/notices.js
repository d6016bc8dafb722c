// Shows problems and the state of the services above the conversation.

import { make } from './dom.js';

/** @type {Record<import('./problems.js').Action, string>} */
const LABELS = {
  retry: 'Try again',
  reconnect: 'Reconnect',
  'type-only': 'Continue without a microphone',
  token: 'Enter token',
};

/**
 * Shows a problem, or clears it. The element is an alert: a screen reader reads it at once.
 * @param {HTMLElement} place
 * @param {import('./problems.js').Problem | null} problem
 * @param {(action: import('./problems.js').Action) => void} act called with the action of the pressed button
 */
export function showProblem(place, problem, act) {
  if (!problem) {
    place.replaceChildren();
    return;
  }
  const buttons = problem.actions.map((action, position) => {
    const className = position === 0 ? 'primary small' : 'quiet small';
    const button = make('button', { className, attributes: { type: 'button' } }, LABELS[action]);
    button.addEventListener('click', () => act(action));
    return button;
  });
  place.replaceChildren(notice('problem', problem, buttons));
}

/**
 * Shows what is missing and what is degraded. Unchanged content is not replaced, so that it is announced once.
 * @param {HTMLElement} place
 * @param {{title: string, advice: string} | null} waiting
 * @param {string[]} degraded
 */
export function showReadiness(place, waiting, degraded) {
  const key = JSON.stringify([waiting, degraded]);
  if (place.dataset.shown === key) return;
  place.dataset.shown = key;
  const cards = waiting ? [notice('waiting', waiting, [])] : [];
  if (degraded.length) cards.push(notice('degraded', { title: 'Some features are limited', advice: degraded.join(' ') }, []));
  place.replaceChildren(...cards);
}

/**
 * @param {string} kind
 * @param {{title: string, advice: string}} text
 * @param {HTMLElement[]} buttons
 */
function notice(kind, { title, advice }, buttons) {
  const actions = buttons.length ? [make('div', { className: 'notice-actions' }, ...buttons)] : [];
  return make(
    'div', { className: `notice ${kind}` },
    make('p', { className: 'notice-title' }, title), make('p', {}, advice), ...actions,
  );
}
