/** The control door: on loopback only, because whoever reaches it decides what the services do. */
import express, { type Express } from 'express';
import { z } from 'zod';
import { type Fault, fault } from './faults.ts';
import type { StagedService } from './route.ts';

const order = z.strictObject({ service: z.string(), fault });

export function controlApp(
  services: ReadonlyMap<string, StagedService>,
  afflict: (name: string, next: Fault) => Promise<void>,
): Express {
  const app = express().disable('x-powered-by');
  app.use(express.json());
  app.get('/_faults', (_request, response) => {
    response.json({
      services: [...services.values()].map(({ name, url, fault: current, received }) => ({
        name,
        url,
        fault: current(),
        calls: received.length,
      })),
    });
  });
  app.post('/_faults', async (request, response) => {
    const wanted = order.safeParse(request.body);
    if (!wanted.success) return void response.status(400).json({ error: z.prettifyError(wanted.error) });
    const { service, fault: next } = wanted.data;
    if (!services.has(service)) {
      return void response.status(404).json({ error: `there is no ${service}: ${[...services.keys()].join(', ')}` });
    }
    await afflict(service, next);
    response.json({ service, fault: next });
  });
  app.get('/_calls', (request, response) => {
    const service = services.get(String(request.query['service']));
    if (service === undefined) return void response.status(404).json({ error: 'there is no such service' });
    response.json({ service: service.name, calls: service.received });
  });
  return app;
}
