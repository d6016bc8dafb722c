// The access token, if the server requires one. It is stored until the tab closes.

import { byId } from './dom.js';

const KEY = 'oviya-token';

/** @returns {string} empty: none */
export function storedToken() {
  return sessionStorage.getItem(KEY) ?? '';
}

/**
 * Asks the user for the token and stores it.
 * @returns {Promise<boolean>} false: the user entered none
 */
export function askForToken() {
  const dialog = byId('token-dialog');
  const input = byId('token');
  input.value = '';
  dialog.returnValue = '';
  byId('token-cancel').onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      const given = dialog.returnValue === 'ok';
      if (given) sessionStorage.setItem(KEY, input.value);
      input.value = '';
      resolve(given);
    }, { once: true });
  });
}
