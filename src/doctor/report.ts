/** `npm run doctor`: its arguments and its report. */
import { parseArgs } from 'node:util';
import { examine } from '../compose/doctor.ts';
import { type Config, ConfigError, loadConfig } from '../config/config.ts';
import { runningPostgresUrl } from '../launch/postgres-server.ts';
import { VERSION } from '../version.ts';
import { describeFinding, exitCode, type Finding, ok, problem } from './finding.ts';

const DAYS = 7;
const USAGE = 'npm run doctor -- [--json] [--repair] [--days=7]';

export interface DoctorOptions {
  json: boolean;
  repair: boolean;
  days: number;
}

/** Throws for unknown arguments. */
export function readArguments(args: readonly string[]): DoctorOptions {
  const { values } = parseArgs({
    args: [...args],
    options: { json: { type: 'boolean' }, repair: { type: 'boolean' }, days: { type: 'string' } },
  });
  const days = Number(values.days ?? DAYS);
  if (!Number.isInteger(days) || days < 1 || days > 36_500)
    throw new Error(`--days must be a number of days: ${USAGE}`);
  return { json: values.json === true, repair: values.repair === true, days };
}

/** Resolves to the exit code. */
export async function runDoctor(args: readonly string[], say: (text: string) => void): Promise<number> {
  const { json, repair, days } = readArguments(args);
  const findings = await findAll(repair, days);
  const code = exitCode(findings);
  if (json)
    say(`${JSON.stringify({ version: VERSION, repair, exit_code: code, findings: findings.map(jsonOf) }, null, 2)}\n`);
  else say(`${[...findings.map(describeFinding), '', summaryOf(findings, repair)].join('\n')}\n`);
  return code;
}

async function findAll(repair: boolean, days: number): Promise<Finding[]> {
  let config: Config;
  try {
    config = loadConfig(undefined, { listens: false });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map((fault) => problem('configuration', fault, 'docs/configuration.md has every variable.'));
  }
  const configured = ok('configuration', 'it can work');
  const databaseUrl = config.databaseUrl ?? (await runningPostgresUrl(config.dataDir));
  if (databaseUrl === undefined) {
    const message = `DATABASE_URL is not set, and no \`npm start\` runs in ${config.dataDir}`;
    return [configured, problem('postgres', message, 'Set DATABASE_URL, or DATA_DIR to the folder of the start.')];
  }
  return [configured, ...(await examine({ config, databaseUrl, repair, days }))];
}

function jsonOf({ whatToDo, ...finding }: Finding): object {
  return { ...finding, ...(whatToDo === undefined ? {} : { what_to_do: whatToDo }) };
}

function summaryOf(findings: readonly Finding[], repair: boolean): string {
  const count = (status: Finding['status']) => findings.filter((finding) => finding.status === status).length;
  const left = findings.filter(({ repairable, repaired }) => repairable === true && repaired === undefined).length;
  const hint = left > 0 && !repair ? ` ${left} of them can be repaired: npm run doctor -- --repair` : '';
  return `${findings.length} checks: ${count('problem')} problems, ${count('warning')} warnings, ${count('unknown')} could not be made.${hint}`;
}
