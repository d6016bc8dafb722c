// oviya.v1 messages in proto3 JSON: lowerCamelCase names, durations like "1.5s", zero values omitted.

/** @typedef {{type: string, message?: string, field?: string, limit?: string, hint?: string}} ErrorDetail */
/**
 * An event of the conversation. `turn` is the number of its turn; 0 is the session's first.
 * @typedef {{name: string, turn: number, value: any}} ConversationEvent
 */

const EVENTS = [
  'sessionStarted', 'speechStarted', 'partial', 'final', 'turnEnded', 'turnDropped', 'userEmotion', 'userFeeling',
  'replySentence', 'wordsSpoken', 'replyPaused', 'replyResumed', 'interrupted', 'replyEnded', 'voiceSet', 'degraded',
  'turnFailed', 'requestFailed',
];

/**
 * Parses a ConverseResponse.
 * @param {string} json
 * @returns {ConversationEvent | null} null: an event that is unknown to this page
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
