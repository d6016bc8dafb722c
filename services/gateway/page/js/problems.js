// What can go wrong, in plain words, and what to do about it.

import { Refused } from './gateway.js';
import { MicrophoneError } from './microphone.js';

/**
 * `actions` name the buttons that help; app.js knows what they do.
 * @typedef {'retry' | 'reconnect' | 'type-only' | 'token'} Action
 * @typedef {{title: string, advice: string, actions: Action[]}} Problem
 */

/** @type {Record<string, Problem>} */
export const PROBLEMS = {
  'insecure-context': {
    title: 'The browser keeps the microphone from this address',
    advice: 'Browsers give the microphone only to https:// pages and to localhost. Open this page over https://, or '
      + 'on the machine that runs Oviya as http://localhost. You can type in the meantime.',
    actions: ['type-only'],
  },
  'no-microphone': {
    title: 'No microphone was found',
    advice: 'Plug one in, or switch it on in the settings of your system, then try again. You can also type.',
    actions: ['retry', 'type-only'],
  },
  'permission-denied': {
    title: 'The microphone is blocked for this page',
    advice: 'Allow it through the icon beside the address bar, then try again. You can also type.',
    actions: ['retry', 'type-only'],
  },
  'microphone-busy': {
    title: 'The microphone cannot be opened',
    advice: 'Another program may be using it. Close that program, then try again. You can also type.',
    actions: ['retry', 'type-only'],
  },
  'microphone-lost': {
    title: 'The microphone was disconnected',
    advice: 'Plug it in again, then reconnect.',
    actions: ['reconnect', 'type-only'],
  },
  'no-webrtc': {
    title: 'This browser cannot hold a call',
    advice: 'It has no WebRTC, or WebRTC is switched off. Use a current Firefox, Chrome, Edge or Safari.',
    actions: [],
  },
  unreachable: {
    title: 'The server does not answer',
    advice: 'Check that Oviya is running and that your network reaches it, then try again.',
    actions: ['retry'],
  },
  lost: {
    title: 'The connection was lost',
    advice: 'Check your network, then reconnect. A firewall that blocks UDP can cause this too.',
    actions: ['reconnect'],
  },
  server: {
    title: 'The server ended this session',
    advice: 'It may have reached its time limit, or the server is restarting. Reconnect to go on talking.',
    actions: ['reconnect'],
  },
};

/**
 * The problem behind an exception that stopped a session from starting.
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
      return { title: 'The server asks for a token', advice: 'Enter the token to go on.', actions: ['token'] };
    case 403:
      return {
        title: 'The server does not accept this page’s address',
        advice: said || 'Whoever runs it can add the address to its allowed origins.',
        actions: ['retry'],
      };
    case 421:
      return {
        title: 'The server does not go by this page’s address',
        advice: said || 'Whoever runs it can add the address to its host names.',
        actions: ['retry'],
      };
    case 429:
      return { title: 'All places are taken', advice: said || 'Try again in a moment.', actions: ['retry'] };
    case 503:
      return { title: 'Oviya cannot take a session right now', advice: said || 'Try again in a moment.', actions: ['retry'] };
    default:
      return { title: 'The server refused the session', advice: said || `It answered HTTP ${status}.`, actions: ['retry'] };
  }
}

/**
 * Why a session ended that this side did not end.
 * @param {string} how as Session's event `closed` says
 * @param {import('./wire.js').ErrorDetail | null} farewell what the server said last, where that was a failure
 * @returns {Problem}
 */
export function endOf(how, farewell) {
  const problem = PROBLEMS[how];
  return how === 'server' && farewell ? { ...problem, advice: turnFailure(farewell) } : problem;
}

/**
 * What a turn's failure is to a user.
 * @param {import('./wire.js').ErrorDetail} detail
 * @returns {string}
 */
export function turnFailure(detail) {
  return sentence([detail.message ?? 'This turn failed', detail.hint]);
}

/**
 * Joins what is there into sentences.
 * @param {(string | undefined)[]} parts
 */
function sentence(parts) {
  return parts.flatMap((part) => (part ? [part.charAt(0).toUpperCase() + part.slice(1)] : []))
    .map((part) => (/[.!?]$/.test(part) ? part : `${part}.`)).join(' ');
}
