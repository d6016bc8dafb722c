// Polls /readyz: missing services, the voice in use, degraded modes.

import { storedToken } from './token.js';

const POLL_READY_MS = 10_000;
const POLL_WAITING_MS = 1_500;
const POLL_TIMEOUT_MS = 5_000;

/** @type {Record<string, string>} */
export const SERVICE_NAMES = {
  stt: 'speech recognition',
  brain: 'reply generation',
  emotion: 'emotion detection',
  csm: 'voice generation',
  mimi: 'audio decoding',
};

/** @type {Record<string, string>} */
const STATE_WORDS = {
  missing: 'cannot be reached',
  starting: 'is starting',
};

/** Without these the fallback voice speaks; the line about the voice shows that. */
const VOICE_SERVICES = ['csm', 'mimi'];

/**
 * The content of /readyz. Without services that are not `needed`, Oviya is ready with limited features.
 * @typedef {{ready: boolean, draining?: boolean, services: Record<string, Service>,
 *   voice: {name: string, reason: string}, degraded: Degraded[]}} Readiness
 * @typedef {{state: string, needed: boolean, model?: string, device?: string, trained?: boolean}} Service
 * @typedef {{service: string, message: string}} Degraded
 */

/** Without the token, a server that requires one reports only whether it is ready. */
const NO_DETAILS = { services: {}, voice: { name: '', reason: '' }, degraded: [] };

/**
 * Polls forever, faster while something is missing.
 * @param {(readiness: Readiness | null) => void} report null: the gateway does not respond
 */
export async function followReadiness(report) {
  for (;;) {
    const readiness = await fetchReadiness();
    report(readiness);
    await new Promise((resolve) => setTimeout(resolve, readiness?.ready ? POLL_READY_MS : POLL_WAITING_MS));
  }
}

/** @returns {Promise<Readiness | null>} */
async function fetchReadiness() {
  try {
    const token = storedToken();
    /** @type {Record<string, string>} */
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const signal = AbortSignal.timeout(POLL_TIMEOUT_MS);
    const response = await fetch('readyz', { headers, cache: 'no-store', signal });
    // A 503 response has the same JSON.
    return { ...NO_DETAILS, ...await response.json() };
  } catch {
    return null;
  }
}

/**
 * Why Oviya is not ready, for the notice.
 * @param {Readiness | null} readiness
 * @returns {{title: string, advice: string} | null} null: it is ready
 */
export function waitingFor(readiness) {
  if (!readiness) {
    return { title: 'The server does not respond', advice: 'Check that Oviya is running. This page retries automatically.' };
  }
  if (readiness.ready) return null;
  if (readiness.draining) {
    return { title: 'The server is stopping', advice: 'This page continues automatically when it is back.' };
  }
  const absent = Object.entries(readiness.services)
    .filter(([, { needed, state }]) => needed && state !== 'serving')
    .map(([service, { state }]) => `${serviceName(service)} ${STATE_WORDS[state] ?? state}`);
  const why = absent.length ? `${capitalized(absent.join(', '))}. ` : '';
  return { title: 'Oviya is not ready yet', advice: `${why}This page continues automatically.` };
}

/**
 * The line about the voice in use.
 * @param {Readiness | null} readiness
 * @returns {string} empty: unknown
 */
export function voiceLine(readiness) {
  if (!readiness?.voice.name) return '';
  const { name, reason } = readiness.voice;
  return reason ? `Speaking with the ${name} voice because ${reason}.` : `Speaking with the ${name} voice.`;
}

/**
 * The degraded modes except that of the voice, each as one sentence.
 * @param {Readiness | null} readiness
 * @returns {string[]}
 */
export function degradedModes(readiness) {
  if (!readiness?.ready) return [];
  return readiness.degraded.filter(({ service }) => !VOICE_SERVICES.includes(service)).map(degradedLine);
}

/**
 * Whether the page already shows a degraded mode, above the conversation or in the line about the voice.
 * @param {Readiness | null} readiness
 * @param {Degraded} degraded
 */
export function isShown(readiness, degraded) {
  return readiness?.degraded.some(({ service }) => service === degraded.service) ?? false;
}

/**
 * @param {Degraded} degraded
 * @returns {string} e.g. "Emotion detection (emotion): cannot be reached; replies are spoken neutrally."
 */
export function degradedLine({ service, message }) {
  return `${capitalized(serviceName(service))}: ${message.replace(/\.$/, '')}.`;
}

/**
 * @param {string} service
 * @returns {string} e.g. "speech recognition (stt)"
 */
function serviceName(service) {
  return service in SERVICE_NAMES ? `${SERVICE_NAMES[service]} (${service})` : service;
}

/** @param {string} text */
function capitalized(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
