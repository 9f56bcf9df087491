// WebSocket frames (RFC 6455 section 5.2), built and read by hand, for a stream of either side.

'use strict';

const crypto = require('crypto');
const zlib = require('zlib');

const TAIL = Buffer.from([0, 0, 255, 255]);

// Build a frame; a client masks it.
function frame(opcode, payload, { fin = true, rsv1 = false, mask = false } = {}) {
  const body = Buffer.from(payload);
  const size = body.length;
  const head = [(fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode];
  if (size < 126) head.push(size);
  else if (size < 65536) head.push(126, size >> 8, size & 255);
  else head.push(127, 0, 0, 0, 0, size >>> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255);
  if (!mask) return Buffer.concat([Buffer.from(head), body]);
  head[1] |= 0x80;
  const key = crypto.randomBytes(4);
  return Buffer.concat([Buffer.from(head), key, body.map((byte, index) => byte ^ key[index % 4])]);
}

// Call back with each whole frame of a stream.
function readFrames(stream, taken) {
  let rest = Buffer.alloc(0);
  stream.on('data', (data) => {
    rest = Buffer.concat([rest, data]);
    for (;;) {
      if (rest.length < 2) return;
      let size = rest[1] & 127;
      let at = 2;
      if (size === 126) { if (rest.length < 4) return; size = rest.readUInt16BE(2); at = 4; }
      else if (size === 127) { if (rest.length < 10) return; size = Number(rest.readBigUInt64BE(2)); at = 10; }
      const masked = Boolean(rest[1] & 128);
      const key = masked ? rest.subarray(at, at + 4) : Buffer.alloc(4);
      if (masked) at += 4;
      if (rest.length < at + size) return;
      const payload = Buffer.from(rest.subarray(at, at + size)).map((byte, index) => byte ^ key[index % 4]);
      const head = rest[0];
      rest = rest.subarray(at + size);
      taken({ opcode: head & 15, fin: Boolean(head & 128), rsv1: Boolean(head & 64), masked, payload });
    }
  });
}

// Compress one message, without context.
function deflate(text) {
  return zlib.deflateRawSync(text, { finishFlush: zlib.constants.Z_SYNC_FLUSH, windowBits: 12 }).subarray(0, -4);
}

function inflate(payload) {
  return zlib.inflateRawSync(Buffer.concat([payload, TAIL]), { finishFlush: zlib.constants.Z_SYNC_FLUSH });
}

module.exports = { frame, readFrames, deflate, inflate };
