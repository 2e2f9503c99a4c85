/** Events from outside. */

import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';
import { OrchestratorError } from '../../domain/errors.ts';
import { readEvents } from '../../domain/events/cloud-events.ts';
import { bodyOf } from '../../http/middleware/body.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import * as schemas from '../../schemas/cloud-events.ts';
import type { IncomingEvents } from './take-events.ts';

export const receiveEvents = operation({
  id: 'receiveEvents',
  permission: 'executions:run',
  signedBy: 'webhook',
  tag: 'Executions',
  method: 'post',
  path: '/events',
  summary: 'Receive events that start workflows or end waits',
  description:
    'Accepts CloudEvents 1.0 in JSON: one (`application/cloudevents+json`), up to 100 (`application/cloudevents-batch+json`), or the binary mode, with the attributes as `ce-` headers and the data as the body. An event starts the workflows with matching `triggers`, and is the message for waiting `signal` actions whose `event` and `correlation_key` match its type and subject. It is stored before the response, and processed exactly once despite crashes; a repeated `source` and `id` change nothing and return the original results. A sender without credentials signs a single JSON document as in Standard Webhooks, and names the tenant if several tenants accept signed events.',
  query: schemas.receiveEventsQuery,
  // The three forms are read by the handler, with the headers.
  body: z.unknown().transform(() => ({})),
  bodyDocument: schemas.cloudEventOrBatch,
  bodyOthers: {
    'application/cloudevents+json': schemas.cloudEvent,
    'application/cloudevents-batch+json': schemas.cloudEvents,
  },
  bodyOptional: true,
  headers: {
    'ce-specversion': 'Binary mode: `1.0`',
    'ce-id': 'Binary mode',
    'ce-source': 'Binary mode',
    'ce-type': 'Binary mode',
    'ce-subject': 'Binary mode',
  },
  answers: {
    202: { description: 'The events are stored; the response shows their results', schema: schemas.receivedEvents },
  },
  problems: ['queue_full'],
});

interface Needs {
  incoming: Pick<IncomingEvents, 'receive'>;
}

export const incomingEventRoutes = endpoints([receiveEvents], serve);

function serve(routes: Routes, { incoming }: Needs): void {
  routes.serve(receiveEvents, async ({ request, query, caller, response }) => {
    if (query.tenant_id !== undefined && query.tenant_id !== caller.tenantId) {
      throw new OrchestratorError('forbidden', 'tenant_id names another tenant than the credentials');
    }
    const headers = textsOf(request.headers);
    const events = readEvents({ contentType: headers['content-type'] ?? '', headers, body: bodyOf(request) });
    const { accepted, repeated, outcomes, pending } = await incoming.receive(caller, events);
    const collect = <T extends object>(pick: (outcome: (typeof outcomes)[number]['outcome']) => readonly T[]) =>
      outcomes.flatMap(({ eventId, outcome }) => pick(outcome).map((item) => ({ event_id: eventId, ...item })));
    sendJson(response, 202, {
      accepted,
      repeated,
      started: collect(({ started }) => started),
      signalled: collect(({ signalled }) => signalled),
      failed: collect(({ failed }) => failed),
      pending,
    });
  });
}

function textsOf(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
  );
}
