/** For vitest: `import('…/x.ts?statements')` is that module, and exports the texts of its sites besides. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SQL_TAG, sitesOf } from './sites.ts';

const SUFFIX = '?statements';
const CLIENT = fileURLToPath(new URL('../../../src/store/generated/client.ts', import.meta.url));

/** One for each site, in the order of the source. */
export interface SiteTexts {
  line: number;
  endLine: number;
  /** Undefined: it depends on an argument. */
  texts: (() => string[]) | undefined;
}

export function statementSites() {
  return {
    name: 'statement-sites',
    enforce: 'pre' as const,
    load(id: string): string | undefined {
      if (!id.endsWith(SUFFIX)) return undefined;
      const code = readFileSync(id.slice(0, -SUFFIX.length), 'utf8');
      const sites = sitesOf(code).map(({ line, endLine, expressions }) => {
        const texts = expressions === undefined ? 'undefined' : `() => [${expressions.join(', ')}].map(__text)`;
        return `{ line: ${line}, endLine: ${endLine}, texts: ${texts} }`;
      });
      // After all that is there, so that every line keeps its number.
      return `${code}
import { Prisma as __Prisma } from ${JSON.stringify(CLIENT)};
const ${SQL_TAG} = __Prisma.sql;
const __text = (statement: any): string => (typeof statement === 'string' ? statement : statement.text);
export const __sites = [${sites.join(',\n')}];`;
    },
  };
}
