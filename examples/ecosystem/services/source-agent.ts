/** source_agent: documents, pull requests and issues, from a folder on disk. */
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { Refusal, route, type ServiceDefinition } from '../route.ts';
import { sha256 } from '../text.ts';

const sourceDocument = z.object({
  id: z.string(),
  source: z.string(),
  url: z.string(),
  title: z.string(),
  content: z.string(),
  content_hash: z.string(),
});
type SourceDocument = z.output<typeof sourceDocument>;

const pull = z.looseObject({ number: z.int(), repository: z.string(), title: z.string() });
const issue = z.looseObject({ key: z.string(), summary: z.string(), acceptance_criteria: z.array(z.string()) });

/** Extracted text lies beside where the original would be: `doc.pdf` is `doc.pdf.md`. */
const EXTENSIONS = ['', '.md', '.json'];
const SCOPE_LIMIT = 100;

export const sourceAgent: ServiceDefinition = {
  name: 'source_agent',
  port: 5000,
  description: 'Documents, pull requests and issues, from a folder on disk.',
  open: ({ fixtures }) => {
    const web = path.join(fixtures, 'web');
    return {
      routes: [
        route(
          'post',
          '/fetch',
          {
            summary: 'The document at a URL.',
            input: z.object({ url: z.url({ protocol: /^https?$/ }) }),
            answer: sourceDocument,
          },
          ({ input }) => documentAt(web, input.url),
        ),
        route(
          'post',
          '/ingest',
          {
            summary: 'All documents of a source, or those at some URLs.',
            input: z.object({
              source: z
                .string()
                .optional()
                .meta({ examples: ['github', 'jira', 'confluence', 'swagger'] }),
              scope: z
                .unknown()
                .optional()
                .meta({ description: 'A text or an object: only documents that speak of it' }),
              urls: z.array(z.string()).optional(),
              document_urls: z.array(z.string()).optional().meta({ description: 'Another word for urls' }),
            }),
            answer: z.object({ source: z.string(), count: z.int(), documents: z.array(sourceDocument) }),
          },
          async ({ input }) => {
            const urls = input.urls ?? input.document_urls;
            const source = input.source ?? 'web';
            const documents =
              urls === undefined
                ? await documentsOf(fixtures, source, wordsIn(input.scope))
                : await Promise.all(urls.map((url) => documentAt(web, url)));
            return { source, count: documents.length, documents };
          },
        ),
        route(
          'get',
          '/github/pr',
          {
            summary: 'A pull request.',
            input: z.object({ pr_number: z.coerce.number().int().positive(), repository: z.string().min(1) }),
            answer: pull,
          },
          async ({ input: { pr_number, repository } }) => {
            const name = `${repository.replaceAll(/[^\w.-]+/g, '__')}-${pr_number}.json`;
            const found = await readFixture(path.join(fixtures, 'github'), name);
            if (found === undefined) throw new Refusal(404, `${repository} has no pull request ${pr_number}`);
            return pull.parse(JSON.parse(found));
          },
        ),
        route(
          'get',
          '/jira/issue',
          {
            summary: 'An issue with its history.',
            input: z
              .object({
                key: z.string(),
                issue_key: z.string(),
                issue: z.string(),
                ticket: z.string(),
                jira_ticket: z.string(),
              })
              .partial()
              .meta({ description: 'One of them: the older platform spells it in several ways' }),
            answer: issue,
          },
          async ({ input }) => {
            const key = input.key ?? input.issue_key ?? input.issue ?? input.ticket ?? input.jira_ticket;
            if (key === undefined) throw new Refusal(400, 'key is required');
            const found = await readFixture(path.join(fixtures, 'jira'), `${key}.json`);
            if (found === undefined) throw new Refusal(404, `there is no issue ${key}`);
            return issue.parse(JSON.parse(found));
          },
        ),
      ],
    };
  },
};

async function documentAt(folder: string, url: string): Promise<SourceDocument> {
  if (!URL.canParse(url)) throw new Refusal(400, `${url} is no URL`);
  const { hostname, pathname } = new URL(url);
  for (const extension of EXTENSIONS) {
    const name = path.join(hostname, `${decodeURIComponent(pathname)}${extension}`);
    const content = await readFixture(folder, name);
    if (content !== undefined) return toDocument('web', url, content);
  }
  throw new Refusal(404, `there is nothing at ${url}`);
}

async function documentsOf(fixtures: string, source: string, wanted: readonly string[]): Promise<SourceDocument[]> {
  if (!/^[a-z]+$/.test(source)) throw new Refusal(400, `${source} is no source`);
  const folder = path.join(fixtures, source);
  const entries = await readdir(folder, { recursive: true }).catch(() => {
    throw new Refusal(404, `there is no source ${source}`);
  });
  const documents: SourceDocument[] = [];
  for (const name of entries.sort()) {
    const content = await readFixture(folder, name);
    if (content === undefined) continue;
    const document = toDocument(source, `${source}://${name.split(path.sep).join('/')}`, content);
    const text = `${document.title}\n${content}`.toLowerCase();
    if (wanted.every((word) => text.includes(word))) documents.push(document);
  }
  return documents.slice(0, SCOPE_LIMIT);
}

/** The texts anywhere in a scope, however it is built. */
function wordsIn(scope: unknown): string[] {
  if (typeof scope === 'string') return scope === '' ? [] : [scope.toLowerCase()];
  if (typeof scope !== 'object' || scope === null) return [];
  return Object.values(scope).flatMap(wordsIn);
}

function toDocument(source: string, url: string, content: string): SourceDocument {
  const title = /^#{1,6}\s+(.+)$/m.exec(content)?.[1] ?? /"(?:title|summary)":\s*"([^"]+)"/.exec(content)?.[1];
  return {
    id: `${source}-${sha256(url).slice(0, 12)}`,
    source,
    url,
    title: title?.trim() ?? path.basename(url),
    content,
    content_hash: sha256(content),
  };
}

/** Undefined where there is no such file below the folder. */
async function readFixture(folder: string, name: string): Promise<string | undefined> {
  const file = path.resolve(folder, name.replace(/^[/\\]+/, ''));
  if (!file.startsWith(folder + path.sep)) throw new Refusal(400, `${name} leaves the folder`);
  try {
    return (await stat(file)).isFile() ? await readFile(file, 'utf8') : undefined;
  } catch {
    return undefined;
  }
}
