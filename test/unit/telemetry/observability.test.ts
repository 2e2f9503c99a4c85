import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { exposition } from '../../../src/telemetry/exposition.ts';
import { parseExposition } from '../../support/parse-exposition.ts';
import { readPromql } from '../../support/promql.ts';
import { findPromtool } from '../../support/promtool.ts';
import { freshMetrics, registeredMetrics } from '../../support/registries.ts';

const FOLDER = 'observability';
const RULES = path.join(FOLDER, 'rules');
const TESTS = path.join(RULES, 'tests');
const DASHBOARDS = path.join(FOLDER, 'dashboards');
const SEVERITIES = ['critical', 'warning', 'info'];
/** Of a scrape itself. */
const TARGET = ['instance', 'job', 'service'];
const ALL_OF_PROMETHEUS = new Map([
  ['up', TARGET],
  ['process_resident_memory_bytes', TARGET],
  ['process_start_time_seconds', TARGET],
]);

interface Rule {
  record?: string;
  alert?: string;
  expr: string;
  for?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}
interface Panel {
  id: number;
  title: string;
  targets: Array<{ expr: string; legendFormat: string }>;
}
interface Dashboard {
  uid: string;
  title: string;
  panels: Panel[];
}
interface RuleTests {
  tests: Array<{
    input_series: Array<{ series: string }>;
    promql_expr_test: Array<{ exp_samples: Array<{ labels: string }> }>;
  }>;
}

const filesOf = (folder: string, end: string) => readdirSync(folder).filter((name) => name.endsWith(end));
const read = (...of: string[]) => readFileSync(path.join(...of), 'utf8');
// What is in the files is ours.
const rulesIn = (...of: string[]) =>
  (parse(read(...of)) as { groups: Array<{ rules: Rule[] }> }).groups.flatMap((group) => group.rules);
const olderAlerts = rulesIn(FOLDER, 'alerts.yml');
const rules = [...olderAlerts, ...filesOf(RULES, '.yaml').flatMap((name) => rulesIn(RULES, name))];
const alerts = rules.filter((rule) => rule.alert !== undefined);
const dashboards = filesOf(DASHBOARDS, '.json').map((name) => JSON.parse(read(DASHBOARDS, name)) as Dashboard);
const panels = dashboards.flatMap(({ uid, panels: of }) => of.map((panel) => ({ uid, ...panel })));
const ruleTests = filesOf(TESTS, '.yaml').map((name) => ({ name, ...(parse(read(TESTS, name)) as RuleTests) }));

/** By the name of a series, the labels that it has. */
let known: Map<string, Set<string>>;
beforeAll(async () => {
  known = new Map([...ALL_OF_PROMETHEUS].map(([name, labels]) => [name, new Set(labels)]));
  const doors = await registeredMetrics();
  for (const door of [doors.api, doors.worker]) {
    for (const { samples } of parseExposition(await door.metrics('text'), 'text').values()) {
      for (const { name, labels } of samples) {
        const all = known.get(name) ?? new Set(TARGET);
        for (const label of Object.keys(labels)) all.add(label);
        known.set(name, all);
      }
    }
  }
  for (const { record, expr, labels = {} } of rules) {
    if (record === undefined) continue;
    const { grouping } = readPromql(expr);
    const all = known.get(record) ?? new Set();
    for (const label of [...grouping, ...Object.keys(labels)]) all.add(label);
    known.set(record, all);
  }
});

/** The metrics that an expression names and no process has. */
function unknownIn(expr: string): string[] {
  const { uses, grouping } = readPromql(expr);
  // A budget is a number and nothing else.
  if (!expr.startsWith('vector(')) expect(uses, expr).not.toEqual([]);
  const labels = new Set(uses.flatMap(({ metric }) => [...(known.get(metric) ?? [])]));
  return [
    ...uses.filter(({ metric }) => !known.has(metric)).map(({ metric }) => metric),
    ...uses.flatMap((use) =>
      use.labels
        .filter((label) => known.get(use.metric)?.has(label) === false)
        .map((label) => `${use.metric}{${label}}`),
    ),
    ...grouping.filter((label) => !labels.has(label)).map((label) => `by (${label})`),
  ];
}

test('every metric and label in rules is exported', () => {
  expect(rules.length).toBeGreaterThan(50);
  expect(
    rules.flatMap(({ expr, record, alert }) => unknownIn(expr).map((what) => `${record ?? alert}: ${what}`)),
  ).toEqual([]);
});

