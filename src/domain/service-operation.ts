/** A call of an operation of a service: the request that an action makes by the service's OpenAPI document. */
import type { Json, JsonObject } from '../schemas/json.ts';

export interface CallInputs {
  parameters: Json | undefined;
  /** Beside the parameters, by the action itself; a query that is required may be among them. */
  query: JsonObject | undefined;
  headers: Readonly<Record<string, string>>;
}

export interface OperationCall {
  method: string;
  /** Filled in and encoded. */
  path: string;
  query: JsonObject;
  headers: Record<string, string>;
  body: { mediaType: string; text: string } | undefined;
}
