/**
 * A listener in front of a broker, as clients find it in production: it requires TLS, a login or both, and checks them, as the
 * mock brokers do neither. Nothing passes before the login. The addresses that the broker names become its own.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';

const METADATA = 3;
const FIND_COORDINATOR = 10;
const SASL_HANDSHAKE = 17;
const API_VERSIONS = 18;
const SASL_AUTHENTICATE = 36;
const UNSUPPORTED_MECHANISM = 33;
const AUTHENTICATION_FAILED = 58;
const ITERATIONS = 4_096;

export interface Login {
  mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';
  username: string;
  password: string;
}

export interface SecureListenerOptions {
  broker: { host: string; port: number };
  /** `clients`: who vouches for them; without it no certificate is needed. */
  tls?: { cert: string; key: string; clients?: string };
  login?: Login;
}

export interface SecureListener {
  /** host:port. */
  address: string;
  /** The common names of the certificates that clients showed. */
  certificates: string[];
  /** How many connections have logged in, and how many were rejected. */
  loggedIn: number;
  rejected: number;
  /** Requests that came before the login, by their number. */
  early: number[];
  close(): Promise<void>;
}

export async function startSecureListener({ broker, tls, login }: SecureListenerOptions): Promise<SecureListener> {
  const sockets = new Set<Socket>();
  const listener: SecureListener = {
    ...{ address: '', certificates: [], loggedIn: 0, rejected: 0, early: [] },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  const accept = (client: Socket) => {
    const upstream = connect(broker);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    serve({ client, upstream, login, port: (server.address() as AddressInfo).port, listener });
  };
  const server: Server =
    tls === undefined
      ? createServer(accept)
      : createTlsServer(
          {
            ...{ cert: tls.cert, key: tls.key },
            ...(tls.clients === undefined ? {} : { ca: tls.clients, requestCert: true, rejectUnauthorized: true }),
          },
          (socket: TLSSocket) => {
            const { subject } = socket.getPeerCertificate();
            if (subject !== undefined) listener.certificates.push(String(subject.CN));
            accept(socket);
          },
        );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  listener.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return listener;
}

interface Served {
  client: Socket;
  upstream: Socket;
  login: Login | undefined;
  port: number;
  listener: SecureListener;
}

function serve({ client, upstream, login, port, listener }: Served): void {
  const asked = new Map<number, number>();
  let passed = login === undefined;
  let steps: ((token: Buffer) => { answer: Buffer; done: boolean } | undefined) | undefined;

  const reject = (correlation: number) => {
    listener.rejected += 1;
    client.write(
      framed(correlation, [int16(AUTHENTICATION_FAILED), text('Authentication failed'), bytes(Buffer.alloc(0))]),
    );
  };
  onFrames(client, (frame) => {
    const key = frame.readInt16BE(0);
    const correlation = frame.readInt32BE(4);
    const body = frame.subarray(10 + Math.max(0, frame.readInt16BE(8)));
    if (key === SASL_HANDSHAKE && login !== undefined) {
      const isKnown = body.subarray(2).toString() === login.mechanism;
      steps = isKnown ? stepsOf(login) : undefined;
      const code = int16(isKnown ? 0 : UNSUPPORTED_MECHANISM);
      client.write(framed(correlation, [code, int32(1), text(login.mechanism)]));
    } else if (key === SASL_AUTHENTICATE && login !== undefined) {
      const step = steps?.(body.subarray(4, 4 + body.readInt32BE(0)));
      if (step === undefined) return reject(correlation);
      if (step.done) {
        passed = true;
        listener.loggedIn += 1;
      }
      const lifetime = frame.readInt16BE(2) >= 1 ? [Buffer.alloc(8)] : [];
      client.write(framed(correlation, [int16(0), int16(-1), bytes(step.answer), ...lifetime]));
    } else if (passed || key === API_VERSIONS) {
      asked.set(correlation, key);
      upstream.write(Buffer.concat([int32(frame.length), frame]));
    } else {
      listener.early.push(key);
      client.destroy();
    }
    return undefined;
  });
  onFrames(upstream, (frame) => {
    const key = asked.get(frame.readInt32BE(0));
    asked.delete(frame.readInt32BE(0));
    const own = key === METADATA || key === FIND_COORDINATOR ? withPort(frame, port) : frame;
    const answer = key === API_VERSIONS && login !== undefined ? withLogin(own) : own;
    client.write(Buffer.concat([int32(answer.length), answer]));
  });
}

/** What the server says to each token; undefined: it rejects. */
function stepsOf({ mechanism, username, password }: Login) {
  if (mechanism === 'PLAIN') {
    return (token: Buffer) => {
      const [, user, secret] = token.toString().split('\0');
      return user === username && secret === password ? { answer: Buffer.alloc(0), done: true } : undefined;
    };
  }
  const hash = mechanism === 'SCRAM-SHA-256' ? 'sha256' : 'sha512';
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password, salt, ITERATIONS, hash === 'sha256' ? 32 : 64, hash);
  const hmac = (secret: Buffer, message: string) => createHmac(hash, secret).update(message).digest();
  const clientKey = hmac(salted, 'Client Key');
  const storedKey = createHash(hash).update(clientKey).digest();
  let first: { bare: string; server: string; nonce: string } | undefined;
  // RFC 5802.
  return (token: Buffer) => {
    const message = token.toString();
    if (first === undefined) {
      const bare = message.replace(/^n,,/, '');
      const [, user, nonce] = /^n=([^,]*),r=(.+)$/.exec(bare) ?? [];
      if (user !== username || nonce === undefined) return undefined;
      const whole = `${nonce}${randomBytes(12).toString('hex')}`;
      first = { bare, nonce: whole, server: `r=${whole},s=${salt.toString('base64')},i=${ITERATIONS}` };
      return { answer: Buffer.from(first.server), done: false };
    }
    const [, withoutProof, nonce, proof] = /^(c=biws,r=([^,]+)),p=(.+)$/.exec(message) ?? [];
    if (withoutProof === undefined || nonce !== first.nonce || proof === undefined) return undefined;
    const signed = `${first.bare},${first.server},${withoutProof}`;
    const signature = hmac(storedKey, signed);
    const shown = Buffer.from(proof, 'base64');
    const expected = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0)));
    if (shown.length !== expected.length || !timingSafeEqual(shown, expected)) return undefined;
    const verifier = hmac(hmac(salted, 'Server Key'), signed).toString('base64');
    return { answer: Buffer.from(`v=${verifier}`), done: true };
  };
}

