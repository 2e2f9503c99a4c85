/** Conditions are CEL. The older services wrote `{{a.b}} == 'x'`; what is plainly the same in CEL is translated. */
import { parseText, shorten } from '../templates/template-syntax.ts';
import { bindTemplate, type TemplateNames, type TemplateReference } from '../templates/templates.ts';

export type Translated = { ok: true; cel: string } | { ok: false; message: string };

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
const INDEX = /^(?:0|[1-9]\d*)$/;
/** Words that CEL reserves; as a field they must be quoted. */
const CEL_WORDS: ReadonlySet<string> = new Set(
  'as break const continue else false for function if import in let loop null package namespace return true var void while'.split(
    ' ',
  ),
);
/** The fields of a service_call's output; the older services looked for anything else in the answer itself. */
const SERVICE_CALL_FIELDS: ReadonlySet<string> = new Set(['status', 'headers', 'response']);
/** A name, or a text in quotes, which is left as it is. Neither part can match in two ways. */
const TOKEN = /'[^']*'|"[^"]*"|[A-Za-z_][A-Za-z0-9_]*/g;
const OTHER_LANGUAGES: ReadonlyMap<string, string> = new Map([
  ['and', '&&'],
  ['or', '||'],
  ['not', '!'],
  ['True', 'true'],
  ['False', 'false'],
  ['None', 'null'],
]);

/** A condition with templates in CEL. A template inside quotes is rejected: there it would be compared as text. */
export function celOfCondition(
  condition: string,
  names: TemplateNames,
  isServiceCall: (actionId: string) => boolean,
): Translated {
  const parsed = parseText(condition);
  if (!parsed.ok) return { ok: false, message: parsed.message };
  let cel = '';
  let quote: string | undefined;
  for (const part of parsed.parts) {
    if (part.kind === 'text') {
      cel += part.text;
      quote = openQuote(part.text, quote);
      continue;
    }
    const bound = bindTemplate(part, names);
    if (!bound.ok) return { ok: false, message: bound.message };
    const path = celOfReference(bound.reference, isServiceCall);
    if (!path.ok) return path;
    if (quote !== undefined) {
      return {
        ok: false,
        message: `${shorten(part.source)} stands in quotes; conditions are CEL, which writes it as ${path.cel} without them`,
      };
    }
    cel += path.cel;
  }
  return { ok: true, cel };
}

function celOfReference(reference: TemplateReference, isServiceCall: (actionId: string) => boolean): Translated {
  const { kind, name, path, source } = reference;
  if (kind === 'secret') return { ok: false, message: `${shorten(source)}: a condition cannot look at secrets` };
  if (kind === 'action' && (!IDENTIFIER.test(name) || CEL_WORDS.has(name))) {
    return {
      ok: false,
      message: `${shorten(source)}: CEL cannot name an action '${name}'; its action_id would have to be made of letters, digits and '_'`,
    };
  }
  const isInAnswer =
    kind === 'action' && isServiceCall(name) && path[0] !== undefined && !SERVICE_CALL_FIELDS.has(path[0]);
  const root = kind === 'action' ? [name] : [kind === 'param' ? 'params' : 'run', ...(name === '' ? [] : [name])];
  const [first = '', ...rest] = [...root, ...(isInAnswer ? ['response'] : []), ...path];
  return { ok: true, cel: first + rest.map(celOfStep).join('') };
}

function celOfStep(step: string): string {
  if (IDENTIFIER.test(step) && !CEL_WORDS.has(step)) return `.${step}`;
  return INDEX.test(step) ? `[${step}]` : `[${JSON.stringify(step)}]`;
}

/** The quote that is still open after the text. */
function openQuote(text: string, before: string | undefined): string | undefined {
  let open = before;
  for (const character of text) {
    if (character === open) open = undefined;
    else if (open === undefined && (character === "'" || character === '"')) open = character;
  }
  return open;
}

/** The CEL that somebody may have meant who wrote templates, `and`, `or`, `not`, `True`, `===`; undefined if nothing changes. */
export function suggestCel(
  expression: string,
  names: TemplateNames,
  isServiceCall: (actionId: string) => boolean,
): string | undefined {
  const translated = expression.includes('{{') ? celOfCondition(expression, names, isServiceCall) : undefined;
  if (translated?.ok === false) return undefined;
  const cel = (translated?.cel ?? expression)
    .replace(TOKEN, (token) => OTHER_LANGUAGES.get(token) ?? token)
    .replaceAll('===', '==')
    .replaceAll('!==', '!=');
  return cel === expression ? undefined : cel;
}
