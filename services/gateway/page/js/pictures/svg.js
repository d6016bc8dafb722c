// Helpers for drawn elements, and the numbers beside them.

/**
 * Makes an SVG element.
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...(Node | string)} children
 * @returns {SVGElement}
 */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/**
 * @param {number | undefined} value -1 to 1; undefined: 0, which proto3 JSON omits
 * @returns {string} e.g. "+0.40" or "−0.40", with a real minus sign
 */
export function signed(value = 0) {
  const digits = Math.abs(value).toFixed(2);
  return value < 0 ? `−${digits}` : `+${digits}`;
}

/** @param {number | undefined} share 0 to 1; undefined: 0 */
export function percent(share = 0) {
  return `${Math.round(share * 100)} %`;
}
