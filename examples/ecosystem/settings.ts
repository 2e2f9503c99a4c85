/** What `npm run example:ecosystem` is told, by its environment and its arguments. */
import { z } from 'zod';
import { runningPostgresUrl } from '../../src/launch/postgres-server.ts';
import { type Target, targetFrom } from '../orchestrator.ts';
import { type Fault, fault } from './faults.ts';

export interface Settings {
  target: Target;
  host: string;
  ports: 'older' | 'free';
  controlPort: number;
  advertise: ((name: string, port: number) => string) | undefined;
  faults: ReadonlyMap<string, Fault>;
  ttlSeconds: number;
  withOrchestrator: boolean;
}

const environmentShape = z.object({
  ECOSYSTEM_HOST: z.string().default('127.0.0.1'),
  ECOSYSTEM_CONTROL_PORT: z.coerce.number().int().min(0).max(65_535).default(5199),
  ECOSYSTEM_ADVERTISE: z.string().optional(),
  ECOSYSTEM_TTL_SECONDS: z.coerce.number().int().min(3).max(3_600).default(30),
  ECOSYSTEM_FAULTS: z.string().default('{}'),
});
const OPTIONS = ['--free-ports', '--with-orchestrator'];

export function readSettings(environment: Record<string, string | undefined>, options: readonly string[]): Settings {
  const unknown = options.find((option) => !OPTIONS.includes(option));
  if (unknown !== undefined) throw new Error(`${unknown} is no option: ${OPTIONS.join(', ')}.`);
  // Container files pass a variable on as an empty text when it is not set.
  const given = Object.fromEntries(Object.entries(environment).filter(([, text]) => text !== ''));
  const { data: values, error } = environmentShape.safeParse(given);
  if (error !== undefined) throw new Error(z.prettifyError(error));
  const { ECOSYSTEM_ADVERTISE: advertised } = values;
  return {
    target: targetFrom(environment),
    host: values.ECOSYSTEM_HOST,
    ports: options.includes('--free-ports') ? 'free' : 'older',
    controlPort: values.ECOSYSTEM_CONTROL_PORT,
    advertise:
      advertised === undefined
        ? undefined
        : // A name of a host has no underscores.
          (name, port) => advertised.replace('{name}', name.replaceAll('_', '-')).replace('{port}', String(port)),
    faults: new Map(Object.entries(readFaults(values.ECOSYSTEM_FAULTS))),
    ttlSeconds: values.ECOSYSTEM_TTL_SECONDS,
    withOrchestrator: options.includes('--with-orchestrator'),
  };
}

/** The database of doc_store: DATABASE_URL, or the one that `npm start` runs in DATA_DIR. */
export function findDatabase(environment: Record<string, string | undefined>): Promise<string | undefined> {
  const url = environment['DATABASE_URL'];
  if (url !== undefined && url !== '') return Promise.resolve(url);
  return runningPostgresUrl(environment['DATA_DIR'] ?? './data');
}

function readFaults(text: string): Record<string, Fault> {
  const faults = z.record(z.string(), fault).safeParse(parseJson(text));
  if (!faults.success) throw new Error(`ECOSYSTEM_FAULTS: ${z.prettifyError(faults.error)}`);
  return faults.data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('ECOSYSTEM_FAULTS is not JSON.');
  }
}
