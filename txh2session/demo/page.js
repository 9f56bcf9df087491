// What the page shows and does.  /live tells about the session, a line of JSON twice a second; the rest are three requests
// that a reader can make, and see there.

'use strict';

const $ = (id) => document.getElementById(id);
const SAMPLES = 120;

// Numbers

const whole = new Intl.NumberFormat();

function bytes(number) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (Math.abs(number) >= 1024 && unit < units.length - 1) { number /= 1024; unit += 1; }
  return `${unit && Math.abs(number) < 100 ? number.toFixed(1) : Math.round(number)} ${units[unit]}`;
}

function seconds(number) {
  if (number === null || number === undefined) return '–';
  if (number < 0.001) return `${Math.round(number * 1e6)} µs`;
  if (number < 1) return `${(number * 1000).toFixed(number < 0.1 ? 2 : 0)} ms`;
  if (number < 120) return `${number.toFixed(1)} s`;
  return `${Math.floor(number / 60)} min ${Math.floor(number % 60)} s`;
}

// Plots

function draw(id, series, scale, format) {
  const largest = Math.max(...series.flat(), 0);
  const paths = $(id).querySelectorAll('path');
  series.forEach((values, index) => {
    const points = values.map((value, at) => {
      const x = 300 - (values.length - 1 - at) * (300 / (SAMPLES - 1));
      const y = 76 - (largest ? value / largest : 0) * 70;
      return `${x.toFixed(1)} ${y.toFixed(1)}`;
    });
    paths[index].setAttribute('d', points.length ? `M${points.join('L')}` : '');
  });
  const label = series.flat().length ? `at most ${format(largest)}` : '';
  $(scale).textContent = label;
  $(id).setAttribute('aria-label', `${$(id).dataset.label} ${label}`);
}

function keep(values, value) {
  values.push(value);
  if (values.length > SAMPLES) values.shift();
}

// The session

const history = { rtt: [], read: [], written: [], last: null };

function rows(id, lines) {
  $(id).replaceChildren(...lines.map((cells) => {
    const row = document.createElement('tr');
    cells.forEach(({ text, number, code }) => {
      const cell = row.insertCell();
      if (number) cell.className = 'number';
      const holder = code ? cell.appendChild(document.createElement('code')) : cell;
      holder.textContent = text;
    });
    return row;
  }));
}

const text = (value) => ({ text: String(value) });
const number = (value) => ({ text: value, number: true });

function show(facts) {
  const { state, statistics } = facts;
  const texts = {
    'rtt': seconds(state.roundTripTime),
    'open': whole.format(state.remoteStreams),
    'streams': whole.format(statistics.streamCount),
    'read': bytes(statistics.bytesRead),
    'written': bytes(statistics.bytesWritten),
    'frames': `${whole.format(statistics.framesReceived)}, ${whole.format(statistics.framesSent)}`,
    'local-window': bytes(state.localWindow),
    'remote-window': bytes(state.remoteWindow),
    'tables': `${bytes(state.decoderTable)}, ${bytes(state.encoderTable)}`,
    'queues': `${bytes(state.queuedBytes)}, ${bytes(state.unreadBytes)}`,
    'budgets': `${whole.format(state.resetsSpent)}, ${whole.format(state.controlFramesSpent)}`,
    'age': seconds(statistics.duration),
  };
  for (const [id, value] of Object.entries(texts)) $(id).textContent = value;

  const last = history.last;
  history.last = statistics;
  if (state.roundTripTime !== null) keep(history.rtt, state.roundTripTime);
  if (last !== null && statistics.duration > last.duration) {
    const passed = statistics.duration - last.duration;
    keep(history.read, (statistics.bytesRead - last.bytesRead) / passed);
    keep(history.written, (statistics.bytesWritten - last.bytesWritten) / passed);
  }
  draw('rtt-plot', [history.rtt], 'rtt-scale', seconds);
  draw('rate-plot', [history.read, history.written], 'rate-scale', (value) => `${bytes(value)}/s`);

  rows('stream-rows', facts.streams.map((stream) => [
    text(stream.id),
    { text: `${stream.protocol || stream.method} ${stream.path}`, code: true },
    text(stream.receiving),
    text(stream.sending),
    number(bytes(stream.bytesRead)),
    number(bytes(stream.bytesWritten)),
    number(stream.remoteWindow === null ? '–' : bytes(stream.remoteWindow)),
    number(seconds(stream.duration)),
  ]));
  const names = Object.keys(facts.localSettings).filter((name) => name !== 'customSettings');
  const setting = (value) => number(typeof value === 'number' ? whole.format(value) : String(value));
  rows('setting-rows', names.map((name) => [
    { text: name, code: true }, setting(facts.localSettings[name]), setting(facts.remoteSettings[name]),
  ]));

  // A browser may have opened another session since the page was loaded.
  const same = facts.peer === $('peer').textContent;
  status(same ? 'live' : 'live, but of another session', 'live');
}