/** What comes with the first fault of its kind, by labels whose values nobody knows before. */
const NAMED_LATER = [
  'http_requests_total',
  'orchestrator_retry_attempts_total',
  'orchestrator_egress_decisions_total',
  'http_request_duration_seconds_bucket',
];
/** A gauge that is read at each scrape, whatever its number. */
const ALWAYS_READ = 'orchestrator_dead_letter_queue_size';

test('what an alert sees rise is 0 before the first fault: Prometheus sees no rise from nothing', async () => {
  const { api, worker } = freshMetrics();
  const told = new Map<string, number>();
  for (const { registry } of [api, worker]) {
    for (const { samples } of parseExposition(exposition(await registry.getMetricsAsJSON(), 'text'), 'text').values()) {
      for (const { name, labels, value } of samples) {
        for (const [label, of] of Object.entries(labels)) told.set(`${name}{${label}="${of}"}`, value);
        told.set(name, value);
      }
    }
  }
  const watched = alerts.flatMap(({ expr }) =>
    [...expr.matchAll(/(?:rate|increase)\((\w+(?:\{[^}]+\})?)\[/g)].flatMap(([, series = '']) =>
      NAMED_LATER.includes(series.replace(/\{.*/, '')) ? [] : [series],
    ),
  );
  expect(watched.length).toBeGreaterThanOrEqual(8);
  expect(told.has(ALWAYS_READ)).toBe(true);
  expect(watched.filter((series) => series !== ALWAYS_READ && told.get(series) !== 0)).toEqual([]);
});

test('every metric and label in dashboards is exported, in the legends too', () => {
  expect(panels.length).toBeGreaterThan(40);
  for (const { uid, title, targets } of panels) {
    for (const { expr, legendFormat } of targets) {
      const where = `${uid}: ${title}: ${expr}`;
      expect(unknownIn(expr), where).toEqual([]);
      const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label);
      const labels = readPromql(expr).uses.flatMap(({ metric }) => [...(known.get(metric) ?? [])]);
      expect(
        shown.filter((label) => !labels.includes(label)),
        where,
      ).toEqual([]);
    }
  }
});

test('dashboards and their panels are told apart by their ids', () => {
  const uids = dashboards.map(({ uid }) => uid);
  expect(new Set(uids).size).toBe(5);
  expect(uids).toHaveLength(5);
  for (const { panels: of, title } of dashboards) expect(new Set(of.map(({ id }) => id)).size, title).toBe(of.length);
});

test('what is recorded is used by an alert, another rule or a dashboard', () => {
  const expressions = [
    ...rules.map(({ expr }) => expr),
    ...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
  ];
  const used = new Set(expressions.flatMap((expr) => readPromql(expr).uses.map(({ metric }) => metric)));
  expect(rules.flatMap(({ record }) => (record === undefined || used.has(record) ? [] : [record]))).toEqual([]);
});

test('every metric of the service is on a dashboard or in a rule', () => {
  const expressions = [
    ...rules.map(({ expr }) => expr),
    ...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
  ];
  const used = new Set(expressions.flatMap((expr) => readPromql(expr).uses.map(({ metric }) => family(metric))));
  const exported = new Set([...known.keys()].filter((name) => !name.includes(':')).map(family));
  expect([...exported].filter((name) => /^(?:orchestrator|http)_/.test(name) && !used.has(name))).toEqual([]);
});

describe('alerts.yml', () => {
  test('has the alerts of the older services, with their names', () => {
    expect(olderAlerts.map(({ alert }) => alert)).toEqual([
      'HighRetryRate',
      'DeadLetterQueueGrowing',
      'OrchestratorHighErrorRate',
      'OrchestratorHighLatency',
      'OrchestratorServiceDown',
      'OrchestratorHighMemoryUsage',
    ]);
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
  });

  test.each([
    ['HighRetryRate', 'rate(orchestrator_retry_attempts_total[5m]) > 0.1', '2m', 'warning'],
    ['DeadLetterQueueGrowing', 'increase(orchestrator_dead_letter_queue_size[5m]) > 10', '1m', 'critical'],
  ])('%s is as it was', (name, expr, lasts, severity) => {
    expect(olderAlerts.find(({ alert }) => alert === name)).toMatchObject({ expr, for: lasts, labels: { severity } });
  });

  test('needs nothing that rules/ records', () => {
    expect(
      olderAlerts.flatMap(({ expr }) => readPromql(expr).uses.filter(({ metric }) => metric.includes(':'))),
    ).toEqual([]);
  });

  test('is loaded by prometheus.yml, with the rules', () => {
    const { rule_files: files } = parse(read(FOLDER, 'prometheus.yml')) as { rule_files: string[] };
    expect(files).toEqual(['alerts.yml', 'rules/*.yaml']);
  });
});

test('dashboards/orchestrator.json is the overview', () => {
  expect(JSON.parse(read(DASHBOARDS, 'orchestrator.json'))).toMatchObject({ uid: 'orchestrator-overview' });
});

describe('the runbook', () => {
  const runbook = read(FOLDER, 'runbook.md');
  const entries = [...runbook.matchAll(/^## (\w+)$/gm)].map(([, name]) => name);

  test('has an entry for every alert, and for no other', () => {
    expect([...entries].sort()).toEqual(alerts.map(({ alert }) => alert).sort());
  });

  test('sends bodies as JSON: what curl says of them by itself is refused with 415', () => {
    const sent = [...runbook.matchAll(/`(curl [^`]* -d '[^`]*)`/g)].map(([, command = '']) => command);
    expect(sent.length).toBeGreaterThan(1);
    expect(sent.filter((command) => !command.includes("-H 'Content-Type: application/json'"))).toEqual([]);
  });

  test.each(alerts.map((rule) => [rule.alert ?? '', rule] as const))(
    '%s says how bad it is, what it means and what to do',
    (name, rule) => {
      expect(SEVERITIES).toContain(rule.labels?.['severity']);
      expect(rule.annotations?.['summary']).not.toBe('');
      expect(rule.annotations?.['runbook']).toBe(`observability/runbook.md#${name.toLowerCase()}`);
      const entry = runbook.split(/^## /m).find((part) => part.startsWith(`${name}\n`)) ?? '';
      for (const part of ['**Means**', '**Look**', '**Causes**', '**Do**']) expect(entry, name).toContain(part);
      expect(entry, `${name} says what to type`).toMatch(/`(?:curl|npm|psql|redis-cli|docker|kubectl) [^`]+`/);
    },
  );
});

test('every alert is tested to fire, with series that are exported', () => {
  const fired = new Set(
    ruleTests.flatMap(({ tests }) =>
      tests.flatMap(({ promql_expr_test: asked }) =>
        asked.flatMap(({ exp_samples: samples }) => samples.map(({ labels }) => /alertname="(\w+)"/.exec(labels)?.[1])),
      ),
    ),
  );
  expect(alerts.filter(({ alert }) => !fired.has(alert)).map(({ alert }) => alert)).toEqual([]);
  const series = ruleTests.flatMap(({ tests }) => tests.flatMap(({ input_series: of }) => of.map((one) => one.series)));
  expect(series.flatMap(unknownIn)).toEqual([]);
});

test('every objective has its budget, its windows and its section in SLO.md', () => {
  const budgets = rules
    .filter(({ record }) => record === 'orchestrator:slo_budget:ratio')
    .map(({ labels }) => labels?.['slo']);
  expect(budgets).toHaveLength(5);
  const document = read(FOLDER, 'SLO.md');
  for (const slo of budgets) {
    expect(document).toContain(`\`${slo}\``);
    const windows = rules.filter(({ record, labels }) => record?.includes(':slo_errors:') && labels?.['slo'] === slo);
    expect(windows.map(({ record }) => record?.split('_rate')[1]).sort()).toEqual(['1h', '30m', '3d', '5m', '6h']);
    // Its query is the one that is recorded.
    const query = windows.find(({ record }) => record?.endsWith('1h'))?.expr.split(' or (0 *')[0] ?? '';
    expect(document).toContain(query);
  }
});

const promtool = findPromtool();
const name =
  promtool === undefined
    ? 'promtool is not here: the rules are checked by the other tests of this file only, and not evaluated'
    : 'promtool takes the configuration and the rules, and each alert fires when it should and not before';
test(name, { timeout: 120_000 }, ({ annotate }) => {
  if (promtool === undefined) {
    void annotate('install prometheus to have the rules evaluated', 'warning');
    expect(ruleTests.flatMap(({ tests }) => tests).length).toBeGreaterThan(alerts.length / 2);
    return;
  }
  const run = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(promtool, args, { encoding: 'utf8' });
    expect(status, stdout + stderr).toBe(0);
  };
  run('check', 'config', path.join(FOLDER, 'prometheus.yml'));
  run('test', 'rules', ...ruleTests.map(({ name: file }) => path.join(TESTS, file)));
});

function family(metric: string): string {
  return metric.replace(/_(?:bucket|sum|count)$/, '');
}
