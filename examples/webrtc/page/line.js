// A telephone line over JsSIP: a registration and one call at a time, told as events. It knows nothing of the page.
//
//   "line"      { state: off | busy | on | failed, text, hint }
//   "call"      { state: calling | ringing | incoming | up | held | held-there | ended, peer, text }
//   "happened"  a sentence for the record

const audioOnly = { mediaConstraints: { audio: true, video: false }, pcConfig: { iceServers: [] } };
const tryAgain = 15_000;

export class Line extends EventTarget {
  #agent = null;
  #session = null;
  #retry = 0;
  #settings = null;

  // The connection of the call, while there is one.
  get connection() {
    return this.#session?.connection ?? null;
  }

  get isBusy() {
    return this.#session !== null;
  }

  register(settings) {
    this.#leave();
    this.#settings = settings;
    let agent;
    try {
      const sockets = [new JsSIP.WebSocketInterface(settings.server)];
      agent = new JsSIP.UA({ sockets, uri: settings.uri, password: settings.password, register: true, session_timers: false });
    } catch (error) {
      this.#tell('line', { state: 'failed', text: 'Wrong account', hint: error.message });
      return;
    }
    this.#agent = agent;
    // What a former agent still says is of no interest.
    const on = (event, act) => agent.on(event, (detail) => agent === this.#agent && act(detail));
    on('connecting', () => this.#tell('line', { state: 'busy', text: 'Connecting …' }));
    on('connected', () => this.#tell('line', { state: 'busy', text: 'Registering …' }));
    on('disconnected', () => this.#disconnected());
    on('registered', () => this.#tell('line', { state: 'on', text: this.#user() }));
    on('unregistered', () => this.#tell('line', { state: 'off', text: 'Not registered' }));
    on('registrationFailed', (end) => this.#refused(end));
    on('newRTCSession', ({ originator, session }) => this.#begun(originator, session));
    this.#tell('line', { state: 'busy', text: 'Connecting …' });
    agent.start();
  }

  unregister() {
    this.#leave();
    this.#tell('line', { state: 'off', text: 'Not registered' });
  }

  call(target) {
    try {
      if (!this.#agent) throw new Error('register first');
      this.#agent.call(target, audioOnly);
    } catch (error) {
      this.#tell('call', { state: 'ended', peer: target, text: `That cannot be called: ${error.message}` });
    }
  }

  answer() {
    this.#session?.answer(audioOnly);
  }

  hangUp() {
    if (this.#session && !this.#session.isEnded()) this.#session.terminate();
  }

  // Whether it could be asked for: while the last change is not through, it cannot.
  hold(wanted) {
    return wanted ? this.#session?.hold() : this.#session?.unhold();
  }

  mute(wanted) {
    if (wanted) this.#session?.mute({ audio: true });
    else this.#session?.unmute({ audio: true });
  }

  #leave() {
    clearTimeout(this.#retry);
    this.#agent?.stop();
    this.#agent = null;
  }

  #user() {
    return this.#settings.uri.replace(/^sips?:/, '');
  }

  #tell(event, detail) {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }

  #disconnected() {
    const page = this.#settings.server.replace(/^ws/, 'http');
    this.#tell('line', { state: 'failed', text: 'No connection', hint: 'The server cannot be reached, or your browser does not trust its certificate.', page });
  }

  #refused({ response, cause }) {
    const status = response?.status_code;
    const wrong = [401, 403, 404, 407].includes(status);
    const why = wrong ? 'The address or the password is wrong' : 'The telephone system does not answer';
    const detail = status ? `${status} ${response.reason_phrase}` : cause;
    this.#tell('line', { state: 'failed', text: 'Not registered', hint: `${why} (${detail}).${wrong ? '' : ' Trying again.'}` });
    clearTimeout(this.#retry);
    if (!wrong) this.#retry = setTimeout(() => this.#agent?.isConnected() && this.#agent.register(), tryAgain);
  }

  #begun(originator, session) {
    if (this.#session) {
      session.terminate({ status_code: 486, reason_phrase: 'Busy Here' });
      this.#tell('happened', `${name(session)} called, and heard that the line is busy`);
      return;
    }
    this.#session = session;
    const peer = name(session);
    const tell = (state, text) => this.#tell('call', { state, peer, text });
    const settled = () => {
      const hold = session.isOnHold();
      if (hold.local) tell('held', 'On hold');
      else if (hold.remote) tell('held-there', 'Held by the other side');
      else tell('up', 'In call');
    };
    const over = (text) => {
      this.#session = null;
      tell('ended', text);
    };
    session.on('peerconnection', ({ peerconnection }) => this.#tell('connection', peerconnection));
    session.on('progress', () => originator === 'local' && tell('ringing', 'Ringing …'));
    session.on('confirmed', settled);
    session.on('hold', settled);
    session.on('unhold', settled);
    session.on('failed', (end) => over(failure(end)));
    session.on('ended', (end) => over(end.originator === 'remote' ? 'The other side hung up' : 'Call ended'));
    if (originator === 'local') tell('calling', 'Calling …');
    else tell('incoming', 'Incoming call');
    if (session.connection) this.#tell('connection', session.connection);
  }
}

function name(session) {
  const { display_name: shown, uri } = session.remote_identity;
  return shown || uri.user || uri.host;
}

const reasons = {
  404: 'Nobody is there',
  408: 'No answer',
  480: 'Not available',
  486: 'Busy',
  488: 'The two have no kind of audio in common',
  503: 'Not available now',
  603: 'Declined',
};

function failure({ originator, cause, message }) {
  const status = message?.status_code;
  if (cause === JsSIP.C.causes.CANCELED) return originator === 'remote' ? 'Missed call' : 'Call cancelled';
  if (cause === JsSIP.C.causes.USER_DENIED_MEDIA_ACCESS) return 'The browser may not use the microphone';
  if (originator === 'local' && cause === JsSIP.C.causes.REJECTED) return 'Declined';
  return status ? `${reasons[status] ?? message.reason_phrase} (${status})` : cause;
}
