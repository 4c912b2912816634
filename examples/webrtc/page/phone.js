// The page of the phone: shows what the line tells, and passes on what is clicked.

import { Line } from './line.js';
import { watch } from './meters.js';
import { Ringer } from './ringer.js';

const part = (id) => document.getElementById(id);
const line = new Line();
const ringer = new Ringer();
const call = { state: 'none', since: 0, muted: false, stopWatching: () => {} };
const kept = 50;

function happened(text) {
  const item = document.createElement('li');
  const time = document.createElement('time');
  time.textContent = new Date().toLocaleTimeString([], { hour12: false });
  item.append(time, text);
  part('events').prepend(item);
  while (part('events').children.length > kept) part('events').lastChild.remove();
}

function notice(text, page) {
  const place = part('notice');
  place.hidden = !text;
  place.textContent = text ?? '';
  if (page) {
    const link = Object.assign(document.createElement('a'), { href: page, target: '_blank', rel: 'noopener', textContent: 'Look at its certificate' });
    place.append(' ', link, '.');
  }
}

line.addEventListener('line', ({ detail }) => {
  const pill = part('line');
  if (pill.textContent !== detail.text || detail.hint) happened(detail.hint ?? (detail.state === 'on' ? `Registered as ${detail.text}` : detail.text));
  pill.dataset.state = detail.state;
  pill.textContent = detail.text;
  if (detail.hint) notice(detail.hint, detail.page);
  else if (detail.state !== 'busy') notice(null);
  part('unregister').disabled = detail.state === 'off';
  showButtons();
});

line.addEventListener('happened', ({ detail }) => happened(detail));

line.addEventListener('call', ({ detail: { state, peer, text } }) => {
  const before = call.state;
  if (['calling', 'incoming'].includes(state)) reset();
  if (state === 'up' && !call.since) call.since = Date.now();
  call.state = state;
  part('call').hidden = false;
  part('call').dataset.state = state;
  part('peer').textContent = peer;
  part('state').textContent = text;
  document.title = { incoming: `☎ ${peer}`, ended: 'Phone' }[state] ?? `${peer} – Phone`;
  happened(`${peer}: ${text}`);
  if (state === 'incoming') ringer.start();
  else ringer.stop();
  if (state === 'ended') {
    call.stopWatching();
    part('media').hidden = !call.since;
    part('level-out').value = part('level-in').value = 0;
    part('voice').srcObject = null;
    showClock();
    call.since = 0;
  }
  showButtons();
  moveFocus(before);
});

// The counters of a call begin anew with the next one.
function reset() {
  Object.assign(call, { since: 0, muted: false });
  part('media').hidden = true;
  part('answer').disabled = false;
  showClock();
  for (const id of ['sent', 'received', 'lost']) part(id).textContent = '0';
}

line.addEventListener('connection', ({ detail: connection }) => {
  connection.addEventListener('track', ({ streams, track }) => {
    part('voice').srcObject = streams[0] ?? new MediaStream([track]);
  });
  call.stopWatching();
  call.stopWatching = watch(connection, showMedia);
});

function showMedia(now) {
  part('media').hidden = false;
  part('sent').textContent = now.sent;
  part('received').textContent = now.received;
  part('lost').textContent = now.lost;
  part('lost-there').textContent = now.lostThere ?? '–';
  part('level-out').value = now.levelOut;
  part('level-in').value = now.levelIn;
  // For who watches the page by a program: all sound since the call began.
  Object.assign(part('media').dataset, { energyOut: now.energyOut, energyIn: now.energyIn });
  const path = now.isSecure ? `${now.codec} over DTLS-SRTP with ${now.path}` : 'Connecting audio …';
  part('path').textContent = now.state === 'failed' ? 'No way for the audio was found' : path;
}

function showButtons() {
  const { state, muted } = call;
  const isUp = ['up', 'held', 'held-there'].includes(state);
  part('answer').hidden = part('decline').hidden = state !== 'incoming';
  part('mute').hidden = part('hold').hidden = !isUp;
  part('hangup').hidden = !(isUp || ['calling', 'ringing', 'connecting'].includes(state));
  part('mute').classList.toggle('on', muted);
  part('mute').textContent = muted ? 'Unmute' : 'Mute';
  part('hold').classList.toggle('on', state === 'held');
  part('hold').textContent = state === 'held' ? 'Resume' : 'Hold';
  part('dial').hidden = line.isBusy;
  for (const button of part('dial').querySelectorAll('button')) button.disabled = part('line').dataset.state !== 'on';
}

// To what is wanted next, unless somebody is writing.
function moveFocus(before) {
  if (document.activeElement?.matches('input') && !part('dial').hidden) return;
  if (call.state === 'incoming') part('answer').focus();
  else if (call.state === 'ended' && before !== 'none') part('target').focus();
  else if (['none', 'ended', 'incoming'].includes(before)) part('hangup').focus();
}

function showClock() {
  const seconds = call.since ? Math.floor((Date.now() - call.since) / 1000) : 0;
  part('clock').hidden = !call.since;
  part('clock').textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

setInterval(() => call.since && showClock(), 500);

part('answer').addEventListener('click', () => {
  line.answer();
  // The call is up when the browser has the microphone and the other side knows.
  ringer.stop();
  part('answer').disabled = true;
});
part('decline').addEventListener('click', () => line.hangUp());
part('hangup').addEventListener('click', () => line.hangUp());
part('hold').addEventListener('click', () => line.hold(call.state !== 'held') || happened('Not yet: the last change is still under way'));
part('mute').addEventListener('click', () => {
  call.muted = !call.muted;
  line.mute(call.muted);
  showButtons();
});

part('dial').addEventListener('submit', (event) => {
  event.preventDefault();
  line.call(part('target').value.trim());
});

part('settings').addEventListener('submit', (event) => {
  event.preventDefault();
  line.register(Object.fromEntries(new FormData(event.target)));
});
part('unregister').addEventListener('click', () => line.unregister());

part('ring').addEventListener('click', async () => {
  const answer = await fetch('ring', { method: 'POST' });
  happened(answer.ok ? 'The telephone has been asked to call' : `The telephone cannot call: ${await answer.text()}`);
});

window.addEventListener('pagehide', () => line.unregister());

// What the server suggests; HOST stands for the host that this page came from, whose certificate the browser knows.
const suggested = await (await fetch('settings.json')).json();
part('uri').value = suggested.uri;
part('password').value = suggested.password ?? '';
part('server').value = suggested.server.replace('HOST', location.hostname);
part('target').value = suggested.target ?? '';
part('ring').hidden = !suggested.ring;
part('settings').requestSubmit();
