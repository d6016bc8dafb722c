// What is heard in the user's speech and what the reply is spoken with: the map and its words.

import { make } from '../dom.js';
import { readableEmotion } from '../wire.js';
import { EmotionMap } from './emotion-map.js';
import { percent, signed } from './svg.js';

const TIMEOUT_MS = 10_000;

/**
 * The judgement of words or voice alone, and of both (oviya.v1.Evidence, oviya.v1.DetectResponse).
 * @typedef {{labels?: {label: string, score?: number}[], valence?: number, arousal?: number, confidence?: number,
 *   notes?: string[]}} Evidence
 * @typedef {{emotions: {emotion: string, score?: number}[], valence?: number, arousal?: number, confidence?: number,
 *   intensity?: number, tone?: {reason?: string}, text?: Evidence, voice?: Evidence}} Feeling
 * @typedef {{emotion: string, style?: string, pitchScale?: number, rateScale?: number, energyScale?: number}} Plan
 */

export class Feelings {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.map = new EmotionMap(place);
    this.list = make('dl', { className: 'feelings' });
    place.append(this.list);
    /** @type {Feeling | null} */
    this.feeling = null;
    /** @type {Plan | null} */
    this.plan = null;
    this.loaded = false;
    this.#describe();
    void this.load();
  }

  /** Reads the places of the emotions, once; called again, it tries again after a failure. */
  async load() {
    if (this.loaded) return;
    this.loaded = true;
    try {
      const response = await fetch('emotions.json', { signal: AbortSignal.timeout(TIMEOUT_MS) });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      this.map.setEmotions((await response.json()).emotions);
      this.#show();
    } catch {
      this.loaded = false;
      this.map.details.textContent = 'The emotions could not be loaded. This page tries again.';
    }
  }

  /** Forgets what was heard and spoken. */
  reset() {
    this.feeling = null;
    this.plan = null;
    this.#show();
  }

  /** @param {Feeling} feeling of the user */
  heard(feeling) {
    this.feeling = feeling;
    this.#show();
  }

  /** @param {Plan} plan of the sentence that is spoken */
  spoken(plan) {
    this.plan = plan;
    this.#show();
  }

  #show() {
    const { feeling, plan, map } = this;
    const best = feeling?.emotions[0]?.emotion;
    map.rank(feeling?.emotions ?? []);
    map.select([best, plan?.emotion]);
    map.show('heard', feeling ?? undefined, best ? `heard: ${readableEmotion(best)}` : '');
    map.show('words', feeling?.text, '');
    map.show('voice', feeling?.voice, '');
    map.show('spoken', plan ? map.find(plan.emotion) : undefined, plan ? `spoken: ${readableEmotion(plan.emotion)}` : '');
    const evidence = [feeling?.text, feeling?.voice].filter((side) => side !== undefined);
    map.link(evidence, feeling ?? {});
    this.#describe();
  }

  #describe() {
    const { feeling, plan } = this;
    /** @type {[string, string, string][]} */
    const rows = [
      ['heard', '● Heard', feeling ? describeFeeling(feeling) : 'nothing yet'],
      ...(feeling?.text ? /** @type {[string, string, string][]} */ ([['words', '■ Words', describeEvidence(feeling.text)]]) : []),
      ...(feeling?.voice ? /** @type {[string, string, string][]} */ ([['voice', '▲ Voice', describeEvidence(feeling.voice)]]) : []),
      ['spoken', '◆ Spoken', plan ? describePlan(plan) : 'nothing yet'],
    ];
    this.list.replaceChildren(...rows.flatMap(([kind, term, words]) => [
      make('dt', { data: { kind } }, term), make('dd', {}, words),
    ]));
  }
}

/** @param {{valence?: number, arousal?: number, confidence?: number}} judged */
function where({ valence, arousal, confidence }) {
  return `valence ${signed(valence)}, arousal ${signed(arousal)}, confidence ${percent(confidence)}`;
}

/** @param {Feeling} feeling */
function describeFeeling({ emotions, tone, ...judged }) {
  const candidates = emotions.map(({ emotion, score }) => `${readableEmotion(emotion)} ${percent(score)}`).join(', ');
  const reason = tone?.reason ? ` Answer: ${tone.reason}.` : '';
  return `${candidates}; ${where(judged)}.${reason}`;
}

/** @param {Evidence} evidence */
function describeEvidence({ labels = [], notes = [], ...judged }) {
  const named = labels.map(({ label, score }) => `${label} ${percent(score)}`).join(', ');
  return `${[named, where(judged), ...notes].filter(Boolean).join('; ')}.`;
}

/** @param {Plan} plan */
function describePlan({ emotion, style, pitchScale, rateScale, energyScale }) {
  const scales = Object.entries({ pitch: pitchScale, rate: rateScale, amplitude: energyScale })
    .filter(([, scale]) => scale !== undefined)
    .map(([name, scale]) => `${name} ×${Number(scale).toFixed(2)}`);
  return `${[`${readableEmotion(emotion)}, style ${style || 'neutral'}`, ...scales].join('; ')}.`;
}
