/** TypeScript types of JSON Schemas, as the OpenAPI document and the list of action types have them. */

export type Schema = Readonly<Record<string, unknown>>;

const NAME = /^[A-Za-z_$][\w$]*$/;

/** A type that accepts what the schema accepts; what only a pattern or a limit says is left to the service. */
export function typeOf(schema: unknown, indent = ''): string {
  if (typeof schema !== 'object' || schema === null) return 'unknown';
  const { $ref, const: only, enum: values, anyOf, oneOf, allOf, type } = schema as Schema; // An object, as just checked.
  // A shape that contains itself, within one schema alone, has no name.
  if (typeof $ref === 'string' && !$ref.startsWith('#/components/')) return 'unknown';
  if (typeof $ref === 'string') return $ref.slice($ref.lastIndexOf('/') + 1);
  if (only !== undefined) return JSON.stringify(only);
  if (Array.isArray(values)) return union(values.map((value) => JSON.stringify(value)));
  const choices = anyOf ?? oneOf;
  if (Array.isArray(choices)) return union(choices.map((one) => typeOf(one, indent)));
  if (Array.isArray(allOf)) return allOf.map((one) => `(${typeOf(one, indent)})`).join(' & ');
  if (Array.isArray(type)) return union(type.map((one) => typeOf({ ...schema, type: one }, indent)));
  return typeOfKind(schema as Schema, indent); // An object, as just checked.
}

function typeOfKind(schema: Schema, indent: string): string {
  switch (schema['type']) {
    case 'string':
    case 'boolean':
    case 'null':
      return schema['type'];
    case 'integer':
    case 'number':
      return 'number';
    case 'array':
      return typeOfList(schema, indent);
    case 'object':
      return typeOfObject(schema, indent);
    default:
      return schema['properties'] === undefined ? 'unknown' : typeOfObject(schema, indent);
  }
}

function typeOfList({ items, prefixItems }: Schema, indent: string): string {
  if (Array.isArray(prefixItems)) return `[${prefixItems.map((one) => typeOf(one, indent)).join(', ')}]`;
  return `Array<${typeOf(items, indent)}>`;
}

function typeOfObject(schema: Schema, indent: string): string {
  const { properties, required, additionalProperties: others } = schema;
  const fields = Object.entries((properties as Record<string, Schema> | undefined) ?? {}); // As JSON Schema has it.
  const isOpen = others !== undefined && others !== false;
  const rest = isOpen ? typeOf(others, indent) : 'never';
  if (fields.length === 0)
    return isOpen || others === undefined ? `Record<string, ${isOpen ? rest : 'unknown'}>` : '{}';
  const isRequired = new Set(Array.isArray(required) ? required : []);
  const inner = `${indent}  `;
  const lines = fields.map(([name, field]) => {
    const mark = isRequired.has(name) ? '' : '?';
    return `${commentOf(field, inner)}${inner}${propertyName(name)}${mark}: ${typeOf(field, inner)};\n`;
  });
  // Named fields may have other types than the rest, so the rest is wide.
  if (isOpen) lines.push(`${inner}[name: string]: unknown;\n`);
  return `{\n${lines.join('')}${indent}}`;
}

export function propertyName(name: string): string {
  return NAME.test(name) ? name : JSON.stringify(name);
}

export function commentOf(schema: unknown, indent: string): string {
  const text = typeof schema === 'object' && schema !== null ? (schema as Schema)['description'] : undefined; // Just checked.
  if (typeof text !== 'string') return '';
  return `${indent}/** ${text.replaceAll('*/', '*\\/').replaceAll(/\s+/g, ' ')} */\n`;
}

function union(types: readonly string[]): string {
  const different = [...new Set(types)];
  return different.includes('unknown') ? 'unknown' : different.join(' | ') || 'never';
}
