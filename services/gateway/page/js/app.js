// Connects the buttons, the session, the transcript and the notices.

import { byId } from './dom.js';
import { fetchConfig } from './gateway.js';
import { forgetSession, storeSession } from './memory.js';
import { Meter } from './meter.js';
import { showProblem, showReadiness } from './notices.js';
import { endOf, problemOf, PROBLEMS, turnFailure } from './problems.js';
import { degradedLine, degradedModes, followReadiness, isShown, voiceLine, waitingFor } from './readiness.js';
import { Session } from './session.js';
import { askForToken, storedToken } from './token.js';
import { Transcript } from './transcript.js';

const start = byId('start');
const stop = byId('stop');
const mute = byId('mute');
const message = byId('message');

const transcript = new Transcript({
  scroller: byId('conversation'),
  welcome: byId('welcome'),
  list: byId('transcript'),
  partial: byId('partial'),
  thinking: byId('thinking'),
});
const places = {
  userMeter: new Meter(byId('user-meter'), 'right'),
  replyMeter: new Meter(byId('reply-meter'), 'left'),
  player: byId('reply-audio'),
};

/** @type {Session | null} */
let session = null;
/** @type {import('./readiness.js').Readiness | null} */
let readiness = null;
/** Text typed before the session was open; sent when it opens. */
let waitingText = '';
/**
 * The last event, if it was a failure: when the session ends now, this is the reason.
 * @type {import('./wire.js').ErrorDetail | null}
 */
let lastFailure = null;
/** Whether the last session was started with a microphone; "Reconnect" does the same. */
let withMicrophone = true;

/** @typedef {'idle' | 'connecting' | 'live' | 'interrupted' | 'lost'} State */

/** @type {Record<State, string>} */
const STATE_LABELS = {
  idle: 'Not connected',
  connecting: 'Connecting…',
  live: 'Connected',
  interrupted: 'Connection unstable…',
  lost: 'Connection lost',
};

/** @param {State} state */
function showState(state) {
  const line = byId('connection');
  line.dataset.state = state;
  line.textContent = STATE_LABELS[state];
  const running = session !== null;
  const focusMoves = document.activeElement === (running ? start : stop);
  start.hidden = running;
  stop.hidden = !running;
  mute.hidden = !session?.hasMicrophone || state === 'connecting';
  if (focusMoves) (running ? stop : start).focus();
  if (!running) showPhase(state === 'lost' ? 'Not connected.' : 'Your microphone is used only while you talk with Oviya.');
  document.body.dataset.running = String(running);
}

/** @param {string} text what Oviya is doing */
function showPhase(text) {
  byId('phase').textContent = text;
}

function showListening() {
  const silent = mute.getAttribute('aria-pressed') === 'true';
  if (!session?.hasMicrophone) showPhase('Type a message; Oviya answers aloud.');
  else showPhase(silent ? 'You are muted.' : 'Listening. Speak at any time.');
}

/** @param {import('./problems.js').Problem | null} problem */
function report(problem) {
  const place = byId('problem');
  if (place.contains(document.activeElement)) start.focus(); // its buttons are removed
  showProblem(place, problem, (action) => {
    if (action === 'token') void enterToken();
    else void begin(action !== 'type-only' && (action === 'retry' || withMicrophone));
  });
}

/**
 * Starts a session.
 * @param {boolean} microphone false: typed messages only
 */
