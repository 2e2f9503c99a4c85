/** reporting: reports of findings and logs that it was given, and of issues and pull requests that it asks others about. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { confidence } from '../confidence.ts';
import { type Ask, Refusal, type Route, route, type ServiceDefinition } from '../route.ts';

const finding = z.object({ service: z.string(), severity: z.string(), title: z.string() });
const line = z.looseObject({ service: z.string(), level: z.string(), message: z.string() });
const format = z.string().default('json').meta({ description: 'Only json is made' });
const counts = z.record(z.string(), z.int());
const issue = z.looseObject({
  key: z.string(),
  summary: z.string(),
  acceptance_criteria: z.array(z.string()).default([]),
  history: z.array(z.looseObject({ at: z.iso.datetime(), status: z.string(), by: z.string() })).default([]),
});

const pages = z.object({ documents: z.array(z.object({ id: z.string(), title: z.string(), content: z.string() })) });
const alike = z.object({
  similar: z.array(z.object({ left: z.string(), right: z.string(), overlap: z.number() })),
});

/** Clients of the older platform spell them in either way. */
const LIFE_OF_TICKET = ['/reports/life-of-ticket', '/reports/life_of_ticket'];
const PR_CONFIDENCE = ['/reports/pr-confidence', '/reports/pr_confidence'];
const MOST_KEPT = 10_000;
const SAMPLE = 5;
const HOUR_MS = 3_600_000;

export const reporting: ServiceDefinition = {
  name: 'reporting',
  port: 5030,
  description: 'Reports of findings, logs, issues and pull requests.',
  async open({ fixtures }) {
    const read = async (name: string) => JSON.parse(await readFile(path.join(fixtures, 'reporting', name), 'utf8'));
    const findings = z.array(finding).parse(await read('findings.json'));
    const lines = z.array(line).parse(await read('logs.json'));
    return {
      routes: [
        route(
          'post',
          '/reports/generate',
          {
            summary: 'How many findings there are, by severity.',
            input: z.object({ format, service: z.string().optional() }),
            answer: z.object({ total: z.int(), by_severity: counts }),
          },
          ({ input: { service } }) => {
            const chosen = findings.filter((found) => service === undefined || found.service === service);
            return { total: chosen.length, by_severity: countBy(chosen.map(({ severity }) => severity)) };
          },
        ),
        route(
          'post',
          '/reports/log_analysis',
          {
            summary: 'How many lines of log there are, by level, and some of them.',
            input: z.object({
              format,
              service: z.string().nullish(),
              level: z.string().nullish(),
              limit: z.int().min(1).max(10_000).default(100),
            }),
            answer: z.object({ overview: z.object({ count: z.int(), by_level: counts }), sample: z.array(line) }),
          },
          ({ input: { service, level, limit } }) => {
            const chosen = lines
              .filter((one) => (service ?? one.service) === one.service && (level ?? one.level) === one.level)
              .slice(-limit);
            return {
              overview: { count: chosen.length, by_level: countBy(chosen.map((one) => one.level)) },
              sample: chosen.slice(0, SAMPLE),
            };
          },
        ),
        route(
          'post',
          '/logs/batch',
          {
            summary: 'Takes lines of log, as the platform sends them to its LOG_COLLECTOR_URL.',
            input: z.object({ items: z.array(line).max(1_000) }),
            answer: z.object({ taken: z.int() }),
          },
          ({ input: { items } }) => {
            lines.push(...items.map(({ service, level, message }) => ({ service, level, message })));
            lines.splice(0, lines.length - MOST_KEPT);
            return { taken: items.length };
          },
        ),
        ...LIFE_OF_TICKET.map(lifeOfTicket),
        ...PR_CONFIDENCE.map(prConfidence),
        consolidation,
      ],
    };
  },
};

