// What one side of a scenario does and sees, in Node: the same as here.py.

'use strict';

const http2 = require('http2');

const MARKER = 'epilogue';
const POKE = 'pokepoke';
const say = (facts) => process.stdout.write(JSON.stringify(facts) + '\n');
const NAMES = ['NO_ERROR', 'PROTOCOL_ERROR', 'INTERNAL_ERROR', 'FLOW_CONTROL_ERROR', 'SETTINGS_TIMEOUT', 'STREAM_CLOSED',
  'FRAME_SIZE_ERROR', 'REFUSED_STREAM', 'CANCEL', 'COMPRESSION_ERROR', 'CONNECT_ERROR', 'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY', 'HTTP_1_1_REQUIRED'];

// Say of an error whose it is, and its code: "own" for one the scenario made.
function naming(error) {
  const kinds = { ERR_HTTP2_STREAM_ERROR: 'stream', ERR_HTTP2_SESSION_ERROR: 'session' };
  if (error.message === 'own') return 'own';
  if (!(error.code in kinds)) return String(error.code);
  const name = error.message.split(' ').pop().replace('NGHTTP2_', '');
  return [kinds[error.code], NAMES.includes(name) ? http2.constants[`NGHTTP2_${name}`] : Number(name)];
}

// What one side of one run does and sees.
class Side {
  constructor(run, scenario, role) {
    this.run = run;
    this.scenario = scenario;
    this.role = role;
    this.streams = [];
    this.open = new Set();
    this.session = undefined;
    this.sees = { events: [], error: null };
    this.acting = 0;
    this.expected = role === 'server' ? scenario.streams ?? 1 : 0;
    this.pokes = 0;
    this.waiting = [];
  }

  fail(error) { say({ run: this.run, event: 'failed', message: String(error && error.stack) }); }

  act(promise) {
    this.acting += 1;
    Promise.resolve(promise).then(() => { this.acting -= 1; this.look(); }, (error) => this.fail(error));
  }

  look() {
    if (!this.acting && !this.open.size && this.expected <= 0 && !this.said) {
      this.said = true;
      say({ run: this.run, event: 'finished' });
    }
  }

  watchSession(session) {
    this.session = session;
    session.on('error', (error) => { this.sees.error = naming(error); });
    session.on('goaway', (code, last, data) => {
      this.sees.events.push(['goaway', code, last, data ? data.toString() : '']);
      this.wake();
    });
    session.on('altsvc', (value, origin, id) => this.sees.events.push(['altsvc', value, origin, id]));
    session.on('origin', (origins) => this.sees.events.push(['origin', ...origins]));
    session.on('ping', (payload) => {
      const text = payload.toString();
      if (text === POKE) {
        this.pokes += 1;
        this.wake();
        if (this.scenario.onPoke) this.scenario.onPoke(this);
      } else if (text === 'abcdefgh') this.sees.events.push(['ping', text]);
    });
    session.on('close', () => say({ run: this.run, event: 'closed', sees: this.report() }));
    session.on('close', () => { this.over = true; this.wake(); });
  }

  // Wait for a condition that events may make true.
  until(condition) {
    return new Promise((resolve) => { this.waiting.push([condition, resolve]); this.wake(); });
  }

  wake() {
    this.waiting = this.waiting.filter(([condition, resolve]) => {
      if (!condition()) return true;
      resolve();
      return false;
    });
  }

  ping(payload = POKE) {
    return new Promise((resolve, reject) => {
      this.session.ping(Buffer.from(payload), (error) => (error ? reject(error) : resolve()));
    });
  }

  poked() { return this.until(() => this.pokes > 0); }

  note(stream, text) { stream.sight.notes.push(text); }

  watch(stream, { read = true } = {}) {
    const sight = { notes: [], information: [], length: 0, read, code: null, aborted: false, error: null };
    stream.sight = sight;
    this.streams.push(stream);
    this.open.add(stream);
    stream.on('headers', (headers) => { sight.information.push(headers[':status']); this.wake(); });
    const response = (headers) => { sight.response = headers[':status']; this.wake(); };
    stream.on('response', response);
    stream.on('push', response);
    stream.on('trailers', (headers) => { sight.trailers = { ...headers }; });
    if (read) this.read(stream);
    stream.on('aborted', () => { sight.aborted = true; });
    stream.on('error', (error) => { sight.error = naming(error); });
    stream.on('close', () => {
      sight.code = stream.rstCode;
      this.open.delete(stream);
      this.expected -= this.role === 'server' ? 1 : 0;
      this.wake();
      this.look();
    });
    return stream;
  }

  read(stream) {
    stream.sight.read = true;
    stream.on('data', (data) => { stream.sight.length += data.length; this.wake(); });
    stream.on('end', () => { stream.sight.whole = true; this.wake(); });
  }

  request(headers = {}, options = {}, watching = {}) { return this.watch(this.session.request(headers, options), watching); }

  response(stream) { return this.until(() => stream.sight.response || stream.sight.code !== null); }

  data(stream) { return this.until(() => stream.sight.length || stream.sight.code !== null); }

  whole(stream) { return this.until(() => stream.sight.whole || stream.sight.code !== null); }

  closed(stream) { return this.until(() => stream.sight.code !== null); }

  report() {
    const streams = {};
    for (const stream of this.streams) streams[stream.id ?? 'unsent'] = stream.sight;
    return { ...this.sees, streams };
  }
}

module.exports = { MARKER, Side, say };
