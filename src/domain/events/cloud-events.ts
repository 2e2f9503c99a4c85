/** The three forms in which events come over HTTP (structured, batch, binary), as one. Pure. */
import { type CloudEventInput, cloudEvent, cloudEvents } from '../../schemas/cloud-events.ts';
import { parseWith } from '../../schemas/faults.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { type FieldFault, OrchestratorError } from '../errors.ts';

/** An event as triggers and expressions see it: every attribute of the specification is there, null when it was not sent. */
export interface IncomingEvent extends JsonObject {
  id: string;
  source: string;
  type: string;
  subject: string | null;
  time: string | null;
  data: Json;
}

export interface EventMessage {
  contentType: string;
  /** Lower-case names. */
  headers: Readonly<Record<string, string>>;
  /** Undefined: there was none. */
  body: Json | undefined;
}

const PREFIX = 'ce-';

export function readEvents(message: EventMessage): IncomingEvent[] {
  const { contentType, headers, body } = message;
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  // Plain JSON is taken for what it looks like: not every sender sets the media type.
  const structured = type.startsWith('application/cloudevents');
  if (!structured && headers['ce-specversion'] !== undefined) return [normal(one(fromHeaders(message), PREFIX))];
  if (type === 'application/cloudevents-batch+json' || (!structured && Array.isArray(body))) {
    const parsed = parseWith(cloudEvents, body ?? null);
    if (!parsed.ok) throw invalid(parsed.faults);
    return parsed.value.map(normal);
  }
  return [normal(one(body ?? null, ''))];
}

function one(value: Json, prefix: string): CloudEventInput {
  const parsed = parseWith(cloudEvent, value);
  if (parsed.ok) return parsed.value;
  throw invalid(parsed.faults.map(({ path, message }) => ({ path: `${path === '' ? '' : prefix}${path}`, message })));
}

/** Binary mode: the attributes are headers, the body is the data. Values are percent-encoded where they are not ASCII. */
function fromHeaders({ contentType, headers, body }: EventMessage): JsonObject {
  const attributes = Object.entries(headers).flatMap(([name, value]) =>
    name.startsWith(PREFIX) ? [[name.slice(PREFIX.length), decoded(value)] as const] : [],
  );
  const data = body === undefined ? {} : { datacontenttype: contentType, data: body };
  return { ...Object.fromEntries(attributes), ...data };
}

function decoded(value: string): string {
  const bare = /^".*"$/.test(value) ? value.slice(1, -1).replaceAll(/\\(.)/g, '$1') : value;
  try {
    return decodeURIComponent(bare);
  } catch {
    return bare;
  }
}

function normal({ subject, time, data, ...rest }: CloudEventInput): IncomingEvent {
  const left = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as JsonObject; // Only JSON is left.
  const { id, source, type } = rest;
  return { ...left, id, source, type, subject: subject ?? null, time: time ?? null, data: data ?? null };
}

function invalid(errors: FieldFault[]): OrchestratorError {
  const named = errors.slice(0, 10).map(({ path, message }) => (path === '' ? message : `${path} ${message}`));
  return new OrchestratorError('invalid_request', `This is no CloudEvent: ${named.join('; ')}`, { errors });
}
