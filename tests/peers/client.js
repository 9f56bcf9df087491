// A client for our server: node client.js URL ACTION [CERTIFICATE] [ARGUMENT].  It does one thing and prints one JSON
// object a line: what happened, and at the end "done".

'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http2 = require('http2');
const { frame, readFrames, deflate, inflate } = require('./websocket.js');

const [url, action, certificate, argument] = process.argv.slice(2);
const say = (event, facts = {}) => process.stdout.write(JSON.stringify({ event, ...facts }) + '\n');
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const once = (emitter, name) => new Promise((resolve) => emitter.once(name, (...facts) => resolve(facts)));

const session = http2.connect(url, certificate ? { ca: fs.readFileSync(certificate) } : {});
session.on('error', (error) => say('sessionError', { code: error.code, message: error.message }));
session.on('goaway', (code, lastStreamID) => say('goaway', { code, lastStreamID }));
session.on('close', () => say('sessionClose', { destroyed: session.destroyed }));

// Make a request that says what happens to it.
function request(path, method = 'GET', options = {}) {
  const stream = session.request({ ':path': path, ':method': method }, { endStream: method === 'GET', ...options });
  stream.length = 0;
  stream.on('headers', (headers) => say('information', { status: headers[':status'], link: headers.link }));
  stream.on('response', (headers) => say('response', { status: headers[':status'] }));
  stream.on('trailers', (headers) => say('trailers', { fields: { ...headers } }));
  stream.on('aborted', () => say('aborted'));
  stream.on('error', (error) => say('streamError', { code: error.code, message: error.message }));
  stream.on('end', () => say('end', { length: stream.length }));
  stream.on('close', () => say('streamClose', { rstCode: stream.rstCode }));
  return stream;
}

// Read a body that matters.
async function text(stream) {
  let body = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream) { body += chunk; stream.length += chunk.length; }
  return body;
}

// Read a body that does not.
function drain(stream) {
  stream.on('data', (data) => { stream.length += data.length; });
  return once(stream, 'close');
}

// Write a long body no faster than it is read.
function upload(stream, left, chunk = Buffer.alloc(64 * 1024)) {
  const go = () => {
    while (left > chunk.length) {
      left -= chunk.length;
      if (!stream.write(chunk)) return stream.once('drain', go);
    }
    stream.end(chunk.subarray(0, left));
  };
  go();
}

const actions = {
  async get() { say('body', { text: await text(request(argument)) }); },
  async download() { await drain(request(`/bytes/${argument}`)); },
  async upload() {
    const stream = request('/discard', 'POST');
    upload(stream, Number(argument));
    say('body', { text: await text(stream) });
  },
  // One chunk goes out when the one before has come back.
  async pingPong() {
    const stream = request('/echo', 'POST');
    let count = 0;
    stream.write('0');
    for await (const chunk of stream) {
      if (chunk.toString() !== String(count)) throw new Error(`${chunk} instead of ${count}`);
      if (++count === 50) stream.end(); else stream.write(String(count));
    }
    say('count', { count });
  },
  async echo() {
    const sent = crypto.randomBytes(Number(argument));
    const stream = request('/echo', 'POST');
    stream.end(sent);
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    say('same', { same: Buffer.concat(chunks).equals(sent) });
  },
  async sendTrailers() {
    const stream = request('/echo', 'POST', { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '1234' }));
    stream.end('body');
    say('body', { text: await text(stream) });
  },
  async many() {
    const bodies = await Promise.all([...Array(500).keys()].map((n) => text(request(`/bytes/${n}`))));
    say('lengths', { right: bodies.every((body, n) => body.length === n) });
  },
  async ping() {
    await once(session, 'connect');
    const payload = Buffer.from('abcdefgh');
    await new Promise((resolve) => session.ping(payload, (error, duration, answer) => {
      say('pong', { error, positive: duration > 0, payload: answer.toString() });
      resolve();
    }));
  },
  async settings() {
    await once(session, 'remoteSettings');
    say('remote', session.remoteSettings);
    await new Promise((resolve) => session.settings({ initialWindowSize: 123456 }, (error, settings) => {
      say('local', { error, initialWindowSize: settings.initialWindowSize });
      resolve();
    }));
    say('body', { text: await text(request('/session')) });
  },
  // Ends of streams
  async cancel() {
    const stream = request('/bytes/2000000000');
    await once(stream, 'data');
    stream.close(Number(argument));
    await once(stream, 'close');
    say('body', { text: await text(request('/hello')) });
  },
  async cancelUpload() {
    const stream = request('/discard', 'POST');
    stream.write('some');
    await wait(100);
    stream.close(Number(argument));
    await once(stream, 'close');
    say('body', { text: await text(request('/hello')) });
  },
  async early() {
    const stream = request('/nothing', 'POST');
    upload(stream, 20 * 1024 * 1024);
    stream.on('data', (data) => { stream.length += data.length; });
    await once(stream, 'end');
    say('body', { text: await text(request('/hello')) });
    session.destroy();  // the close of the stream that was reset is not waited for: once, under load, it did not come
  },
  // A WebSocket with frames made by hand: the server's frames are told of as they come.
  async webSocket() {
    await once(session, 'remoteSettings');
    const stream = session.request({
      ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/ws', 'sec-websocket-version': '13',
      'sec-websocket-extensions': 'permessage-deflate; client_no_context_takeover; server_no_context_takeover',
    });
    const [headers] = await once(stream, 'response');
    say('response', { status: headers[':status'], extensions: headers['sec-websocket-extensions'] });
    readFrames(stream, ({ opcode, fin, rsv1, masked, payload }) => {
      const plain = rsv1 ? inflate(payload) : payload;
      say('frame', { opcode, fin, rsv1, masked, text: plain.toString('latin1', 0, 100), length: plain.length });
    });
    const send = (...facts) => stream.write(frame(facts[0], facts[1], { mask: true, ...facts[2] }));
    send(1, 'h\u00e9llo');
    send(2, Buffer.from([0, 1, 255]));
    send(1, 'in ', { fin: false });
    send(9, 'are you there?');
    send(0, 'two parts');
    send(1, deflate('pressed '.repeat(1000)), { rsv1: true });
    send(2, Buffer.alloc(300000));
    send(8, Buffer.from([0x0f, 0xa1, 0x62, 0x79, 0x65]));
    await once(stream, 'end');
    stream.end();
    await once(stream, 'close');
    say('streamClose', { rstCode: stream.rstCode });
  },
  // Ends of sessions
  async close() {
    const closed = once(session, 'close');
    const stream = request('/bytes/1000000');
    const reading = drain(stream);
    await once(stream, 'response');
    session.close();
    await reading;
    await closed;
  },
  async destroy() {
    const closed = once(session, 'close');
    const stream = request('/bytes/2000000000');
    await once(stream, 'data');
    if (argument === '') session.destroy(); else session.destroy(Number(argument));
    await closed;
  },
  async goaway() {
    const closed = once(session, 'close');
    const stream = request('/slow?seconds=0.5');
    await wait(100);
    session.goaway(Number(argument));
    say('body', { text: await text(stream) });
    await closed;
  },
  // The server's path ends the session while a download is going on.
  async ended() {
    const closed = once(session, 'close');
    const download = request('/bytes/2000000000');
    drain(download);
    await once(download, 'data');
    request(argument).resume();
    await closed;
  },
};

actions[action]().catch((error) => say('failed', { message: error.message })).finally(() => {
  say('done');
  if (!session.destroyed) session.close();
});
