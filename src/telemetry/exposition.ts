/**
 * Metrics as text: the format of Prometheus, or OpenMetrics 1.0, which carries exemplars. (prom-client's own OpenMetrics
 * renames the counters of the registry for good, so that the next text would have other names.)
 */
import type { MetricObjectWithValues, MetricValue } from 'prom-client';

export type Family = MetricObjectWithValues<MetricValue<string>>;
export type ExpositionFormat = 'text' | 'openmetrics';

export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

export interface Exemplar {
  labelSet: Readonly<Record<string, string>>;
  value: number;
  /** Seconds since 1970. */
  timestamp: number;
}

/** What a histogram's value has beside what its type says. */
type Value = MetricValue<string> & { metricName?: string; exemplar?: Exemplar | null };

/** Each is the end of the names of what is measured in it. */
const UNITS = ['seconds', 'bytes', 'ratio'];

export function exposition(families: readonly Family[], format: ExpositionFormat): string {
  const blocks = families.map((family) => (format === 'text' ? asText(family) : asOpenMetrics(family)).join('\n'));
  return format === 'text' ? `${blocks.join('\n\n')}\n` : `${[...blocks, '# EOF'].join('\n')}\n`;
}

function asText(family: Family): string[] {
  const { name, help, type } = family;
  return [
    `# HELP ${name} ${escaped(help)}`,
    `# TYPE ${name} ${type}`,
    ...valuesOf(family).map((value) => `${value.metricName ?? name}${labelsOf(value.labels)} ${number(value.value)}`),
  ];
}

function asOpenMetrics(family: Family): string[] {
  const isCounter = family.type.toString() === 'counter';
  const name = isCounter ? family.name.replace(/_total$/, '') : family.name;
  const unit = UNITS.find((one) => name.endsWith(`_${one}`));
  return [
    `# HELP ${name} ${escaped(family.help).replaceAll('"', '\\"')}`,
    `# TYPE ${name} ${family.type}`,
    ...(unit === undefined ? [] : [`# UNIT ${name} ${unit}`]),
    ...valuesOf(family).map(({ metricName, labels, value, exemplar }) => {
      const line = `${metricName ?? (isCounter ? `${name}_total` : name)}${labelsOf(canonical(labels))} ${number(value)}`;
      return exemplar === undefined || exemplar === null ? line : `${line} # ${exemplarText(exemplar)}`;
    }),
  ];
}

function valuesOf({ values }: Family): Value[] {
  return values; // A histogram's have more.
}

/** The bounds of buckets are floating point numbers there, also where they are whole. */
function canonical(labels: Value['labels']): Value['labels'] {
  const { le } = labels;
  return le === undefined || !Number.isInteger(Number(le)) ? labels : { ...labels, le: `${le}.0` };
}

function exemplarText({ labelSet, value, timestamp }: Exemplar): string {
  return `${labelsOf(labelSet) || '{}'} ${number(value)} ${timestamp}`;
}

function labelsOf(labels: Value['labels']): string {
  const parts = Object.entries(labels).map(
    ([name, value]) => `${name}="${escaped(String(value)).replaceAll('"', '\\"')}"`,
  );
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function number(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  return Number.isFinite(value) ? String(value) : value > 0 ? '+Inf' : '-Inf';
}
