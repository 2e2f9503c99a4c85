/** What the benchmark is told on the command line. */
import { parseArgs } from 'node:util';
import { positiveNumber } from '../test/harness/command-line/numbers.ts';
import { WORKLOADS, type Workload } from './workloads.ts';

export interface Options {
  /** Length of one measurement of one side, about. */
  seconds: number;
  repeat: number;
  /** Of each side, the same time for all. */
  warmSeconds: number;
  workloads: readonly Workload[];
  curve: boolean;
  noisy: boolean;
  /** Runs that wait at a time, for the cost curve. */
  backlogs: readonly number[];
  /** Runs that sleep, for what they cost; 0: that is not measured. */
  sleepers: number;
  /** Tasks of which is counted what they leave behind; 0: that is not measured. */
  bytes: number;
  /** Flow runs that come by messages, of each measurement; 0: that is not measured. */
  flows: number;
  /** A folder for CPU profiles of the API and the worker. */
  profile: string | undefined;
  /** Of the files in bench/results. */
  name: string;
}

export const HELP = `npm run bench -- [options]
  --seconds <n>   length of one measurement of one side (4)
  --repeat <n>    measurements of each side, interleaved; the median counts (3)
  --warm <n>      seconds of warming up, for each side and workload (as --seconds)
  --only <list>   workloads, of W1,W2,W3,W4 (all)
  --curve         the cost curve instead: queued runs, workers, fan-out
  --noisy         another tenant's tasks and /livez while one tenant does all it can to stop them
  --backlogs <l>  with --curve: how many runs are queued (1000,10000,100000)
  --sleepers <n>  what so many sleeping runs cost instead
  --bytes <n>     what so many tasks leave behind in the stores instead
  --flows <n>     flow runs a second by messages and by the bulk API, so many at a time, instead
  --profile <dir> writes CPU profiles of the API and the worker
  --name <name>   of the files in bench/results (bench, curve, noisy, bytes or flows)`;

export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string', default: '4' },
      repeat: { type: 'string', default: '3' },
      warm: { type: 'string' },
      only: { type: 'string' },
      curve: { type: 'boolean', default: false },
      noisy: { type: 'boolean', default: false },
      backlogs: { type: 'string', default: '1000,10000,100000' },
      sleepers: { type: 'string' },
      bytes: { type: 'string' },
      flows: { type: 'string' },
      profile: { type: 'string' },
      name: { type: 'string' },
    },
  });
  const wanted = values.only?.split(',');
  const workloads = WORKLOADS.filter(({ id }) => wanted === undefined || wanted.includes(id));
  if (workloads.length !== (wanted?.length ?? WORKLOADS.length)) throw new Error(`--only: unknown in ${values.only}`);
  return {
    seconds: positiveNumber('seconds', values.seconds),
    repeat: positiveNumber('repeat', values.repeat),
    warmSeconds: positiveNumber('warm', values.warm ?? values.seconds),
    workloads,
    curve: values.curve,
    noisy: values.noisy,
    backlogs: values.backlogs.split(',').map((text) => positiveNumber('backlogs', text)),
    sleepers: values.sleepers === undefined ? 0 : positiveNumber('sleepers', values.sleepers),
    bytes: values.bytes === undefined ? 0 : positiveNumber('bytes', values.bytes),
    flows: values.flows === undefined ? 0 : positiveNumber('flows', values.flows),
    profile: values.profile,
    name: values.name ?? nameOf(values),
  };
}

function nameOf(values: {
  curve: boolean;
  noisy: boolean;
  bytes?: string | undefined;
  flows?: string | undefined;
}): string {
  if (values.curve) return 'curve';
  if (values.noisy) return 'noisy';
  if (values.bytes !== undefined) return 'bytes';
  return values.flows === undefined ? 'bench' : 'flows';
}
