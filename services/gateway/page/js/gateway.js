// Requests to the gateway over HTTP: its configuration, emotions and voices, and POST /offer, which opens a session.

const TIMEOUT_MS = 20_000;
// A clip is transcribed before it is taken.
const CLIP_TIMEOUT_MS = 60_000;

/** The gateway refused a request or did not respond. */
export class Refused extends Error {
  /**
   * @param {number} status HTTP status; 0: no response
   * @param {import('./wire.js').ErrorDetail} detail
   */
  constructor(status, detail) {
    super(detail.message ?? `HTTP ${status}`);
    this.status = status;
    this.detail = detail;
  }
}

/**
 * @param {string} token sent as a bearer token; empty: none
 * @returns {Promise<{iceServers: RTCIceServer[]}>}
 * @throws {Refused} also if a token is required and there is none
 */
export async function fetchConfig(token) {
  const config = await request('config.json', token);
  if (config.tokenRequired && !token) throw new Refused(401, { type: 'Unauthenticated' });
  return config;
}

/**
 * Sends the browser's SDP offer and returns the gateway's answer.
 * @param {RTCSessionDescription} description the local offer, its candidates gathered
 * @param {string} token
 * @param {import('./memory.js').StoredSession} session the session to resume
 * @returns {Promise<RTCSessionDescriptionInit>}
 * @throws {Refused}
 */
export function postOffer({ sdp, type }, token, { name, resumeToken }) {
  const body = JSON.stringify({ sdp, type, session: name, resumeToken });
  return request('offer', token, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
}

/**
 * The 49 emotions that replies can be spoken with.
 * @returns {Promise<{emotion: string, style: string, valence: number, arousal: number}[]>}
 * @throws {Refused}
 */
export async function fetchEmotions() {
  return (await request('emotions.json', '')).emotions;
}

/**
 * The voices that can speak.
 * @param {string} token
 * @returns {Promise<{speakers: {id: number, name: string}[], keeps: boolean} | null>} `keeps`: whether the voice of a clip
 *   can be kept by name; null: this gateway offers no choice
 * @throws {Refused}
 */
export async function fetchVoices(token) {
  try {
    return await request('voices', token);
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return null;
    throw error;
  }
}

/**
 * Registers the voice of a clip.
 * @param {FormData} form `audio`, and optionally `text`, `name` to keep it by, and `consent`
 * @param {string} token
 * @returns {Promise<{name: string, voiceToken: string, text: string, expiresInSeconds: number | null}>}
 * @throws {Refused} also with the reason why the clip cannot be used
 */
export function postVoice(form, token) {
  return request('voices', token, { method: 'POST', body: form, signal: AbortSignal.timeout(CLIP_TIMEOUT_MS) });
}

/**
 * Makes the gateway forget the voice of a clip.
 * @param {{name: string, voiceToken: string}} voice
 * @param {string} token
 * @throws {Refused}
 */
export async function deleteVoice({ name, voiceToken }, token) {
  await request(`voices/${encodeURIComponent(name)}`, token, { method: 'DELETE', headers: { 'Voice-Token': voiceToken } });
}

/**
 * @param {string} path relative, so that the page also works below a prefix
 * @param {string} token
 * @param {RequestInit & {headers?: Record<string, string>}} [options] none: GET
 * @returns {Promise<any>}
 * @throws {Refused}
 */
async function request(path, token, { headers = {}, ...options } = {}) {
  const sent = token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
  let response;
  try {
    response = await fetch(path, {
      headers: sent, cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS), ...options,
    });
  } catch {
    throw new Refused(0, { type: 'Unreachable' });
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, answer.error ?? { type: 'Unknown' });
  return answer;
}