/** Each frame without the four bytes of its length. */
function onFrames(socket: Socket, handle: (frame: Buffer) => void): void {
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const end = 4 + rest.readInt32BE(0);
      handle(rest.subarray(4, end));
      rest = rest.subarray(end);
    }
  });
}

/** Where a broker is named, its port follows its host. */
function withPort(frame: Buffer, port: number): Buffer {
  const host = text('127.0.0.1');
  const changed = Buffer.from(frame);
  for (let at = changed.indexOf(host); at !== -1; at = changed.indexOf(host, at + 1)) {
    changed.writeInt32BE(port, at + host.length);
  }
  return changed;
}

/** The list of requests, with those of a login: after the correlation id and the code. */
function withLogin(frame: Buffer): Buffer {
  const ranges = [SASL_HANDSHAKE, SASL_AUTHENTICATE].map((key) => Buffer.concat([int16(key), int16(0), int16(1)]));
  return Buffer.concat([
    ...[frame.subarray(0, 6), int32(frame.readInt32BE(6) + ranges.length)],
    ...[...ranges, frame.subarray(10)],
  ]);
}

function framed(correlation: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat([int32(correlation), ...parts]);
  return Buffer.concat([int32(body.length), body]);
}

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2);
  buffer.writeInt16BE(value);
  return buffer;
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}

function text(value: string): Buffer {
  return Buffer.concat([int16(Buffer.byteLength(value)), Buffer.from(value)]);
}

function bytes(value: Buffer): Buffer {
  return Buffer.concat([int32(value.length), value]);
}
