// The colours of the spectrogram in the current colour scheme.

// Share of the range at which a side's own colour is reached.
const FULL_AT = 0.75;

/**
 * `user` and `reply` hold the pixel of each level, as ImageData stores it; the others are CSS colours.
 * @typedef {{user: Uint32Array, reply: Uint32Array, text: string, muted: string, danger: string}} Palette
 */

/**
 * @param {HTMLElement} element whose style is read
 * @param {CanvasRenderingContext2D} pen
 * @returns {Palette}
 */
export function readPalette(element, pen) {
  const style = getComputedStyle(element);
  /** @param {string} name */
  const rgb = (name) => {
    pen.fillStyle = style.getPropertyValue(name); // the canvas rewrites any colour as #rrggbb
    return [1, 3, 5].map((at) => Number.parseInt(String(pen.fillStyle).slice(at, at + 2), 16));
  };
  const ground = rgb('--surface');
  const text = rgb('--text');
  /** @param {string} name */
  const table = (name) => {
    const full = rgb(name);
    const bytes = new Uint8ClampedArray(4 * 256);
    for (let level = 0; level < 256; level++) {
      const share = level / 255;
      // From the ground to the side's colour, and towards the text's colour where it is loudest.
      const [from, to, part] = share < FULL_AT
        ? [ground, full, share / FULL_AT]
        : [full, text, (share - FULL_AT) / (1 - FULL_AT)];
      for (let i = 0; i < 3; i++) bytes[4 * level + i] = from[i] + (to[i] - from[i]) * part;
      bytes[4 * level + 3] = 255;
    }
    return new Uint32Array(bytes.buffer);
  };
  return {
    user: table('--picture-user'),
    reply: table('--picture-reply'),
    text: style.getPropertyValue('--text'),
    muted: style.getPropertyValue('--edge'),
    danger: style.getPropertyValue('--danger'),
  };
}
