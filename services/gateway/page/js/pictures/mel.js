// The frequency axis of the spectrogram: bands of equal width on the mel scale.

export const LOW_HZ = 80;
export const HIGH_HZ = 8_000;

/**
 * The mel scale, after O'Shaughnessy, Speech Communication, 1987.
 * @param {number} hertz
 */
export function mel(hertz) {
  return 2595 * Math.log10(1 + hertz / 700);
}

/**
 * Where a frequency stands on the axis.
 * @param {number} hertz
 * @returns {number} 0 at LOW_HZ, 1 at HIGH_HZ
 */
export function axisPosition(hertz) {
  return (mel(hertz) - mel(LOW_HZ)) / (mel(HIGH_HZ) - mel(LOW_HZ));
}

/**
 * The FFT bins of each band. Narrow low bands may share a bin; each has at least one.
 * @param {number} count
 * @param {number} binHz width of a bin
 * @returns {{from: number, to: number}[]} lowest first; `to` is exclusive
 */
export function melBands(count, binHz) {
  const step = (mel(HIGH_HZ) - mel(LOW_HZ)) / count;
  /** @param {number} edge */
  const binAt = (edge) => Math.round(700 * (10 ** ((mel(LOW_HZ) + edge * step) / 2595) - 1) / binHz);
  return Array.from({ length: count }, (_, band) => {
    const from = binAt(band);
    return { from, to: Math.max(from + 1, binAt(band + 1)) };
  });
}
