/**
 * A strict reader of what `/metrics` tells, written from the formats' descriptions (Prometheus text 0.0.4, OpenMetrics 1.0): it
 * throws at the first thing that a scraper might take offence at.
 */
export interface ParsedSample {
  name: string;
  labels: Record<string, string>;
  value: number;
  exemplar?: { labels: Record<string, string>; value: number; timestamp: number };
}

export interface ParsedFamily {
  name: string;
  help: string;
  type: string;
  unit: string | undefined;
  samples: ParsedSample[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABELS = String.raw`\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"(?:,(?=[a-zA-Z_])|(?=\})))*)\}`;
const NUMBER = String.raw`-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|\+Inf|-Inf|NaN`;
const SAMPLE = new RegExp(`^(${NAME})(?:${LABELS})? (${NUMBER})(?: # ${LABELS} (${NUMBER}) (\\d+(?:\\.\\d+)?))?$`);
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"/g;

export function parseExposition(text: string, format: 'text' | 'openmetrics'): Map<string, ParsedFamily> {
  const open = format === 'openmetrics';
  if (!text.endsWith('\n') || text.endsWith('\n\n')) throw new Error('the text must end with one line break');
  const lines = text.slice(0, -1).split('\n');
  if (open && lines.pop() !== '# EOF') throw new Error('the last line must be # EOF');
  const families = new Map<string, ParsedFamily>();
  const seen = new Set<string>();
  let current: ParsedFamily | undefined;
  for (const line of lines) {
    if (line === '') {
      if (open) throw new Error('an empty line');
      continue;
    }
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE|UNIT) (\S+) (.*)$/.exec(line) ?? [];
    if (kind === 'HELP') {
      if (families.has(name)) throw new Error(`${name} has HELP twice`);
      if (rest.trim() === '') throw new Error(`${name} says nothing`);
      current = { name, help: rest, type: '', unit: undefined, samples: [] };
      families.set(name, current);
    } else if (kind !== undefined) {
      if (current?.name !== name) throw new Error(`${kind} of ${name} apart from its HELP`);
      if (current.samples.length > 0) throw new Error(`${kind} of ${name} after its samples`);
      if (kind === 'TYPE' && current.type !== '') throw new Error(`${name} has TYPE twice`);
      if (kind === 'TYPE') current.type = rest;
      else if (!open || !name.endsWith(`_${rest}`)) throw new Error(`${name} is not measured in ${rest}`);
      else current.unit = rest;
    } else {
      if (current === undefined) throw new Error(`nothing says what this is: ${line}`);
      const sample = sampleOf(line);
      checkSample(current, sample, open);
      const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
      if (seen.has(key)) throw new Error(`told twice: ${line}`);
      seen.add(key);
      current.samples.push(sample);
    }
  }
  for (const family of families.values()) checkFamily(family, open);
  return families;
}

function sampleOf(line: string): ParsedSample {
  const found = SAMPLE.exec(line);
  if (found === null) throw new Error(`not a sample: ${line}`);
  const [, name = '', labels = '', value = '', pointed, pointedValue = '', timestamp = ''] = found;
  const exemplar =
    pointed === undefined
      ? {}
      : { exemplar: { labels: labelsOf(pointed), value: Number(pointedValue), timestamp: Number(timestamp) } };
  return { name, labels: labelsOf(labels), value: numberOf(value), ...exemplar };
}

function labelsOf(text: string): Record<string, string> {
  const found = [...text.matchAll(LABEL)].map(([, name = '', value = '']) => [name, value] as const);
  const labels = Object.fromEntries(found);
  if (Object.keys(labels).length !== found.length) throw new Error(`a label twice: ${text}`);
  return labels;
}

function numberOf(text: string): number {
  return text === '+Inf' ? Number.POSITIVE_INFINITY : text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text);
}

function checkSample(
  { name: family, type }: ParsedFamily,
  { name, labels, exemplar }: ParsedSample,
  open: boolean,
): void {
  const endings: Record<string, string[]> = {
    counter: [open ? '_total' : ''],
    gauge: [''],
    histogram: ['_bucket', '_sum', '_count'],
    summary: ['', '_sum', '_count'],
  };
  if (endings[type]?.some((ending) => name === `${family}${ending}`) !== true)
    throw new Error(`${name} is no sample of the ${type} ${family}`);
  if (type === 'counter' && !open && !family.endsWith('_total')) throw new Error(`${family} counts and has no _total`);
  if (type === 'gauge' && /_(?:total|count|sum|bucket|info_total)$/.test(family))
    throw new Error(`${family} is a gauge`);
  if (name.endsWith('_bucket') && open && !/^(?:-?\d+\.\d+(?:e[+-]?\d+)?|\+Inf)$/.test(labels['le'] ?? ''))
    throw new Error(`le="${labels['le']}" of ${name} is not in canonical form`);
  if (exemplar === undefined) return;
  if (!open || !name.endsWith('_bucket')) throw new Error(`${name} may not have an exemplar`);
  if (Object.entries(exemplar.labels).join('').length > 128) throw new Error(`the exemplar of ${name} is too long`);
  if (exemplar.value > numberOf(labels['le'] ?? '')) throw new Error(`the exemplar of ${name} is not of its bucket`);
}

/** The buckets of each series rise, in the order of their bounds, up to its count. */
function checkFamily({ name, type, samples }: ParsedFamily, open: boolean): void {
  if (type === '') throw new Error(`${name} has no TYPE`);
  if (type === 'counter' && samples.some(({ value }) => !(value >= 0))) throw new Error(`${name} is below zero`);
  if (open && type === 'counter' && name.endsWith('_total')) throw new Error(`${name} must be told without _total`);
  if (type !== 'histogram') return;
  const series = new Map<string, ParsedSample[]>();
  for (const sample of samples) {
    const { le: _, ...labels } = sample.labels;
    const key = JSON.stringify(Object.entries(labels).sort());
    series.set(key, [...(series.get(key) ?? []), sample]);
  }
  for (const [key, parts] of series) {
    const buckets = parts.filter((part) => part.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => numberOf(labels['le'] ?? 'NaN'));
    const counts = buckets.map(({ value }) => value);
    if (bounds.at(-1) !== Number.POSITIVE_INFINITY) throw new Error(`${name}${key} has no bucket without bound`);
    if (bounds.some((bound, at) => !(bound > (bounds[at - 1] ?? Number.NEGATIVE_INFINITY))))
      throw new Error(`the bounds of ${name}${key} are not in order`);
    if (counts.some((count, at) => count < (counts[at - 1] ?? 0))) throw new Error(`${name}${key} falls`);
    const count = parts.find((part) => part.name === `${name}_count`)?.value;
    if (count !== counts.at(-1)) throw new Error(`${name}${key} has another count than its last bucket`);
    if (!parts.some((part) => part.name === `${name}_sum`)) throw new Error(`${name}${key} has no sum`);
  }
}
