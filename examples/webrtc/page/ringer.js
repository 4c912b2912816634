// The bell: two tones, a second long, every four. Where the browser lets no page make a sound unasked, it stays silent.

const tones = [425, 480];

export class Ringer {
  #context = null;
  #timer = 0;

  start() {
    this.stop();
    this.#context = new AudioContext();
    this.#ring();
    this.#timer = setInterval(() => this.#ring(), 4000);
  }

  stop() {
    clearInterval(this.#timer);
    this.#context?.close();
    this.#context = null;
  }

  #ring() {
    const { currentTime: now, destination } = this.#context;
    const volume = new GainNode(this.#context, { gain: 0 });
    volume.gain.setTargetAtTime(0.08, now, 0.02);
    volume.gain.setTargetAtTime(0, now + 1, 0.05);
    volume.connect(destination);
    for (const frequency of tones) {
      const tone = new OscillatorNode(this.#context, { frequency });
      tone.connect(volume);
      tone.start(now);
      tone.stop(now + 1.5);
    }
  }
}
