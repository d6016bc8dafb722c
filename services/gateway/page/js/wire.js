// oviya.v1 messages in proto3 JSON: lowerCamelCase names, durations like "1.5s", zero values omitted.

/** @typedef {{type: string, message?: string, field?: string, limit?: string, hint?: string}} ErrorDetail */

const EVENTS = [
  'sessionStarted', 'speechStarted', 'partial', 'final', 'turnEnded', 'userEmotion', 'replySentence', 'replyEnded',
  'degraded', 'turnFailed',
];

/**
 * Parses a ConverseResponse.
 * @param {string} json
 * @returns {{name: string, turn: number, value: any} | null} null: an event that is unknown to this page
 */
export function readEvent(json) {
  const message = JSON.parse(json);
  const name = EVENTS.find((event) => event in message);
  return name ? { name, turn: message.turn ?? 0, value: message[name] } : null;
}

/**
 * A google.protobuf.Duration in seconds.
 * @param {string | undefined} duration
 * @returns {number | undefined}
 */
export function seconds(duration) {
  return duration === undefined ? undefined : Number.parseFloat(duration);
}

/**
 * The name of an emotion for display.
 * @param {string} emotion one of the 49 names, e.g. "calm_supportive"
 */
export function readableEmotion(emotion) {
  return emotion.replaceAll('_', ' ');
}
