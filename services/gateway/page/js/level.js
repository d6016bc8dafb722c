// Loudness of a stream, from 0 (silence) to 1 (maximum), on a logarithmic scale.

// The range of speech: below is a quiet room, above is clipping.
export const FLOOR_DB = -45;
export const CEILING_DB = -3;

/**
 * @param {Float32Array} samples between -1 and 1
 * @returns {number} 0 at -45 dB RMS and below, 1 at -3 dB and above
 */
export function loudness(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const decibels = 10 * Math.log10(sum / samples.length + Number.MIN_VALUE);
  return Math.min(1, Math.max(0, (decibels - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
}

/**
 * Measures a stream without playing it.
 * @param {AudioContext} context
 * @param {MediaStream} stream
 * @returns {{read: () => number, close: () => void}}
 */
export function listenTo(context, stream) {
  const source = context.createMediaStreamSource(stream);
  const analyser = new AnalyserNode(context, { fftSize: 1024 });
  const samples = new Float32Array(analyser.fftSize);
  source.connect(analyser);
  return {
    read() {
      analyser.getFloatTimeDomainData(samples);
      return loudness(samples);
    },
    close: () => source.disconnect(),
  };
}
