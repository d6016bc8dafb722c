// POST /offer: trades the browser's SDP for the gateway's.

const OFFER_TIMEOUT_MS = 20_000;

/** The gateway refused the offer. */
export class OfferRefused extends Error {
  /**
   * @param {number} status HTTP status; 0 where no answer came
   * @param {import('./wire.js').ErrorDetail} detail
   */
  constructor(status, detail) {
    super(detail.message ?? `HTTP ${status}`);
    this.status = status;
    this.detail = detail;
  }
}

/**
 * @param {RTCSessionDescription} description the local offer, its candidates gathered
 * @param {string} token sent as a bearer token; empty: none
 * @returns {Promise<RTCSessionDescriptionInit>}
 * @throws {OfferRefused}
 */
export async function postOffer(description, token) {
  /** @type {Record<string, string>} */
  const headers = { 'Content-Type': 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch('offer', {
      method: 'POST',
      headers,
      body: JSON.stringify({ sdp: description.sdp, type: description.type }),
      signal: AbortSignal.timeout(OFFER_TIMEOUT_MS),
    });
  } catch {
    throw new OfferRefused(0, { type: 'Unreachable' });
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new OfferRefused(response.status, answer.error ?? { type: 'Unknown' });
  return answer;
}
