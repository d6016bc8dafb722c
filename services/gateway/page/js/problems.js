// Problems in plain words, and what to do about them.

import { Refused } from './gateway.js';
import { MicrophoneError } from './microphone.js';

/**
 * `actions` are the buttons to show; app.js implements them.
 * @typedef {'retry' | 'reconnect' | 'type-only' | 'token'} Action
 * @typedef {{title: string, advice: string, actions: Action[]}} Problem
 */

/** @type {Record<string, Problem>} */
export const PROBLEMS = {
  'insecure-context': {
    title: 'The browser blocks the microphone on this page',
    advice: 'Browsers allow the microphone only on https:// pages and on localhost. Open this page over https://, or as '
      + 'http://localhost on the machine that runs Oviya. You can still type.',
    actions: ['type-only'],
  },
  'no-microphone': {
    title: 'No microphone was found',
    advice: 'Connect one, or enable it in your system settings, then try again. You can also type.',
    actions: ['retry', 'type-only'],
  },
  'permission-denied': {
    title: 'The microphone is blocked for this page',
    advice: 'Allow it with the icon next to the address bar, then try again. You can also type.',
    actions: ['retry', 'type-only'],
  },
  'microphone-busy': {
    title: 'The microphone cannot be opened',
    advice: 'Another program may be using it. Close that program, then try again. You can also type.',
    actions: ['retry', 'type-only'],
  },
  'microphone-lost': {
    title: 'The microphone was disconnected',
    advice: 'Connect it again, then reconnect.',
    actions: ['reconnect', 'type-only'],
  },
  'no-webrtc': {
    title: 'This browser does not support WebRTC',
    advice: 'WebRTC is missing or disabled. Use a current version of Firefox, Chrome, Edge or Safari.',
    actions: [],
  },
  unreachable: {
    title: 'The server does not respond',
    advice: 'Check that Oviya is running and that your network can reach it, then try again.',
    actions: ['retry'],
  },
  lost: {
    title: 'The connection was lost',
    advice: 'Check your network, then reconnect. A firewall that blocks UDP can also cause this.',
    actions: ['reconnect'],
  },
  server: {
    title: 'The server ended this session',
    advice: 'It may have reached its time limit, or the server is restarting. Reconnect to continue.',
    actions: ['reconnect'],
  },
};

/**
 * The problem for an exception that prevented a session from starting.
 * @param {unknown} error
 * @returns {Problem}
 */
export function problemOf(error) {
  if (error instanceof MicrophoneError) return PROBLEMS[error.reason];
  if (error instanceof Refused) return refusal(error);
  return {
    title: 'The session could not start',
    advice: `The browser says: ${error instanceof Error ? error.message : error}`,
    actions: ['retry'],
  };
}

/**
 * @param {Refused} error
 * @returns {Problem}
 */
function refusal({ status, detail }) {
  if (status === 0) return PROBLEMS.unreachable;
  const said = sentence([detail.message, detail.limit && `Limit: ${detail.limit}`, detail.hint]);
  switch (status) {
    case 401:
      return { title: 'The server requires a token', advice: 'Enter the token to continue.', actions: ['token'] };
    case 403:
      return {
        title: 'The server does not accept this page’s address',
        advice: said || 'Its operator can add the address to the allowed origins.',
        actions: ['retry'],
      };
    case 421:
      return {
        title: 'The server does not accept this page’s host name',
        advice: said || 'Its operator can add the name to the allowed host names.',
        actions: ['retry'],
      };
    case 429:
      return { title: 'All sessions are in use', advice: said || 'Try again in a moment.', actions: ['retry'] };
    case 503:
      return { title: 'Oviya cannot start a session right now', advice: said || 'Try again in a moment.', actions: ['retry'] };
    default:
      return { title: 'The server refused the session', advice: said || `The response was HTTP ${status}.`, actions: ['retry'] };
  }
}

/**
 * Why a session ended, if not by the user.
 * @param {string} how as Session's event `closed` says
 * @param {import('./wire.js').ErrorDetail | null} lastFailure the last event of the server, if it was a failure
 * @returns {Problem}
 */
export function endOf(how, lastFailure) {
  const problem = PROBLEMS[how];
  return how === 'server' && lastFailure ? { ...problem, advice: failureText(lastFailure) } : problem;
}

/**
 * An exception as one text, for places without buttons.
 * @param {unknown} error
 */
export function problemText(error) {
  if (error instanceof Refused && error.detail.message) return failureText(error.detail);
  const { title, advice } = problemOf(error);
  return sentence([title, advice]);
}

/**
 * The failure of a turn or a request as text for the user.
 * @param {import('./wire.js').ErrorDetail} detail
 * @returns {string}
 */
export function failureText(detail) {
  return sentence([detail.message ?? 'This failed', detail.hint]);
}

/**
 * Joins the given parts into sentences.
 * @param {(string | undefined)[]} parts
 */
function sentence(parts) {
  return parts.flatMap((part) => (part ? [part.charAt(0).toUpperCase() + part.slice(1)] : []))
    .map((part) => (/[.!?]$/.test(part) ? part : `${part}.`)).join(' ');
}
