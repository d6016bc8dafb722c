// The lines that say whether Oviya is connected and what the conversation does now.

import { byId } from './dom.js';
import { talkMode } from './talk_controls.js';

/** @typedef {'idle' | 'connecting' | 'live' | 'unstable' | 'lost'} State */

/** @type {Record<State, string>} */
const STATE_LABELS = {
  idle: 'Not connected',
  connecting: 'Connecting…',
  live: 'Connected',
  unstable: 'Connection unstable…',
  lost: 'Connection lost',
};

/** @type {Record<Exclude<import('./phase.js').Activity, 'listening'>, string>} */
const ACTIVITIES = {
  hearing: 'You are speaking.',
  thinking: 'Thinking…',
  speaking: 'Speaking…',
  paused: 'Paused: listening to you.',
};

/** @param {State} state */
export function showConnection(state) {
  const line = byId('connection');
  line.dataset.state = state;
  line.textContent = STATE_LABELS[state];
}

/** @param {string} text */
export function showPhase(text) {
  byId('phase').textContent = text;
}

/**
 * @param {import('./phase.js').Activity} activity
 * @param {{microphone: boolean, muted: boolean}} session
 */
export function showActivity(activity, { microphone, muted }) {
  document.body.dataset.activity = activity;
  showPhase(activity === 'listening' ? listening(microphone, muted) : ACTIVITIES[activity]);
}

/**
 * @param {boolean} microphone
 * @param {boolean} muted
 */
function listening(microphone, muted) {
  if (!microphone) return 'Type a message; Oviya answers aloud.';
  if (talkMode() === 'push') return 'Hold the button or the space bar to talk.';
  return muted ? 'You are muted.' : 'Listening. Speak at any time.';
}
