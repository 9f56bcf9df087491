// Plays both roles of every scenario: node node.js.  It reads one JSON command a line from its standard input and prints one
// JSON object a line; see node.py.

'use strict';

const http2 = require('http2');
const readline = require('readline');

const scenarios = require('./plays.js');
const { MARKER, Side, say } = require('./side.js');

const sides = new Map();
const commands = {
  serve({ run, name }) {
    const scenario = scenarios[name];
    const t = new Side(run, scenario, 'server');
    const server = http2.createServer({ settings: scenario.serverSettings });
    sides.set(run, t);
    server.on('session', (session) => {
      t.watchSession(session);
      session.on('close', () => server.close());
    });
    server.on('stream', (stream, headers) => {
      t.watch(stream, { read: !scenario.unread });
      stream.sight.method = headers[':method'];
      if (!scenario.compat) t.act((async () => scenario.server(t, stream, headers))());
    });
    if (scenario.compat) {
      server.on('request', (request) => t.act((async () => scenario.server(t, request.stream, request.headers))()));
    }
    server.listen(0, '127.0.0.1', () => { say({ run, event: 'listening', port: server.address().port }); t.look(); });
  },
  connect({ run, name, port }) {
    const scenario = scenarios[name];
    const t = new Side(run, scenario, 'client');
    sides.set(run, t);
    t.watchSession(http2.connect(`http://127.0.0.1:${port}`, { settings: scenario.clientSettings }));
    t.session.on('stream', (pushed, headers) => {
      t.watch(pushed);
      pushed.sight.method = headers[':method'];
      if (scenario.onPush) scenario.onPush(t, pushed);
    });
    t.session.once('remoteSettings', () => t.act((async () => scenario.client(t))()));
  },
  look({ run }) { say({ run, event: 'sees', sees: sides.get(run).report() }); },
  end({ run }) {
    const t = sides.get(run);
    t.ping(MARKER).then(() => t.session.close(), (error) => t.fail(error));
  },
};
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
});
