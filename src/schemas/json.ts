/** Any JSON value, as it crosses a border or lies in a column. */
export type Json = string | number | boolean | null | Json[] | JsonObject;
export type JsonObject = { [key: string]: Json };
