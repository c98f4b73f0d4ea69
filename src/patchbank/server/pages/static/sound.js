/** Two falling tones, if somebody has asked for them. */

/** @type {AudioContext | null} */
let context = null;

/** Let the browser permit sound; it does so after a touch or a key. */
export async function permit() {
  context ??= new AudioContext();
  if (context.state === "suspended") await context.resume();
}

export function isPermitted() {
  return context?.state === "running";
}

export function play() {
  if (!context || context.state !== "running") return;
  const now = context.currentTime;
  for (const [start, pitch] of [[0, 880], [0.22, 587]]) {
    const tone = context.createOscillator();
    const loudness = context.createGain();
    tone.frequency.value = pitch;
    loudness.gain.setValueAtTime(0.0001, now + start);
    loudness.gain.exponentialRampToValueAtTime(0.4, now + start + 0.02);
    loudness.gain.exponentialRampToValueAtTime(0.0001, now + start + 0.2);
    tone.connect(loudness).connect(context.destination);
    tone.start(now + start);
    tone.stop(now + start + 0.21);
  }
}
