/** The config of a compensation whose action has an unknown effect. Pure. */
import type { Json } from '../../schemas/json.ts';
import { mapTexts } from '../templates/map-texts.ts';
import { parseText } from '../templates/template-syntax.ts';
import { referencesOf, type TemplateNames } from '../templates/templates.ts';

/**
 * Where its output, which is not known, would stand inside a longer text. Null is nothing there: a path that ends in the id of
 * an order would name all orders. A template that is a whole value becomes null, which says that it is not known.
 */
export function textsNaming(config: Json, actionId: string, names: TemplateNames): string[] {
  const found: string[] = [];
  mapTexts(config, undefined, (text, path) => {
    const parsed = parseText(text);
    const isLonger = parsed.ok && parsed.parts.length > 1;
    const references = isLonger ? referencesOf(text, names) : [];
    if (references.some(({ kind, name }) => kind === 'action' && name === actionId)) found.push(path());
    return text;
  });
  return found;
}
