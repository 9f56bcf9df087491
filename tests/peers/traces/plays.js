// The scenarios as Node's two sides play them, by their names in expected.txt: the same as plays.py.

'use strict';

const http2 = require('http2');

const { constants } = http2;
const own = () => new Error('own');
const get = (t) => { t.request(); };
const post = { ':method': 'POST' };
const half = Buffer.from('half a sentence');
const respond = (s, headers = {}) => s.respond({ ':status': 200, ...headers });

// A download that stops after five bytes, in the middle of which the client does something.
const download = (act) => async (t) => {
  const stream = t.request();
  await t.data(stream);
  await act(t, stream);
};
const five = (t, s) => { respond(s); s.write('12345'); };
// The same, in the middle of which the server does something.
const poker = download((t) => t.ping().catch(() => {}));
const fiveThen = (act) => async (t, s) => { five(t, s); await t.poked(); await act(t, s); };
// An upload that stops after five bytes, in the middle of which the client does something.
const upload = (act) => async (t) => {
  const stream = t.request(post);
  stream.write('12345');
  await t.response(stream);
  await act(t, stream);
};
const answerThenRead = async (t, s) => { await t.data(s); respond(s); };

const scenarios = {
  'get': { client: get, server: (t, s) => { respond(s, { 'content-type': 'text/plain' }); s.end('hello world'); } },
  'head': {
    client: (t) => { t.request({ ':method': 'HEAD' }); },
    server: (t, s) => { respond(s, { 'content-length': '11' }); s.end(); },
  },
  'no content': { client: get, server: (t, s) => { s.respond({ ':status': 204 }); } },
  'not modified': { client: get, server: (t, s) => { s.respond({ ':status': 304, 'etag': '"x"' }); } },
  'empty answer': { client: get, server: (t, s) => { s.respond({ ':status': 404 }, { endStream: true }); } },
  'answer ended later': { client: get, server: (t, s) => { respond(s); s.end(); } },
  'reset content': { client: get, server: (t, s) => { s.respond({ ':status': 205 }); } },
  'delete': {
    client: (t) => { t.request({ ':method': 'DELETE', ':path': '/x?y=1' }); },
    server: (t, s) => { respond(s); s.end('hello'); },
  },
  'options of the server': {
    client: (t) => { t.request({ ':method': 'OPTIONS', ':path': '*' }).end(); },
    server: (t, s, headers) => { t.note(s, headers[':path']); respond(s); s.end('hello'); },
  },
  'host': {
    client: (t) => { t.request({ 'host': 'example.org' }); },
    server: (t, s, headers) => { t.note(s, `${headers[':authority'] ?? 'none'} ${headers.host}`); respond(s); s.end('hello'); },
  },
  'other authority': {
    client: (t) => { t.request({ ':authority': 'example.org', ':scheme': 'https', 'te': 'trailers' }); },
    server: (t, s, headers) => { t.note(s, `${headers[':scheme']} ${headers[':authority']} ${headers.te}`); respond(s); s.end('hello'); },
  },
  'implicit answer': { client: get, server: (t, s) => { s.end('hello'); } },
  'end without an answer': {
    client: async (t) => {
      const stream = t.request();
      await t.ping();
      await t.ping();
      if (!stream.sight.response) stream.close(constants.NGHTTP2_CANCEL);
    },
    server: (t, s) => { s.end(); },
  },
  'echo': {
    client: (t) => { t.request(post).end(half); },
    server: (t, s) => { respond(s); s.on('data', (data) => s.write(data)); s.on('end', () => s.end()); },
  },
  'empty upload': {
    client: (t) => { t.request(post).end(); },
    server: async (t, s) => { await t.whole(s); respond(s); s.end('nothing'); },
  },
  'upload declared empty': {
    client: (t) => { t.request(post, { endStream: true }); },
    server: async (t, s) => { await t.whole(s); respond(s); s.end('nothing'); },
  },
  'trailers': {
    client: get,
    server: (t, s) => {
      s.respond({ ':status': 200 }, { waitForTrailers: true });
      s.on('wantTrailers', () => s.sendTrailers({ 'x-end': 'yes', 'x-more': ['one', 'two'] }));
      s.end('body');
    },
  },
  'trailers without a body': {
    client: get,
    server: (t, s) => {
      s.respond({ ':status': 200 }, { waitForTrailers: true });
      s.on('wantTrailers', () => s.sendTrailers({ 'x-end': 'yes' }));
      s.end();
    },
  },
  'empty trailers': {
    client: get,
    server: (t, s) => {
      s.respond({ ':status': 200 }, { waitForTrailers: true });
      s.on('wantTrailers', () => s.sendTrailers({}));
      s.end('body');
    },
  },
  'trailers of a request': {
    client: (t) => {
      const stream = t.request(post, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'yes' }));
      stream.end(half);
    },
    server: async (t, s) => { await t.whole(s); respond(s); s.end(); },
  },
  'early hints': {
    client: get,
    server: (t, s) => {
      s.additionalHeaders({ ':status': 103, 'link': '</a.css>; rel=preload' });
      s.additionalHeaders({ ':status': 103, 'link': '</b.js>; rel=preload' });
      respond(s);
      s.end('hello');
    },
  },
  'continue': {
    client: async (t) => {
      const stream = t.request({ ...post, 'expect': '100-continue' });
      await t.until(() => stream.sight.information.includes(100));
      stream.end(half);
    },
    // Node answers 100 by itself in its compatibility layer only.
    compat: true,
    server: async (t, s) => { await t.whole(s); respond(s); s.end('done'); },
  },
  'expectation refused': {
    client: async (t) => {
      const stream = t.request({ ...post, 'expect': '100-continue' });
      await t.response(stream);
      stream.end();
    },
    unread: true,
    server: async (t, s) => { s.respond({ ':status': 417 }); t.read(s); await t.whole(s); s.end('no'); },
  },
  'other expectation': {
    client: (t) => { t.request({ 'expect': 'wonders' }); },
    server: (t, s, headers) => { t.note(s, headers.expect); respond(s); s.end('hello'); },
  },
  'push': {
    client: get,
    clientSettings: { enablePush: true },
    streams: 2,
    server: (t, s) => {
      respond(s);
      s.pushStream({ ':path': '/pushed', 'x-why': 'style' }, (error, pushed) => {
        if (error) throw error;
        t.watch(pushed);
        pushed.respond({ ':status': 200 });
        pushed.end('pushed');
        s.end('hello');
      });
    },
  },
  'push for HEAD': {
    client: get,
    clientSettings: { enablePush: true },
    streams: 2,
    server: (t, s) => {
      respond(s);
      s.pushStream({ ':path': '/pushed', ':method': 'HEAD' }, (error, pushed) => {
        if (error) throw error;
        t.watch(pushed);
        pushed.respond({ ':status': 200, 'content-length': '6' });
        s.end('hello');
      });
    },
  },
  'push refused': {
    client: get,
    clientSettings: { enablePush: true },
    onPush: (t, pushed) => pushed.close(constants.NGHTTP2_CANCEL),
    streams: 2,
    server: (t, s) => {
      respond(s);
      s.pushStream({ ':path': '/pushed' }, (error, pushed) => {
        if (error) throw error;
        t.watch(pushed);
        t.act(t.closed(pushed).then(() => s.end('hello')));
      });
    },
  },
  'push disabled': {
    client: get,
    clientSettings: { enablePush: false },
    server: (t, s) => {
      t.note(s, s.pushAllowed ? 'may push' : 'may not push');
      try { s.pushStream({ ':path': '/pushed' }, () => {}); } catch (error) { t.note(s, 'raised'); }
      respond(s);
      s.end('hello');
    },
  },
  'reset before the answer': { client: get, server: (t, s) => { s.close(constants.NGHTTP2_INTERNAL_ERROR); } },
  'refused': { client: get, server: (t, s) => { s.close(constants.NGHTTP2_REFUSED_STREAM); } },
  'closed before the answer': { client: get, server: (t, s) => { s.close(); } },
  'reset in mid-answer': { client: poker, server: fiveThen((t, s) => { s.close(constants.NGHTTP2_INTERNAL_ERROR); }) },
  'answer cancelled': { client: poker, server: fiveThen((t, s) => { s.close(constants.NGHTTP2_CANCEL); }) },
  'answer cut with NO_ERROR': { client: poker, server: fiveThen((t, s) => { s.close(); }) },
  'server destroys a stream': { client: poker, server: fiveThen((t, s) => { s.destroy(); }) },
  'server destroys a stream with an error': { client: poker, server: fiveThen((t, s) => { s.destroy(own()); }) },
  'cancelled before the answer': {
    client: async (t) => {
      const stream = t.request();
      await t.ping();
      stream.close(constants.NGHTTP2_CANCEL);
    },
    server: () => {},
  },
  'download cancelled': { client: download((t, s) => { s.close(constants.NGHTTP2_CANCEL); }), server: five },
  'download closed with a code': { client: download((t, s) => { s.close(11); }), server: five },
  'download closed with an unknown code': { client: download((t, s) => { s.close(77); }), server: five },
  'download closed': { client: download((t, s) => { s.close(); }), server: five },
  'client destroys a stream': { client: download((t, s) => { s.destroy(); }), server: five },
  'client destroys a stream with an error': { client: download((t, s) => { s.destroy(own()); }), server: five },
  'upload cancelled': { client: upload((t, s) => { s.close(constants.NGHTTP2_CANCEL); }), server: answerThenRead },
  'upload closed': { client: upload((t, s) => { s.close(); }), server: answerThenRead },
  'client destroys an upload': { client: upload((t, s) => { s.destroy(); }), server: answerThenRead },
  'client destroys an upload with an error': { client: upload((t, s) => { s.destroy(own()); }), server: answerThenRead },
  'upload closed with a code': { client: upload((t, s) => { s.close(11); }), server: answerThenRead },
  'early answer': {
    client: (t) => { t.request(post).write('12345'); },
    server: (t, s) => { s.respond({ ':status': 413 }); s.end('too much'); s.close(); },
  },
  'early answer, upload unread': {
    client: (t) => { t.request(post).write('12345'); },
    unread: true,
    server: (t, s) => { s.respond({ ':status': 413 }); s.end('too much'); },
  },
  'client changes settings': {
    clientSettings: { initialWindowSize: 100000 },
    client: async (t) => {
      const stream = t.request();
      await t.data(stream);
      await new Promise((resolve) => t.session.settings({ initialWindowSize: 123456, maxFrameSize: 20000 }, (error, settings) => {
        t.note(stream, `acknowledged ${settings.initialWindowSize} ${settings.maxFrameSize}`);
        resolve();
      }));
      await t.ping();
    },
    server: fiveThen((t, s) => {
      t.note(s, `${t.session.remoteSettings.initialWindowSize} ${t.session.remoteSettings.maxFrameSize}`);
      s.end();
    }),
  },
  'server changes settings': {
    serverSettings: { initialWindowSize: 100000, maxConcurrentStreams: 50 },
    client: async (t) => {
      const stream = t.request();
      await t.whole(stream);
      t.note(stream, `${t.session.remoteSettings.initialWindowSize} ${t.session.remoteSettings.maxConcurrentStreams}`);
    },
    server: async (t, s) => {
      respond(s);
      await new Promise((resolve) => t.session.settings({ initialWindowSize: 123456, maxConcurrentStreams: 7 }, (error, settings) => {
        t.note(s, `acknowledged ${settings.initialWindowSize} ${settings.maxConcurrentStreams}`);
        resolve();
      }));
      s.end('hello');
    },
  },
  'client pings': {
    client: async (t) => { await t.ping('abcdefgh'); t.request(); },
    server: (t, s) => { respond(s); s.end('hello'); },
  },
  'server pings': { client: get, server: async (t, s) => { respond(s); await t.ping('abcdefgh'); s.end('hello'); } },
  'client goes away': {
    client: download(async (t) => { t.session.goaway(0, 0, Buffer.from('because')); await t.ping(); }),
    server: fiveThen((t, s) => { s.end('678'); }),
  },
  // Without close() a server in Node that sent a GOAWAY does not notice that its client leaves, and both stay for ever.
  'server goes away': {
    client: poker,
    server: fiveThen(async (t, s) => {
      t.session.goaway(0, 0, Buffer.from('because'));
      s.end('678');
      await t.closed(s);
      t.session.close();
    }),
  },
  'client goes away with a code': {
    client: download((t) => { t.session.goaway(11, 0, Buffer.from('because')); }),
    server: five,
  },
  'server goes away with a code': {
    client: poker,
    server: fiveThen((t) => { t.session.goaway(11, 0, Buffer.from('because')); }),
  },
  'server excludes a stream': {
    streams: 2,
    client: async (t) => {
      const first = t.request();
      await t.data(first);
      const second = t.request();
      await t.data(second);
      await t.ping();
    },
    server: async (t, s) => {
      five(t, s);
      if (s.id === 1) { await t.poked(); t.session.goaway(0, 1); s.end('678'); await t.closed(s); t.session.close(); }
    },
  },
  'client closes': {
    client: download(async (t) => { t.session.close(); }),
    server: async (t, s) => { five(t, s); await t.until(() => t.sees.events.length); s.end('678'); },
  },
  'server closes': { client: poker, server: fiveThen((t, s) => { t.session.close(); s.end('678'); }) },
  // Node has no drain().
  'server drains': {
    client: poker,
    server: fiveThen(async (t, s) => { t.session.close(); await t.ping().catch(() => {}); s.end('678'); }),
  },
  'client closes while idle': {
    client: async (t) => { await t.closed(t.request()); await t.ping(); t.session.close(); },
    server: (t, s) => { respond(s); s.end('hello'); },
  },
  'server closes while idle': {
    client: async (t) => { await t.closed(t.request()); await t.ping(); },
    server: async (t, s) => { respond(s); s.end('hello'); await t.poked(); t.session.close(); },
  },
  'alternative for an origin': {
    client: poker,
    server: fiveThen((t, s) => { t.session.altsvc('h3=":8443"', 'https://example.org'); s.end(); }),
  },
  'alternative for a stream': { client: poker, server: fiveThen((t, s) => { t.session.altsvc('h3=":8443"', s.id); s.end(); }) },
  'origins': {
    client: poker,
    server: fiveThen((t, s) => { t.session.origin('https://example.org/x', 'https://example.com:8443'); s.end(); }),
  },
  'tunnel': {
    client: async (t) => {
      const stream = t.request({ ':method': 'CONNECT', ':authority': 'example.org:443' });
      await t.response(stream);
      stream.end(half);
    },
    server: (t, s, headers) => {
      t.note(s, `${headers[':authority']} ${headers[':path']} ${headers[':scheme']}`.replace(/undefined/g, 'none'));
      respond(s);
      s.on('data', (data) => s.write(data));
      s.on('end', () => s.end());
    },
  },
  'extended tunnel': {
    serverSettings: { enableConnectProtocol: true },
    client: async (t) => {
      const stream = t.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/chat' });
      await t.response(stream);
      stream.end(half);
    },
    server: (t, s, headers) => {
      t.note(s, `${headers[':protocol']} ${headers[':path']}`);
      respond(s);
      s.on('data', (data) => s.write(data));
      s.on('end', () => s.end());
    },
  },
  'file': {
    client: get,
    server: (t, s) => { s.respondWithFile(__filename, { 'content-type': 'text/plain' }, { offset: 5, length: 10 }); },
  },
  'priority': {
    client: (t) => { t.request({ 'priority': 'u=1, i' }); },
    server: (t, s, headers) => { t.note(s, headers.priority); respond(s, { 'priority': 'u=5' }); s.end('hello'); },
  },
  'sensitive': {
    client: (t) => {
      t.request({ 'x-key': 'secret', 'x-other': 'open', 'authorization': 'Basic Zm9vOmJhcg==', 'cookie': 'short=1',
        [http2.sensitiveHeaders]: ['x-key'] });
    },
    server: (t, s, headers) => {
      t.note(s, headers[http2.sensitiveHeaders].slice().sort().join(' '));
      s.respond({ ':status': 200, 'x-answer': 'secret', 'set-cookie': 'short=2', [http2.sensitiveHeaders]: ['x-answer'] });
      s.end('hello');
    },
  },
  'cookies': {
    client: (t) => { t.request({ 'cookie': ['first=123456789012345678901234567890', 'second=2'] }); },
    server: (t, s, headers) => {
      t.note(s, headers.cookie);
      s.respond({ ':status': 200, 'set-cookie': ['first=1', 'second=2'] });
      s.end('hello');
    },
  },
  'several values': {
    client: (t) => { t.request({ 'accept': ['text/plain', 'text/html'], 'X-Upper': 'Case', 'x-number': 5 }); },
    server: (t, s, headers) => { t.note(s, `${headers.accept} ${headers['x-upper']} ${headers['x-number']}`); respond(s); s.end('hello'); },
  },
  'long header list': {
    client: (t) => { t.request(Object.fromEntries([...Array(100).keys()].map((n) => [`x-field-${n}`, String(n).repeat(400).slice(0, 400)]))); },
    server: (t, s, headers) => {
      t.note(s, `${Object.keys(headers).filter((name) => name.startsWith('x-field-')).length} fields`);
      respond(s);
      s.end('hello');
    },
  },
  'header list above the limit': {
    serverSettings: { maxHeaderListSize: 1000 },
    streams: 0,
    client: (t) => { t.request({ 'x-long': 'x'.repeat(1500) }); },
    server: (t, s) => { respond(s); s.end('hello'); },
  },
  'header list far above the limit': {
    serverSettings: { maxHeaderListSize: 1000 },
    streams: 0,
    client: async (t) => {
      await t.closed(t.request({ 'x-long': 'x'.repeat(4000) }));
      if (!t.session.destroyed) await t.ping();
    },
    onPoke: (t) => t.session.close(),
    server: (t, s) => { respond(s); s.end('hello'); },
  },
  'small windows': {
    clientSettings: { initialWindowSize: 10 },
    client: get,
    server: (t, s) => { respond(s); s.end('x'.repeat(35)); },
  },
  'one stream at a time': {
    serverSettings: { maxConcurrentStreams: 1 },
    streams: 3,
    client: (t) => { for (const n of [1, 2, 3]) t.request({ ':path': `/${n}` }); },
    server: (t, s) => { t.note(s, `${t.open.size} open`); respond(s); s.end('hello'); },
  },
  'large frames': {
    clientSettings: { maxFrameSize: 32768 },
    client: get,
    server: (t, s) => { respond(s); s.end('x'.repeat(40000)); },
  },
  'content-length too large': {
    client: get,
    server: (t, s) => { respond(s, { 'content-length': '100' }); s.end('hello'); },
  },
  'content-length too small': {
    client: get,
    server: (t, s) => { respond(s, { 'content-length': '2' }); s.end('hello'); },
  },
};
const destroying = {
  'nothing': (session) => session.destroy(),
  'an error': (session) => session.destroy(own()),
  'a code': (session) => session.destroy(11),
  'an error and a code': (session) => session.destroy(own(), 11),
  'no error and a code': (session) => session.destroy(undefined, 11),
};
for (const [what, destroy] of Object.entries(destroying)) {
  scenarios[`client destroys with ${what}`] = { client: download((t) => destroy(t.session)), server: five };
  scenarios[`server destroys with ${what}`] = { client: poker, server: fiveThen((t) => destroy(t.session)) };
}

module.exports = scenarios;
