// A server for our agent: node agent.js CERTIFICATE KEY [PER_SESSION].  It prints one JSON object a line.  It speaks HTTP/2 and
// HTTP/1.1, and answers every request with what it was asked.  With PER_SESSION it sends GOAWAY after so many requests.

'use strict';

const fs = require('fs');
const http2 = require('http2');

const say = (event, facts = {}) => process.stdout.write(JSON.stringify({ event, ...facts }) + '\n');

const [certificate, key, perSession] = process.argv.slice(2);
let sessions = 0;
let served = 0;
const counts = new WeakMap();

const server = http2.createSecureServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key), allowHTTP1: true });
server.on('session', (session) => { sessions += 1; counts.set(session, 0); });
server.on('request', (request, response) => {
  served += 1;
  if (request.url === '/counts') {
    response.end(JSON.stringify({ sessions, served: served - 1 }));
    return;
  }
  const parts = [];
  request.on('data', (data) => parts.push(data));
  request.on('end', () => {
    response.setHeader('x-method', request.method);
    response.setHeader('x-version', request.httpVersion);
    response.end(Buffer.concat([Buffer.from(request.url + ' '), ...parts]));
  });
  const session = request.stream && request.stream.session;
  if (perSession && session) {
    counts.set(session, counts.get(session) + 1);
    if (counts.get(session) === Number(perSession)) session.close();
  }
});
server.listen(0, '127.0.0.1', () => say('listening', { port: server.address().port }));
