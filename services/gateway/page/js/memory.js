// The name of the session, so that a new connection goes on where the last one ended, if the gateway keeps sessions. It is
// known until the tab closes.

const KEY = 'oviya-session';

/** @returns {string} empty: none yet */
export function storedSession() {
  return sessionStorage.getItem(KEY) ?? '';
}

/** @param {string} name */
export function storeSession(name) {
  sessionStorage.setItem(KEY, name);
}
