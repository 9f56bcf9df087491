// A server for our client: node server.js [CERTIFICATE KEY].  It prints one JSON object a line: first its port, then what
// it saw.  The paths say what it does.

'use strict';

const fs = require('fs');
const http2 = require('http2');
const { frame, readFrames, deflate, inflate } = require('./websocket.js');

const say = (event, facts = {}) => process.stdout.write(JSON.stringify({ event, ...facts }) + '\n');

const chunk = Buffer.alloc(64 * 1024);

// Write a long body no faster than it is read.
function stream(target, left) {
  const go = () => {
    while (left > chunk.length) {
      left -= chunk.length;
      if (!target.write(chunk)) return target.once('drain', go);
    }
    target.end(chunk.subarray(0, left));
  };
  go();
}

// The only connection's socket: a session does not let go of its own.
let connection;

// Echo a WebSocket's messages; say what came.
function webSocket(s, headers) {
  const offered = headers['sec-websocket-extensions'];
  const chosen = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12';
  const extra = offered ? { 'sec-websocket-extensions': chosen } : {};
  s.respond({ ':status': 200, 'sec-websocket-protocol': 'echo', ...extra });
  readFrames(s, ({ opcode, fin, rsv1, masked, payload }) => {
    const plain = rsv1 ? inflate(payload) : payload;
    say('frame', { opcode, fin, rsv1, masked, length: plain.length });
    if (opcode === 9) s.write(frame(10, payload));
    else if (opcode === 8) s.end(frame(8, payload));
    else if (plain.toString() === 'ping me') s.write(frame(9, 'pong?'));
    else if (plain.toString() === 'close me') s.write(frame(8, Buffer.from([0x0f, 0xa2])));
    else s.write(frame(opcode, rsv1 ? deflate(plain) : plain, { fin, rsv1 }));
  });
}

const routes = {
  '/ws': (s, query, headers) => webSocket(s, headers),
  '/hello': (s) => { s.respond({ ':status': 200, 'content-type': 'text/plain' }); s.end('hello world\n'); },
  '/bytes': (s, query) => { s.respond(); stream(s, Number(query.get('n'))); },
  '/echo': (s) => { s.respond(); s.pipe(s); },
  '/discard': (s) => {
    let length = 0;
    s.on('data', (data) => { length += data.length; });
    s.on('end', () => { s.respond(); s.end(String(length)); });
  },
  '/headers': (s, query, headers) => { s.respond({ 'content-type': 'application/json' }); s.end(JSON.stringify(headers)); },
  '/trailers': (s) => {
    s.on('trailers', (fields) => say('trailers', { fields }));
    s.resume();
    s.respond({}, { waitForTrailers: true });
    s.on('wantTrailers', () => s.sendTrailers({ 'x-end': 'yes', 'x-more': ['one', 'two'] }));
    s.end('body');
  },
  '/hints': (s) => {
    s.additionalHeaders({ ':status': 103, link: '</style.css>; rel=preload' });
    s.additionalHeaders({ ':status': 103, link: '</script.js>; rel=preload' });
    s.respond();
    s.end('after hints');
  },
  '/head-only': (s) => s.respond({ ':status': 204 }, { endStream: true }),
  // Ends of streams
  '/refuse': (s) => s.close(http2.constants.NGHTTP2_REFUSED_STREAM),
  // Something is left to write for a client that does not read, or close() would end the body properly: Node's slip.
  '/reset': (s, query) => {
    s.respond();
    s.write(Buffer.alloc(1024 * 1024));
    setTimeout(() => s.close(Number(query.get('code'))), 50);
  },
  '/respond-close': (s) => { s.respond({}); s.end('whole'); s.close(); },
  '/early': (s) => { s.respond({ ':status': 413 }); s.end('too much'); },
  // Ends of sessions
  '/cut': (s) => { s.respond(); s.write('part', () => connection.destroy()); },
  '/fin': (s) => { s.respond(); s.write('part', () => connection.end()); },
  '/destroy': (s, query) => {
    const code = query.get('code');
    s.respond();
    s.write('part', () => s.session.destroy(code === null ? undefined : Number(code)));
  },
  '/destroy-at-once': (s) => s.session.destroy(),
  '/close': (s) => { s.respond(); s.end('whole'); s.session.close(); },
  '/goaway': (s, query) => {
    s.session.goaway(Number(query.get('code')), Number(query.get('last') || 0), Buffer.from('because'));
    s.respond();
    setTimeout(() => s.end('finished after the GOAWAY'), 100);
  },
  // Facts
  '/ping': (s) => s.session.ping(Buffer.from('abcdefgh'), (error, duration, payload) => {
    s.respond();
    s.end(JSON.stringify({ error, duration, payload: payload && payload.toString() }));
  }),
  '/settings': (s) => { s.respond(); s.end(JSON.stringify(s.session.remoteSettings)); },
  '/change': (s) => s.session.settings({ maxConcurrentStreams: 7, initialWindowSize: 100000 }, (error, settings) => {
    s.respond();
    s.end(JSON.stringify(settings));
  }),
};

const [certificate, key] = process.argv.slice(2);
const settings = { enableConnectProtocol: true };
const server = certificate
  ? http2.createSecureServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key), settings })
  : http2.createServer({ settings });
server.on(certificate ? 'secureConnection' : 'connection', (socket) => { connection = socket; });
server.on('session', (session) => {
  session.on('error', (error) => say('sessionError', { code: error.code, message: error.message }));
  session.on('goaway', (code, lastStreamID) => say('goaway', { code, lastStreamID }));
  session.on('close', () => say('sessionClose'));
});
server.on('stream', (s, headers) => {
  const path = headers[':path'];
  const url = new URL(path, 'http://localhost');
  s.on('error', (error) => say('streamError', { path, code: error.code, message: error.message }));
  s.on('aborted', () => say('aborted', { path }));
  s.on('close', () => say('streamClose', { path, rstCode: s.rstCode }));
  routes[url.pathname](s, url.searchParams, headers);
});
server.listen(0, '127.0.0.1', () => say('listening', { port: server.address().port }));
