// The name of the session and the token that shows it is ours, so that a new connection goes on where the last one ended,
// if the gateway keeps sessions. Both are known until the tab closes.

const NAME = 'oviya-session';
const TOKEN = 'oviya-resume-token';

/**
 * Both are empty where there is no session yet; the token, where the gateway keeps none.
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

/** The next session is a new one. */
export function forgetSession() {
  sessionStorage.removeItem(NAME);
  sessionStorage.removeItem(TOKEN);
}
