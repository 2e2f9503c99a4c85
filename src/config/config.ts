/** The only reader of the environment: settings from all sources, checked at once, as one frozen object. */
import { crossChecks } from './cross-checks.ts';
import { configOf, hostOf } from './derive.ts';
import { freeze } from './freeze.ts';
import { withKeyFile } from './named-values.ts';
import { labelsOf, readSettings } from './read-settings.ts';
import { SETTINGS } from './settings/all.ts';
import { placed } from './settings/setting.ts';
import { type Layer, readSources } from './sources.ts';
import { checkServiceTls, readTls } from './tls.ts';

export type Config = ReturnType<typeof read>;

/** All that is wrong, one sentence each. */
export class ConfigError extends Error {
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(['The configuration cannot work:', ...faults.map((fault) => `  - ${fault}`)].join('\n'));
    this.name = 'ConfigError';
    this.faults = faults;
  }
}

interface Options {
  cwd?: string;
  /** false: the files of TLS are not read; a program that neither listens nor calls others need not have them. */
  listens?: boolean;
}

export function loadConfig(environment: Layer = process.env, options: Options = {}): Config {
  return freeze(read(environment, options));
}

function read(environment: Layer, { cwd: folder = process.cwd(), listens = true }: Options) {
  const faults: string[] = [];
  const sources = readSources(environment, folder, faults);
  const { values: parsed, found } = readSettings(sources, faults);
  if (parsed === undefined) throw new ConfigError(faults);
  const values = withKeyFile(parsed, found, faults);
  const settings = placed(SETTINGS, values, folder);
  const label = labelsOf(found);
  faults.push(...crossChecks(settings, hostOf(settings), label));
  const tls = settings.tls.enabled && listens ? readTls({ settings: settings.tls, label, folder }, faults) : undefined;
  if (listens) checkServiceTls(settings, label, faults);
  if (faults.length > 0) throw new ConfigError(faults);
  return { ...configOf({ settings, values, found, sources }), tls };
}

/** This process's environment with some variables changed, for a process that it starts. */
export function environmentWith(changes: Layer): Layer {
  // npm ends the process that it started; that one ends its own.
  return { ...process.env, npm_lifecycle_event: undefined, ...changes };
}

/** The variables that any program needs, for a process that must not see the settings of this service. */
export function bareEnvironment(): Layer {
  const passed = ['PATH', 'HOME', 'TMPDIR', 'TEMP', 'SystemRoot', 'LANG', 'TZ', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE'];
  return Object.fromEntries(passed.map((name) => [name, process.env[name]]));
}
