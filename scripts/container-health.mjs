/**
 * Whether what runs in this container is healthy: the API or the worker, whichever answers. Plain JavaScript, because it runs
 * every few seconds. Where every client needs a certificate this one has none, and a handshake that ends has to do.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:tls';

const HOST = '127.0.0.1';
const TIMEOUT_MS = 4_000;

const setting = (...names) =>
  names.flatMap((name) => [process.env[name], process.env[`ORCHESTRATOR_${name}`]]).find((text) => text?.trim());

function answersWell(request, port) {
  return new Promise((resolve, reject) => {
    // The certificate is for another name than this address.
    const options = { host: HOST, port, path: '/health', timeout: TIMEOUT_MS, rejectUnauthorized: false };
    const call = request(options, (answer) => {
      answer.resume();
      if (answer.statusCode === 200) resolve();
      else reject(new Error(`answered ${answer.statusCode}`));
    });
    call.once('timeout', () => call.destroy(new Error('no answer in time')));
    call.once('error', reject);
    call.end();
  });
}

function shakesHands(port) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: HOST, port, timeout: TIMEOUT_MS, rejectUnauthorized: false }, resolve);
    socket.once('timeout', () => socket.destroy(new Error('no answer in time')));
    socket.once('error', reject);
  });
}

const ports = [setting('PORT', 'FASTAPI_PORT', 'SERVICE_PORT') ?? 8000, setting('WORKER_PORT', 'METRICS_PORT') ?? 9090];
const probes = ports.flatMap((port) =>
  setting('TLS_CLIENT_CERTS')?.toLowerCase() === 'required'
    ? [shakesHands(port)]
    : [answersWell(httpRequest, port), answersWell(httpsRequest, port)],
);
process.exit(
  await Promise.any(probes).then(
    () => 0,
    () => 1,
  ),
);
