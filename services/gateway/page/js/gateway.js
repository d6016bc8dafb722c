// Requests to the gateway: its configuration, and POST /offer, which opens a session.

const TIMEOUT_MS = 20_000;

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
  return request('offer', token, { sdp, type, session: name, resumeToken });
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
 * @param {string} path relative, so that the page also works below a prefix
 * @param {string} token
 * @param {object} [body] sent as JSON by POST; none: GET
 * @returns {Promise<any>}
 * @throws {Refused}
 */
async function request(path, token, body) {
  /** @type {Record<string, string>} */
  const headers = { 'Content-Type': 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  const options = body ? { method: 'POST', body: JSON.stringify(body) } : {};
  let response;
  try {
    response = await fetch(path, { headers, cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS), ...options });
  } catch {
    throw new Refused(0, { type: 'Unreachable' });
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, answer.error ?? { type: 'Unknown' });
  return answer;
}
