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
 * @returns {Promise<MediaStream>}
 * @throws {MicrophoneError}
 */
export async function openMicrophone() {
  // Browsers hide the microphone from pages that were loaded over plain HTTP from another machine.
  if (!navigator.mediaDevices) throw new MicrophoneError('insecure-context');
  try {
    return await navigator.mediaDevices.getUserMedia({
      // Without echo cancellation Oviya would hear and answer itself.
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
  } catch (error) {
    const reason = error instanceof DOMException && REASONS[error.name];
    if (!reason) throw error;
    throw new MicrophoneError(reason);
  }
}
