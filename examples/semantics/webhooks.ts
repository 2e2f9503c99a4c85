/** An address that hears how runs end, by signed calls. It is opened here, so the service has to run on this machine. */
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { begin, type Example, executionWhen } from './example.ts';

const DEFINITION = { name: 'heard_of', actions: [{ action_id: 'work', action_type: 'test_task' }] };
const created = z.looseObject({ webhook_id: z.string(), secret: z.string() });
const heard = z.looseObject({ type: z.string(), data: z.looseObject({ execution_id: z.string().optional() }) });
const PATIENCE_MS = 20_000;

export const webhooks: Example = {
  name: 'webhooks',
  async run(api, say) {
    const calls: Array<{ body: string; id: string; timestamp: string; signature: string }> = [];
    const receiver = createServer(async (request, response) => {
      const header = (name: string) => String(request.headers[name]);
      const [id, timestamp, signature] = [
        header('webhook-id'),
        header('webhook-timestamp'),
        header('webhook-signature'),
      ];
      calls.push({ body: await text(request), id, timestamp, signature });
      response.writeHead(204).end();
    }).listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    const { port } = receiver.address() as AddressInfo; // It listens on a port.
    try {
      const hook = { url: `http://127.0.0.1:${port}/`, events: ['run.completed'] };
      const { webhook_id, secret } = await api.post('/webhooks', hook, created);
      const id = await begin(api, DEFINITION);
      await executionWhen(api, id);
      const deadline = performance.now() + PATIENCE_MS;
      const ours = () => calls.find(({ body }) => heard.parse(JSON.parse(body)).data.execution_id === id);
      while (ours() === undefined && performance.now() < deadline)
        await new Promise((resolve) => setTimeout(resolve, 100));
      await api.put(`/webhooks/${webhook_id}`, { active: false }, z.unknown());
      const call = ours();
      if (call === undefined) return false;
      const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
      const expected = createHmac('sha256', key).update(`${call.id}.${call.timestamp}.${call.body}`).digest('base64');
      const genuine = call.signature === `v1,${expected}`;
      say(
        `${heard.parse(JSON.parse(call.body)).type}, ${genuine ? 'signed by the service' : 'NOT signed as it should be'}`,
      );
      return genuine;
    } finally {
      receiver.close();
    }
  },
};
