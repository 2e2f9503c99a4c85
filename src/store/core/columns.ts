/**
 * Columns under the names that the Prisma client gives them, so that a statement answers with rows of the type of its model.
 * (But for whole numbers of 64 bits, which `pg` leaves as text.)
 */

/**
 * A list for SELECT or RETURNING. `fields` are the keys of what the client is asked with as `select`, or all those of a
 * model. `table` is an alias of the statement, where several tables have such a column.
 */
export function columnsOf(fields: object, options: { omit?: object; table?: string } = {}): string {
  const { omit = {}, table } = options;
  return Object.keys(fields)
    .filter((field) => !Object.hasOwn(omit, field))
    .map((field) => {
      const name = columnOf(field);
      const column = table === undefined ? name : `${table}.${name}`;
      return name === field ? column : `${column} AS "${field}"`;
    })
    .join(', ');
}

/** As the schema maps each field. */
export function columnOf(field: string): string {
  return field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