function lifeOfTicket(path: string): Route {
  return route(
    'post',
    path,
    {
      summary: 'How long an issue was in which state.',
      input: z.object({ format, ticket: z.string().optional(), jira_ticket: z.string().optional() }),
      answer: z.object({
        ticket: z.string(),
        summary: z.string(),
        timeline: z.array(
          z.object({ status: z.string(), at: z.string(), by: z.string(), hours: z.number().nullable() }),
        ),
        total_hours: z.number(),
        status: z.string(),
      }),
    },
    async ({ input, ask }) => {
      const ticket = input.ticket ?? input.jira_ticket;
      if (ticket === undefined) throw new Refusal(400, 'ticket is required');
      return lifeOf(await askForIssue(ask, ticket));
    },
  );
}

function prConfidence(path: string): Route {
  return route(
    'post',
    path,
    {
      summary: 'How well a pull request fits the issue that it is for.',
      input: z.object({ format, pr_number: z.int(), repository: z.string(), jira_ticket: z.string().optional() }),
      answer: confidence.extend({ repository: z.string(), pr_number: z.int(), title: z.string() }),
    },
    async ({ input: { pr_number, repository, jira_ticket }, ask }) => {
      const pull = z
        .looseObject({ title: z.string() })
        .parse(await ask('source_agent', 'GET', '/github/pr', { pr_number, repository }));
      const jira = jira_ticket === undefined ? null : await askForIssue(ask, jira_ticket);
      const found = await ask('analysis_service', 'POST', '/pr_confidence', { pr_data: pull, jira_data: jira });
      return { repository, pr_number, title: pull.title, ...confidence.parse(found) };
    },
  );
}

const consolidation = route(
  'get',
  '/reports/confluence/consolidation',
  {
    summary: 'Pages that say nearly the same as an earlier one.',
    input: z.object({ min_confidence: z.coerce.number().min(0).max(1).default(0) }),
    answer: z.object({
      items: z.array(
        z.object({
          id: z.string(),
          title: z.string(),
          confidence: z.number(),
          owners: z.array(z.string()),
          flags: z.array(z.string()),
        }),
      ),
      total: z.int(),
    }),
  },
  async ({ input: { min_confidence }, ask }) => {
    const { documents } = pages.parse(await ask('source_agent', 'POST', '/ingest', { source: 'confluence' }));
    const { similar } = alike.parse(await ask('analysis_service', 'POST', '/analyze', { documents }));
    const items = similar
      .filter(({ overlap }) => overlap >= min_confidence)
      .map(({ left, right, overlap }) => {
        const page = documents.find(({ id }) => id === right);
        const owners = /^Owners: (.+)$/m.exec(page?.content ?? '')?.[1]?.split(', ') ?? [];
        return { id: right, title: page?.title ?? '', confidence: overlap, owners, flags: [`like ${left}`] };
      });
    return { items, total: items.length };
  },
);

async function askForIssue(ask: Ask, key: string): Promise<z.output<typeof issue>> {
  return issue.parse(await ask('source_agent', 'GET', '/jira/issue', { key }));
}

/** The last state has no end, and so no length. */
function lifeOf({ key, summary, history }: z.output<typeof issue>) {
  const at = history.map((step) => Date.parse(step.at));
  const first = at[0] ?? 0;
  const last = at.at(-1) ?? first;
  return {
    ticket: key,
    summary,
    timeline: history.map(({ status, by, at: since }, place) => {
      const next = at[place + 1];
      return { status, at: since, by, hours: next === undefined ? null : hours(next - (at[place] ?? next)) };
    }),
    total_hours: hours(last - first),
    status: history.at(-1)?.status ?? 'unknown',
  };
}

function hours(milliseconds: number): number {
  return Math.round((milliseconds / HOUR_MS) * 100) / 100;
}

function countBy(names: readonly string[]): Record<string, number> {
  const found = new Map<string, number>();
  for (const name of names) found.set(name, (found.get(name) ?? 0) + 1);
  return Object.fromEntries(found);
}
