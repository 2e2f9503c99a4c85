/** What the drill is told on the command line. */
import { parseArgs } from 'node:util';
import { wholeNumber } from '../test/harness/command-line/numbers.ts';
import { BACKENDS, type BackendKind } from '../test/harness/servers/backends.ts';

export interface Options {
  backend: BackendKind;
  runs: number;
  /** Locks of a second and a half instead of those of production. */
  hurried: boolean;
  help: boolean;
}

export const HELP = `npm run drill -- [options]
  --backend <kind>  redis or postgres: where the queue is (redis)
  --runs <n>        how many runs are accepted, a part of them before each fault and a part during it (300)
  --hurried         short locks: recovery takes seconds, and its times are not those of production
  --help`;

export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      backend: { type: 'string', default: 'redis' },
      runs: { type: 'string', default: '300' },
      hurried: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const { hurried, help } = values;
  const backend = BACKENDS.find((kind) => kind === values.backend);
  if (backend === undefined) throw new Error(`--backend must be redis or postgres, not '${values.backend}'`);
  return { backend, runs: wholeNumber('runs', values.runs, 1), hurried, help };
}
