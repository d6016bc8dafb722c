// The name and the token of the session, with which a new connection resumes it if the gateway keeps sessions.
// Both are stored until the tab closes.

const NAME = 'oviya-session';
const TOKEN = 'oviya-resume-token';

/**
 * Both are empty if there is no session yet; the token also if the gateway keeps no sessions.
 * @typedef {{name: string, resumeToken: string}} StoredSession
 */

/** @returns {StoredSession} */
export function storedSession() {
  return { name: sessionStorage.getItem(NAME) ?? '', resumeToken: sessionStorage.getItem(TOKEN) ?? '' };
}

/** @param {StoredSession} session */
export function storeSession({ name, resumeToken }) {
  sessionStorage.setItem(NAME, name);
  sessionStorage.setItem(TOKEN, resumeToken);
}

/** Makes the next session a new one. */
export function forgetSession() {
  sessionStorage.removeItem(NAME);
  sessionStorage.removeItem(TOKEN);
}
