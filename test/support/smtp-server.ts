/** A real, very small SMTP server on a free port of loopback. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

export interface SmtpServer {
  url: string;
  messages: Array<{ from: string; to: string[]; data: string }>;
  close(): Promise<void>;
}

/** `refuse`: the reply to every recipient, for example `550 unknown`. */
export async function startSmtpServer(refuse?: string): Promise<SmtpServer> {
  const messages: SmtpServer['messages'] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.write('220 test\r\n');
    let buffer = '';
    let message: { from: string; to: string[]; data: string } = { from: '', to: [], data: '' };
    let inData = false;
    socket.on('data', (chunk) => {
      buffer += chunk.toString();
      for (let end = buffer.indexOf('\r\n'); end >= 0; end = buffer.indexOf('\r\n')) {
        const line = buffer.slice(0, end);
        buffer = buffer.slice(end + 2);
        if (inData) {
          if (line !== '.') {
            message.data += `${line}\n`;
            continue;
          }
          inData = false;
          messages.push(message);
          message = { from: '', to: [], data: '' };
          socket.write('250 kept\r\n');
        } else if (line.startsWith('MAIL FROM:')) {
          message.from = line.slice(10);
          socket.write('250 ok\r\n');
        } else if (line.startsWith('RCPT TO:')) {
          if (refuse === undefined) message.to.push(line.slice(8));
          socket.write(`${refuse ?? '250 ok'}\r\n`);
        } else if (line === 'DATA') {
          inData = true;
          socket.write('354 go on\r\n');
        } else if (line === 'QUIT') {
          socket.end('221 bye\r\n');
        } else socket.write('250 ok\r\n');
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // It listens on a port.
  return {
    url: `smtp://127.0.0.1:${port}`,
    messages,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
