/** What a service of the stage is made of: routes, each with its schemas and the function behind it. */
import type { Response } from 'express';
import type { z } from 'zod';
import type { Fault } from './faults.ts';

export interface ServiceDefinition {
  /** As `service_call` names it. */
  name: string;
  /** Where the older platform had it. */
  port: number;
  description: string;
  open(surroundings: Surroundings): OpenService | Promise<OpenService>;
}

export interface OpenService {
  routes: readonly Route[];
  close?(): Promise<void>;
}

export interface Surroundings {
  /** What is on disk, see fixtures/. */
  fixtures: string;
  /** The PostgreSQL of doc_store. */
  databaseUrl: string | undefined;
}

/** Asks another service of the stage; what it refuses is refused with the same status. */
export type Ask = (service: string, method: 'GET' | 'POST', path: string, input: object) => Promise<unknown>;

export interface Call<Input> {
  /** The body, or query and path of a GET. */
  input: Input;
  /** The same each time that a task is tried again: whoever stores something uses it. */
  idempotencyKey: string | undefined;
  ask: Ask;
  /** Takes the place of the JSON answer: Server-Sent Events. */
  response: Response;
}

export interface Route {
  method: 'get' | 'post';
  /** `{id}` is a part of it that varies. */
  path: string;
  summary: string;
  input: z.ZodObject;
  answer: z.ZodType;
  status: number;
  run(call: Call<unknown>): unknown;
}

/** What a service got, for whoever wants to see it. */
export interface Received {
  method: string;
  path: string;
  query: Record<string, unknown>;
  body: unknown;
  idempotency_key: string | undefined;
  correlation_id: string | undefined;
  traceparent: string | undefined;
}

export class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = 'Refusal';
    this.status = status;
  }
}

export function route<Input extends z.ZodObject, Answer extends z.ZodType>(
  method: 'get' | 'post',
  path: string,
  about: { summary: string; input: Input; answer: Answer; status?: number },
  run: (call: Call<z.output<Input>>) => z.input<Answer> | undefined | Promise<z.input<Answer> | undefined>,
): Route {
  return {
    method,
    path,
    ...about,
    status: about.status ?? 200,
    run: (call) => run({ ...call, input: about.input.parse(call.input) }),
  };
}

/** A service as the stage shows it. */
export interface StagedService {
  name: string;
  url: string;
  /** The paths of its routes. */
  endpoints: string[];
  received: readonly Received[];
  fault(): Fault;
}
