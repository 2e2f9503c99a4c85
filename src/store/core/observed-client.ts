/** Connections that report of every statement whether the database took it: all SQL passes here. */
import type pg from 'pg';
import { storeFault } from './sqlstate.ts';

export interface StatementObserver {
  /** Undefined: the database took it. Faults of what was sent with it are no concern of this. */
  ended(statement: string, fault: ReturnType<typeof storeFault>, error?: unknown): void;
  /** False: nothing fails, so a success need not be reported. */
  hasFaults(): boolean;
}

type ClientClass = new (config?: pg.ClientConfig) => pg.Client;

export function observedClient(Client: ClientClass, observer: StatementObserver): ClientClass {
  return class extends Client {
    constructor(config?: pg.ClientConfig) {
      super(config);
      observe(this, observer);
    }
  };
}

function observe(client: pg.Client, observer: StatementObserver): void {
  const query = client.query.bind(client) as (...args: unknown[]) => unknown; // All of its overloads.
  const took = (statement: unknown) => {
    if (observer.hasFaults()) observer.ended(nameOf(statement), undefined);
  };
  const failed = (statement: unknown, error: unknown) => {
    const fault = storeFault(error);
    if (fault !== undefined) observer.ended(nameOf(statement), fault, error);
  };
  const observed = (first: unknown, ...others: unknown[]) => {
    const made = query(
      first,
      ...others.map((one) => {
        if (typeof one !== 'function') return one;
        return (error: unknown, result: unknown) => {
          if (error === null || error === undefined) took(first);
          else failed(first, error);
          one(error, result);
        };
      }),
    );
    if (!(made instanceof Promise)) return made;
    return made.then(
      (result: unknown) => {
        took(first);
        return result;
      },
      (error: unknown) => {
        failed(first, error);
        throw error;
      },
    );
  };
  client.query = observed as typeof client.query;
}

const VERB =
  /^\s*(?:WITH\b[\s\S]*?\b(?=INSERT|UPDATE|DELETE))?\s*(SELECT|INSERT|UPDATE|DELETE|WITH|BEGIN|COMMIT|SET)\b/i;
const TABLE = /\b(?:INTO|UPDATE|FROM|JOIN)\s+(?:"?public"?\.)?"?([a-z_]{2,40})"?/i;

/** Its own name, or what it does to which table: never its text. */
export function nameOf(statement: unknown): string {
  const text = typeof statement === 'string' ? statement : textOf(statement);
  if (typeof statement === 'object' && statement !== null && 'name' in statement && typeof statement.name === 'string')
    if (statement.name !== '') return statement.name;
  const verb = VERB.exec(text)?.[1]?.toLowerCase() ?? 'statement';
  const table = TABLE.exec(text)?.[1]?.toLowerCase();
  return table === undefined ? verb : `${verb} ${table}`;
}

function textOf(statement: unknown): string {
  if (typeof statement !== 'object' || statement === null || !('text' in statement)) return '';
  return typeof statement.text === 'string' ? statement.text : '';
}
