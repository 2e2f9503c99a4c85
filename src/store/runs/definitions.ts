/** The definitions of immutable versions, as workers read them. */
import type pg from 'pg';
import type { Definition } from '../../domain/definition/definition.ts';
import { inlineDefinition } from '../../domain/definition/normalise.ts';
import type { Definitions } from '../../engine/ports/definitions.ts';
import { persist } from '../core/transient.ts';

export function createDefinitions(pool: pg.Pool): Definitions {
  return {
    async load(of) {
      if (!('workflow_id' in of)) return inlineDefinition(of);
      const { rows } = await persist(() =>
        pool.query<{ definition: Definition }>(
          'SELECT definition FROM workflow_version WHERE workflow_id = $1 AND version = $2',
          [of.workflow_id, of.version],
        ),
      );
      const row = rows[0];
      if (row === undefined) throw new Error(`version ${of.version} of workflow ${of.workflow_id} is not stored`);
      return row.definition;
    },
  };
}
