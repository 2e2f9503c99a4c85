/**
 * Requests that never leave the process: what speaks another protocol (HTTP/2, gRPC) is served by the HTTP/1.1 server over a
 * connection in memory. So it passes the whole middleware, and no rule has to be written twice.
 */
import { type ClientRequest, request } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

export interface InProcessRequest {
  method: string;
  path: string;
  /** Names and values in turn, as `rawHeaders` has them: what came twice arrives twice. */
  headers: readonly string[];
}

export interface InProcess {
  /** Sends a request as if it had come on the connection `carrier`, whose address and certificate are its own. */
  request(carrier: Socket, options: InProcessRequest): ClientRequest;
  /** Says which server takes the requests. */
  serveBy(connected: (socket: Duplex) => void): void;
}

export function createInProcess(): InProcess {
  let connected: ((socket: Duplex) => void) | undefined;
  return {
    serveBy(server) {
      connected = server;
    },
    request(carrier, { method, path, headers }) {
      const serve = connected;
      if (serve === undefined) throw new Error('no server takes requests in the process yet');
      const createConnection = () => {
        const server = new ServerSide(carrier);
        const client = new Side();
        server.join(client);
        client.join(server);
        serve(server);
        return client;
      };
      return request({ method, path, headers, createConnection });
    },
  };
}

/** The connection from outside on which a request came, also where it was passed on in the process. */
export function carrierOf(socket: object): unknown {
  return socket instanceof ServerSide ? socket.carrier : socket;
}

/** One end of a connection in memory. What one end writes waits until the other has read it. */
class Side extends Duplex {
  #other: Side | undefined;
  #written: (() => void) | undefined;

  join(other: Side): void {
    this.#other = other;
  }

  override _read(): void {
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  override _write(chunk: Buffer, _encoding: string, written: () => void): void {
    const other = this.#other;
    if (other === undefined || other.destroyed || chunk.length === 0) {
      process.nextTick(written);
      return;
    }
    other.#written = written;
    other.push(chunk);
  }

  override _final(ended: () => void): void {
    this.#other?.push(null);
    ended();
  }

  override _destroy(error: Error | null, destroyed: (error: Error | null) => void): void {
    const other = this.#other;
    // What has ended well is still read by the other end; it ends itself.
    if (!this.writableFinished && other?.destroyed === false) process.nextTick(() => other.destroy());
    this.#written?.();
    this.#written = undefined;
    destroyed(error);
  }

  /** As a socket has it: the server calls it after the last answer. */
  destroySoon(): void {
    this.end();
  }
}

/** The server's end: it has the address of the connection that carries the request. */
class ServerSide extends Side {
  readonly carrier: Socket;
  readonly encrypted: boolean;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly remoteFamily: string | undefined;

  constructor(carrier: Socket) {
    super();
    this.carrier = carrier;
    this.encrypted = carrier instanceof TLSSocket;
    this.remoteAddress = carrier.remoteAddress;
    this.remotePort = carrier.remotePort;
    this.remoteFamily = carrier.remoteFamily;
  }
}
