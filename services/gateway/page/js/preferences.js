// What the user chose on this page, kept by the browser for the next visit.

const PREFIX = 'oviya-';

/**
 * @param {string} name
 * @returns {string} empty: nothing was chosen
 */
export function preference(name) {
  return localStorage.getItem(PREFIX + name) ?? '';
}

/**
 * @param {string} name
 * @param {string} value empty: forget the choice
 */
export function prefer(name, value) {
  if (value) localStorage.setItem(PREFIX + name, value);
  else localStorage.removeItem(PREFIX + name);
}
