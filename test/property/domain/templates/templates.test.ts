import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OrchestratorError } from '../../../../src/domain/errors.ts';
import { parseText } from '../../../../src/domain/templates/template-syntax.ts';
import {
  referencesOf,
  resolveTemplates,
  type TemplateScope,
  textOf,
} from '../../../../src/domain/templates/templates.ts';
import { redactSecrets } from '../../../../src/domain/texts/mask-secrets.ts';
import type { Json, JsonObject } from '../../../../src/schemas/json.ts';

const names = { parameters: new Set(['p', 'a b', '__proto__']), actions: new Set(['act', 'act.sub', 'call']) };
const scopeWith = (output: Json, params: JsonObject = { p: output }): TemplateScope => ({
  params,
  run: { id: 'r' },
  outputs: new Map([
    ['act', output],
    ['call', output],
  ]),
  isServiceCall: (id) => id === 'call',
  secret: () => undefined,
});
const json = fc.jsonValue({ maxDepth: 4 }).map((value) => value as Json); // fast-check's own type is wider by undefined.
/** Text that looks much like templates. */
const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '{{',
        '}}',
        '{',
        '}',
        '.',
        '[',
        ']',
        "'",
        '"',
        ' ',
        'act',
        'p',
        'params',
        'run',
        'secrets',
        'call',
        '0',
        '__proto__',
        'constructor',
        'length',
        '\0',
        '\ud800',
        '$&',
      ),
      fc.string({ maxLength: 4 }),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''));

/** A way into the value along own properties, as a template writes it, and what is found there. */
function* pathsInto(value: Json, path = ''): Generator<{ path: string; found: Json }> {
  yield { path, found: value };
  if (Array.isArray(value)) for (const [index, item] of value.entries()) yield* pathsInto(item, `${path}[${index}]`);
  else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      const quote = key.includes('"') ? "'" : '"';
      if (!key.includes(quote)) yield* pathsInto(item, `${path}[${quote}${key}${quote}]`);
    }
  }
}

test('a template alone gives exactly what stands at its path, whatever the type', () => {
  fc.assert(
    fc.property(json, (output) => {
      for (const { path, found } of pathsInto(output)) {
        expect(resolveTemplates(`{{act${path}}}`, scopeWith(output), names)).toEqual(found);
      }
    }),
  );
});

test('inside a longer text a template gives the text of what stands at its path', () => {
  fc.assert(
    fc.property(json, fc.string(), fc.string(), (output, before, after) => {
      fc.pre(!`${before}|${after}`.includes('{{') && !before.endsWith('{'));
      const text = `${before}|{{params.p}}${after}`;
      expect(resolveTemplates(text, scopeWith(output), names)).toBe(`${before}|${textOf(output)}${after}`);
    }),
  );
});

test('resolved text is never read as a template again', () => {
  fc.assert(
    fc.property(hostile, (text) => {
      expect(resolveTemplates({ x: ['{{p}}'], y: '>{{p}}' }, scopeWith(text), names)).toEqual({
        x: [text],
        y: `>${text}`,
      });
    }),
  );
});

test('hostile texts are resolved or refused with template_unresolved, and nothing else is thrown', () => {
  fc.assert(
    fc.property(hostile, json, (text, output) => {
      try {
        resolveTemplates({ a: [text] }, scopeWith(output), names);
        referencesOf(text, names);
      } catch (error) {
        expect(error).toBeInstanceOf(OrchestratorError);
        expect(error).toMatchObject({ code: 'template_unresolved' });
      }
    }),
    { numRuns: 2_000 },
  );
});

test('the parts of a text that is read make up the text again', () => {
  fc.assert(
    fc.property(hostile, (text) => {
      const parsed = parseText(text);
      fc.pre(parsed.ok && !/\{\{\s*['"]/.test(text));
      const again = parsed.ok
        ? parsed.parts.map((part) => (part.kind === 'text' ? part.text : part.source)).join('')
        : '';
      expect(again).toBe(text);
    }),
    { numRuns: 1_000 },
  );
});

test('a masked value holds none of its secrets', () => {
  const secret = fc.string({ minLength: 4 }).filter((text) => !text.includes('*'));
  fc.assert(
    fc.property(json, fc.array(secret, { minLength: 1, maxLength: 3 }), (value, secrets) => {
      const first = secrets[0] ?? '';
      const redacted = redactSecrets({ [`key ${first}`]: [`x${first}`, { [first]: first }], value }, secrets);
      const texts: string[] = [];
      JSON.stringify(redacted, (key, item) => {
        texts.push(key, ...(typeof item === 'string' ? [item] : []));
        return item;
      });
      for (const each of secrets) for (const text of texts) expect(text).not.toContain(each);
    }),
  );
});