function status(words, kind) {
  if ($('status').textContent !== words) $('status').textContent = words;
  $('status').className = `pill ${kind}`;
}

// Call back with each whole line of an answer.
async function readLines(response, taken) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    lines.forEach(taken);
  }
}

async function watch() {
  $('watch').hidden = true;
  status('connecting', '');
  history.last = null;
  try {
    const response = await fetch('/live', { cache: 'no-store' });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    await readLines(response, (line) => show(JSON.parse(line)));
    status('ended', 'ended');
  } catch (error) {
    status('lost', 'ended');
  }
  $('watch').hidden = false;
}

// What a reader can do

function result(id, words, kind) {
  $(id).textContent = words;
  $(id).className = `result ${kind || ''}`;
}

function say(id, line) {
  $(id).textContent += line;
  $(id).scrollTop = $(id).scrollHeight;
}

async function drip() {
  const started = performance.now();
  let chunks = 0;
  $('drip').disabled = true;
  $('drip-output').textContent = '';
  result('drip-result', '');
  try {
    const response = await fetch('/drip/8', { cache: 'no-store' });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      chunks += 1;
      say('drip-output', value);
    }
    result('drip-result', `${chunks} chunks in ${seconds((performance.now() - started) / 1000)}`, 'good');
  } catch (error) {
    result('drip-result', String(error), 'bad');
  }
  $('drip').disabled = false;
}

function upload() {
  const size = Number($('size').value);
  const started = performance.now();
  const request = new XMLHttpRequest(); // fetch() does not tell of progress
  let steps = 0;
  $('upload').disabled = true;
  $('upload-progress').value = 0;
  result('upload-result', '');
  request.upload.onprogress = (event) => {
    steps += 1;
    $('upload-progress').value = event.loaded / size;
    result('upload-result', `${bytes(event.loaded)} of ${bytes(size)}`);
  };
  request.onload = () => {
    const passed = (performance.now() - started) / 1000;
    const whole = request.status === 200 && Number(request.responseText) === size;
    const words = `${bytes(size)} in ${seconds(passed)}, ${bytes(size / passed)}/s, ${steps} steps`;
    result('upload-result', whole ? words : `the server answered ${request.status} ${request.responseText}`, whole ? 'good' : 'bad');
  };
  request.onerror = () => result('upload-result', 'the upload failed', 'bad');
  request.onloadend = () => { $('upload').disabled = false; };
  request.open('POST', '/discard');
  request.send(new Blob([new Uint8Array(size)]));
}

let socket = null;

// Give the socket, opened if need be.
function opened() {
  if (socket !== null) return Promise.resolve(socket);
  return new Promise((resolve, reject) => {
    const fresh = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`);
    fresh.onopen = () => {
      socket = fresh;
      $('close').disabled = false;
      result('socket-result', 'open', 'good');
      resolve(fresh);
    };
    fresh.onmessage = (event) => say('socket-output', `< ${event.data}\n`);
    fresh.onclose = (event) => {
      const kind = event.wasClean ? 'good' : 'bad';
      socket = null;
      $('close').disabled = true;
      result('socket-result', `closed with ${event.code}${event.wasClean ? '' : ', not in order'}`, kind);
      reject(new Error('it did not open'));
    };
  });
}

async function send(event) {
  event.preventDefault();
  const message = $('message').value;
  try {
    (await opened()).send(message);
    say('socket-output', `> ${message}\n`);
  } catch (error) {
    result('socket-result', `${error.message}: is the server's extra "websocket" installed?`, 'bad');
  }
}

for (const plot of document.querySelectorAll('svg')) plot.dataset.label = plot.getAttribute('aria-label');
$('watch').addEventListener('click', watch);
$('drip').addEventListener('click', drip);
$('upload').addEventListener('click', upload);
$('socket').addEventListener('submit', send);
$('close').addEventListener('click', () => socket && socket.close(1000, 'the reader closed it'));
watch();
