// Opens the microphone, or reports why it cannot be used.

/** The microphone cannot be used. `reason` is a key of problems.js. */
export class MicrophoneError extends Error {
  /** @param {'insecure-context' | 'no-microphone' | 'permission-denied' | 'microphone-busy'} reason */
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/** @type {Record<string, MicrophoneError['reason']>} */
const REASONS = {
  NotFoundError: 'no-microphone',
  OverconstrainedError: 'no-microphone',
  NotAllowedError: 'permission-denied',
  SecurityError: 'permission-denied',
  NotReadableError: 'microphone-busy',
  AbortError: 'microphone-busy',
};

/**
 * Opens the microphone; the browser asks the user for permission.
 * @param {string} device id of the device; empty: the browser's choice
 * @returns {Promise<MediaStream>}
 * @throws {MicrophoneError}
 */
export async function openMicrophone(device) {
  // Browsers hide the microphone from pages that were loaded over plain HTTP from another machine.
  if (!navigator.mediaDevices) throw new MicrophoneError('insecure-context');
  try {
    return await navigator.mediaDevices.getUserMedia({
      // Without echo cancellation Oviya would hear and answer itself.
      audio: {
        channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true,
        ...(device && { deviceId: { exact: device } }),
      },
    });
  } catch (error) {
    // A device that was unplugged since it was chosen is replaced by the browser's choice.
    if (device && error instanceof DOMException && error.name === 'OverconstrainedError') return openMicrophone('');
    const reason = error instanceof DOMException && REASONS[error.name];
    if (!reason) throw error;
    throw new MicrophoneError(reason);
  }
}
