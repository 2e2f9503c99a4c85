/** What is hardly HTTP any more. Each is sent as it stands, on a connection of its own. */
import type { Random } from '../../harness/random.ts';

const BODY = '{"task_type":"test_task"}';
const HOST = 'Host: 127.0.0.1';
const JSON_TYPE = 'Content-Type: application/json';
const TENANT = 'X-Tenant-ID: fuzz';

const lines = (...given: string[]) => `${given.join('\r\n')}\r\n\r\n`;
const post = (...headers: string[]) => lines('POST /assign-task HTTP/1.1', HOST, TENANT, JSON_TYPE, ...headers);

const CASES: ReadonlyArray<string | Buffer> = [
  lines('GET /tasks HTTP/1.1', TENANT),
  lines('GET /tasks HTTP/1.1', HOST, 'Host: evil.example', TENANT),
  lines('GET /tasks HTTP/1.0', TENANT),
  lines('GET /tasks HTTP/9.9', HOST),
  'GET /tasks\r\n',
  lines('GET http://evil.example/tasks HTTP/1.1', HOST, TENANT),
  lines('GET //evil.example/tasks HTTP/1.1', HOST, TENANT),
  lines('GET \\tasks HTTP/1.1', HOST),
  lines('GET /result/\u00ff\u00fe HTTP/1.1', HOST),
  lines('GET /result/a b HTTP/1.1', HOST),
  lines('GET /result/%ff%fe HTTP/1.1', HOST, TENANT),
  lines('GET /?%ff=%fe HTTP/1.1', HOST, TENANT),
  lines('GET /result/a#b HTTP/1.1', HOST, TENANT),
  lines('OPTIONS * HTTP/1.1', HOST),
  lines('CONNECT evil.example:443 HTTP/1.1', HOST),
  lines('get /tasks HTTP/1.1', HOST),
  lines('FUZZ /tasks HTTP/1.1', HOST),
  lines('GET /tasks HTTP/1.1', HOST, 'Bad Header: x'),
  lines('GET /tasks HTTP/1.1', HOST, 'X-Tenant-ID : fuzz'),
  lines('GET /tasks HTTP/1.1', HOST, 'X-A: b', ' folded'),
  lines('GET /tasks HTTP/1.1', HOST, 'X-Tenant-ID: a\u0000b'),
  lines('GET /tasks HTTP/1.1', HOST, 'NoColon'),
  lines('GET /tasks HTTP/1.1', HOST, ': empty'),
  'GET /tasks HTTP/1.1\nHost: 127.0.0.1\n\n',
  lines('GET /tasks HTTP/1.1', HOST, `X-Large: ${'z'.repeat(40_000)}`),
  lines('GET /tasks HTTP/1.1', HOST, ...Array.from({ length: 3_000 }, (_, n) => `x${n}: y`)),
  lines(`GET /${'p'.repeat(60_000)} HTTP/1.1`, HOST),
  lines('PRI * HTTP/2.0', '', 'SM'),
  Buffer.from('160301020001000100fc0303', 'hex'),
  Buffer.alloc(2_000, 0),
  post('Content-Length: 5') + BODY,
  post('Content-Length: 500') + BODY,
  post('Content-Length: -1') + BODY,
  post('Content-Length: 1e3') + BODY,
  post('Content-Length: 99999999999999999999') + BODY,
  post(`Content-Length: ${BODY.length}`, 'Content-Length: 3') + BODY,
  post(`Content-Length: ${BODY.length}`, 'Transfer-Encoding: chunked') + BODY,
  `${post('Transfer-Encoding: chunked')}${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`,
  post('Transfer-Encoding: chunked') +
    `${BODY.length.toString(16)};ext="\u0001"\r\n${BODY}\r\n0\r\nX-Trailer: y\r\n\r\n`,
  `${post('Transfer-Encoding: chunked')}-1\r\n${BODY}\r\n0\r\n\r\n`,
  `${post('Transfer-Encoding: chunked')}FFFFFFFFFFFFFFFFF\r\n`,
  `${post('Transfer-Encoding: gzip, chunked')}0\r\n\r\n`,
  `${post('Transfer-Encoding: xchunked')}0\r\n\r\n`,
  post('Expect: 100-continue', `Content-Length: ${BODY.length}`) + BODY,
  post('Expect: 200-ok', `Content-Length: ${BODY.length}`) + BODY,
  post('Connection: Upgrade', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__', `Content-Length: ${BODY.length}`) +
    BODY,
  lines('GET /tasks HTTP/1.1', HOST, 'Connection: Upgrade', 'Upgrade: h2c', TENANT),
  lines('GET /tasks HTTP/1.1', HOST, 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'),
  lines('GET /ws/task/x HTTP/1.1', HOST, 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 99'),
  lines('GET /ws/task/%ff HTTP/1.1', HOST, 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: x'),
  // Two requests at once: the second must not be taken for the body of the first, nor the other way round.
  lines('GET /livez HTTP/1.1', HOST) + lines('GET /livez HTTP/1.1', HOST, 'Connection: close'),
  post('Content-Length: 0') + lines('GET /livez HTTP/1.1', HOST, 'Connection: close'),
];

export function someBytes(random: Random): Buffer {
  const found = CASES[random.whole(0, CASES.length - 1)] ?? '';
  const bytes = typeof found === 'string' ? Buffer.from(found, 'latin1') : found;
  if (random.chance(0.6)) return bytes;
  const at = random.whole(0, bytes.length);
  if (random.chance(0.5)) return bytes.subarray(0, at);
  return Buffer.concat([bytes.subarray(0, at), Buffer.from([random.whole(0, 255)]), bytes.subarray(at + 1)]);
}
