// Follows /readyz: which services are missing, which voice speaks, what is degraded.

const POLL_READY_MS = 10_000;
const POLL_WAITING_MS = 1_500;
const POLL_TIMEOUT_MS = 5_000;

/** @type {Record<string, string>} */
const SERVICE_NAMES = {
  stt: 'speech recognition',
  brain: 'the brain',
  emotion: 'emotion',
  csm: 'the voice generator',
  mimi: 'the audio decoder',
};

/**
 * @typedef {{ready: boolean, services?: Record<string, {state: string}>, voice?: {name: string, reason?: string},
 *   degraded?: (string | {service?: string, message: string})[]}} Readiness
 */

/**
 * Polls for ever, fast while something is missing.
 * @param {(readiness: Readiness | null) => void} tell null: the gateway does not answer
 */
export async function followReadiness(tell) {
  for (;;) {
    const readiness = await fetchReadiness();
    tell(readiness);
    await new Promise((resolve) => setTimeout(resolve, readiness?.ready ? POLL_READY_MS : POLL_WAITING_MS));
  }
}

/** @returns {Promise<Readiness | null>} */
async function fetchReadiness() {
  try {
    const response = await fetch('readyz', { cache: 'no-store', signal: AbortSignal.timeout(POLL_TIMEOUT_MS) });
    // 503 carries the same JSON: it says what is missing.
    return await response.json();
  } catch {
    return null;
  }
}

/**
 * @param {string} service
 * @returns {string} e.g. "speech recognition (stt)"
 */
export function serviceName(service) {
  return service in SERVICE_NAMES ? `${SERVICE_NAMES[service]} (${service})` : service;
}

/**
 * What keeps the mesh from being ready, for the notice.
 * @param {Readiness | null} readiness
 * @returns {{title: string, advice: string} | null} null: it is ready
 */
export function waitingFor(readiness) {
  if (!readiness) {
    return {
      title: 'The server does not answer',
      advice: 'Check that Oviya is running. This page tries again by itself.',
    };
  }
  if (readiness.ready) return null;
  const absent = Object.entries(readiness.services ?? {})
    .filter(([, { state }]) => state !== 'serving')
    .map(([service, { state }]) => `${serviceName(service)}: ${state.toLowerCase().replaceAll('_', ' ')}`);
  return {
    title: 'Oviya is not ready yet',
    advice: absent.length
      ? `Waiting for ${absent.join(', ')}. This page goes on by itself.`
      : 'The server is starting or stopping. This page goes on by itself.',
  };
}

/**
 * The line about the voice in use.
 * @param {Readiness | null} readiness
 * @returns {string} empty: unknown
 */
export function voiceLine(readiness) {
  const voice = readiness?.voice;
  if (!voice) return '';
  if (!voice.reason) return `Voice: ${voice.name}.`;
  return `Speaking with the ${voice.name} voice because ${voice.reason.replace(/\.$/, '')}.`;
}

/**
 * The degraded modes, each as one sentence.
 * @param {Readiness | null} readiness
 * @returns {string[]}
 */
export function degradedModes(readiness) {
  return (readiness?.degraded ?? []).map((mode) => (typeof mode === 'string' ? mode : degradedLine(mode)));
}

/**
 * @param {{service?: string, message: string}} degraded
 * @returns {string} e.g. "Emotion: does not answer; replies are neutral"
 */
export function degradedLine({ service, message }) {
  if (!service) return message;
  const name = serviceName(service);
  return `${name[0].toUpperCase()}${name.slice(1)}: ${message}`;
}