async function begin(microphone) {
  if (session) return;
  report(null);
  if (!readiness?.ready) return;
  if (!window.RTCPeerConnection) {
    report(PROBLEMS['no-webrtc']);
    return;
  }
  if (microphone && !navigator.mediaDevices) { // the browser does not allow it on this page
    report(PROBLEMS['insecure-context']);
    return;
  }
  withMicrophone = microphone;
  const current = new Session(places);
  session = current;
  setMuted(false);
  current.addEventListener('open', () => opened());
  current.addEventListener('event', (event) => show(/** @type {CustomEvent} */ (event).detail));
  current.addEventListener('interrupted', () => showState('interrupted'));
  current.addEventListener('resumed', () => showState('live'));
  current.addEventListener('closed', (event) => end('lost', endOf(/** @type {CustomEvent} */ (event).detail, lastFailure)));
  showState('connecting');
  showPhase(microphone ? 'Allow the microphone if your browser asks.' : 'Connecting…');
  try {
    const token = storedToken();
    const { iceServers } = await fetchConfig(token);
    await current.start({ iceServers, token, withMicrophone: microphone });
  } catch (error) {
    if (session !== current) return; // stopped in the meantime
    const problem = problemOf(error);
    end('idle', problem);
    if (problem.actions.includes('token')) void enterToken();
  }
}

async function enterToken() {
  if (await askForToken()) await begin(withMicrophone);
}

function opened() {
  transcript.startSession();
  showState('live');
  showListening();
  if (waitingText) send(waitingText);
  waitingText = '';
}

/** @param {string} text */
function send(text) {
  session?.sendText(text);
  transcript.userTyped(text);
  showPhase('Thinking…');
}

/**
 * @param {State} state
 * @param {import('./problems.js').Problem | null} problem
 */
function end(state, problem) {
  session?.stop();
  session = null;
  transcript.endSession();
  showState(state);
  report(problem);
}

/** @param {{name: string, turn: number, value: any}} event */
function show({ name, turn, value }) {
  lastFailure = name === 'turnFailed' ? value : null;
  switch (name) {
    case 'sessionStarted':
      storeSession({ name: value.sessionId, resumeToken: value.resumeToken ?? '' });
      break;
    case 'speechStarted':
      showPhase('Listening…');
      break;
    case 'partial':
      transcript.partial(value.text ?? '');
      break;
    case 'final':
      transcript.partial('');
      transcript.userSaid(turn, value.text ?? '', value.language ?? '');
      break;
    case 'turnEnded':
      transcript.thinking(true);
      showPhase('Thinking…');
      break;
    case 'userEmotion':
      transcript.userFeels(turn, value);
      break;
    case 'replySentence':
      transcript.thinking(false);
      transcript.oviyaSays(turn, value);
      places.replyMeter.canvas.dataset.style = value.plan?.style ?? 'neutral';
      showPhase('Speaking…');
      break;
    case 'replyEnded':
      transcript.thinking(false);
      transcript.replyEnded(turn, value);
      showListening();
      break;
    case 'degraded':
      if (!isShown(readiness, value)) transcript.note(degradedLine(value));
      break;
    case 'turnFailed':
      if (value.type === 'PermissionDenied') forgetSession(); // the session belongs to another caller: start a new one
      transcript.partial('');
      transcript.thinking(false);
      transcript.note(turnFailure(value), 'failure');
      showListening();
      break;
  }
}

/** @param {boolean} muted */
function setMuted(muted) {
  mute.setAttribute('aria-pressed', String(muted));
  session?.mute(muted);
}

start.addEventListener('click', () => void begin(true));
stop.addEventListener('click', () => end('idle', null));
mute.addEventListener('click', () => {
  setMuted(mute.getAttribute('aria-pressed') !== 'true');
  showListening();
});
byId('composer').addEventListener('submit', (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  const text = message.value.trim();
  if (!text || !readiness?.ready) return;
  message.value = '';
  if (byId('connection').dataset.state === 'live') {
    send(text);
    return;
  }
  waitingText = text;
  if (!session) void begin(false);
});
window.addEventListener('pagehide', () => session?.stop());

showState('idle');
void followReadiness((latest) => {
  readiness = latest;
  const blocked = String(!readiness?.ready && !session);
  for (const button of [start, byId('send')]) button.setAttribute('aria-disabled', blocked);
  showReadiness(byId('readiness'), waitingFor(readiness), degradedModes(readiness));
  byId('voice').textContent = voiceLine(readiness);
});
