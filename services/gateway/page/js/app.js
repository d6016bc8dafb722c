// Starts and ends sessions, and connects the controls, the transcript and the notices with them.

import { byId } from './dom.js';
import { fetchConfig } from './gateway.js';
import { forgetSession, storeSession } from './memory.js';
import { Meter } from './meter.js';
import { showProblem, showReadiness } from './notices.js';
import { Pictures } from './pictures/panel.js';
import { endOf, problemOf, PROBLEMS, failureText } from './problems.js';
import { degradedLine, degradedModes, followReadiness, isShown, voiceLine, waitingFor } from './readiness.js';
import { ConversationRecord } from './record.js';
import { Session } from './session.js';
import { Settings } from './settings.js';
import { showActivity, showConnection, showPhase } from './status_line.js';
import { Talk } from './talk.js';
import { TalkControls } from './talk_controls.js';
import { askForToken, storedToken } from './token.js';
import { Transcript } from './transcript.js';

const start = byId('start');
const stop = byId('stop');
const message = byId('message');

const transcript = new Transcript({
  scroller: byId('conversation'),
  welcome: byId('welcome'),
  list: byId('transcript'),
  partial: byId('partial'),
  thinking: byId('thinking'),
});
const record = new ConversationRecord();
const pictures = new Pictures(byId('pictures'));
const places = {
  userMeter: new Meter(byId('user-meter'), 'right'),
  replyMeter: new Meter(byId('reply-meter'), 'left'),
  player: byId('reply-audio'),
};

/** @type {Session | null} */
let session = null;
let talk = new Talk(transcript, record);
/** The sound of the running session, or of the last one. @type {import('./sound_recorder.js').SoundRecorder | null} */
let recorder = null;
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
/** @type {import('./status_line.js').State} */
let state = 'idle';

const controls = new TalkControls({
  silence: (silent) => session?.mute(silent),
  endTurn: () => session?.send({ endTurn: {} }),
  stopReply: () => session?.send({ interrupt: {} }),
  changed: () => refresh(),
});
const settings = new Settings({
  useMicrophone: async (device) => {
    if (session?.hasMicrophone) await session.useMicrophone(device);
  },
  talkModeChanged: () => showState(state),
  recordingClip: (on) => controls.suspend(on),
  send: (request) => session?.send(request),
  record,
  recorder: () => recorder,
});

/** @param {import('./status_line.js').State} latest */
function showState(latest) {
  state = latest;
  showConnection(state);
  const running = session !== null;
  const focusMoves = document.activeElement === (running ? start : stop);
  start.hidden = running;
  stop.hidden = !running;
  controls.show({ microphone: state !== 'connecting' && (session?.hasMicrophone ?? false), running });
  if (focusMoves) (running ? stop : start).focus();
  controls.takeFocusFrom(stop);
  if (!running) showPhase(state === 'lost' ? 'Not connected.' : 'Your microphone is used only while you talk with Oviya.');
  document.body.dataset.running = String(running);
}

/** Shows what the conversation does now. */
function refresh() {
  if (!session || state === 'connecting') return;
  showActivity(talk.phase.activity, { microphone: session.hasMicrophone, muted: controls.muted });
  controls.allowStop(talk.phase.replying);
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
  talk = new Talk(transcript, record);
  ({ recorder } = current);
  pictures.reset();
  controls.reset();
  current.addEventListener('open', () => opened());
  current.addEventListener('event', (event) => show(/** @type {CustomEvent} */ (event).detail));
  current.addEventListener('sound', () => pictures.streams({ user: current.microphone, reply: current.reply }));
  current.addEventListener('unstable', () => showState('unstable'));
  current.addEventListener('stable', () => showState('live'));
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
  settings.sessionOpened();
  if (waitingText) send(waitingText);
  waitingText = '';
}

/** @param {string} text */
function send(text) {
  if (talk.phase.aloud) session?.send({ interrupt: {} }); // what is typed now is answered now
  session?.send({ text });
  talk.sent(text);
  refresh();
}

/**
 * @param {'idle' | 'lost'} how
 * @param {import('./problems.js').Problem | null} problem
 */
function end(how, problem) {
  session?.stop();
  session = null;
  pictures.streams({});
  transcript.endSession();
  showState(how);
  report(problem);
}

/** @param {import('./wire.js').ConversationEvent} event */
function show(event) {
  const { name, value } = event;
  talk.take(event);
  pictures.event(event);
  settings.voices.take(event);
  lastFailure = name === 'turnFailed' ? value : null;
  switch (name) {
    case 'sessionStarted':
      storeSession({ name: value.sessionId, resumeToken: value.resumeToken ?? '' });
      break;
    case 'replySentence':
      places.replyMeter.canvas.dataset.style = value.plan?.style ?? 'neutral';
      break;
    case 'degraded':
      if (!isShown(readiness, value)) transcript.note(degradedLine(value));
      break;
    case 'turnFailed':
      if (value.type === 'PermissionDenied') forgetSession(); // the session belongs to another caller: start a new one
      transcript.note(failureText(value), 'failure');
      break;
    case 'voiceSet':
      transcript.note(`The next replies are spoken by ${settings.voices.name}.`);
      break;
    case 'requestFailed':
      if (value.type === 'NoReply') break; // it ended just before it could be stopped
      transcript.note(failureText(value), 'failure');
      break;
  }
  refresh();
}

start.addEventListener('click', () => void begin(true));
stop.addEventListener('click', () => end('idle', null));
byId('composer').addEventListener('submit', (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  const text = message.value.trim();
  if (!text || !readiness?.ready) return;
  message.value = '';
  if (state === 'live') {
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
  pictures.readiness(readiness);
  const blocked = String(!readiness?.ready && !session);
  for (const button of [start, byId('send')]) button.setAttribute('aria-disabled', blocked);
  showReadiness(byId('readiness'), waitingFor(readiness), degradedModes(readiness));
  byId('voice').textContent = voiceLine(readiness);
});
