// Small helpers around the document.

/**
 * The element with this id, which index.html is known to hold.
 * @param {string} id
 * @returns {any} typed loosely, since a caller knows which element it asked for
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no element #${id}`);
  return found;
}

/**
 * Makes an element. Text is always set as text, never as markup.
 * @param {string} tag
 * @param {{className?: string, data?: Record<string, string>, attributes?: Record<string, string>}} [options]
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  if (options.className) element.className = options.className;
  Object.assign(element.dataset, options.data ?? {});
  for (const [name, value] of Object.entries(options.attributes ?? {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * An entry of a <select>.
 * @param {string} value
 * @param {string} text
 */
export function option(value, text) {
  return make('option', { attributes: { value } }, text);
}
