/** The switches of the older file's section `enterprise`: what each sets, and what a process does not start with. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Config, ConfigError, loadConfig } from '../../../src/config/config.ts';
import { makeAuthority, makeCertificate } from '../../support/certificate.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(path.join(tmpdir(), 'enterprise-'));
  mkdirSync(path.join(cwd, 'config'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

/** With that section in the older file. */
function load(section: Record<string, boolean>, environment: Record<string, string> = {}): Config {
  writeFileSync(path.join(cwd, 'config/orchestrator.yaml'), `enterprise: ${JSON.stringify(section)}\n`);
  return loadConfig({ SECRETS_DIR: path.join(cwd, 'none'), ...environment }, { cwd });
}
function faults(section: Record<string, boolean>, environment: Record<string, string> = {}): readonly string[] {
  try {
    load(section, environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

test('rate limiting is 600 requests a minute, unless another limit is set', () => {
  expect(load({}).rateLimitPerMinute).toBe(0);
  expect(load({ rate_limiting_enabled: false }).rateLimitPerMinute).toBe(0);
  const limited = load({ rate_limiting_enabled: true });
  expect(limited.rateLimitPerMinute).toBe(600);
  expect(limited.effective.settings['RATE_LIMIT_PER_MINUTE']).toEqual({
    value: 600,
    source: 'config/orchestrator.yaml',
    found_as: 'enterprise.rate_limiting_enabled',
  });
  expect(load({ rate_limiting_enabled: true }, { RATE_LIMIT_PER_MINUTE: '5' }).rateLimitPerMinute).toBe(5);
  expect(load({ rate_limiting_enabled: true }, { RATE_LIMIT_PER_MINUTE: '0' }).rateLimitPerMinute).toBe(0);
  expect(load({ rate_limiting_enabled: false }, { RATE_LIMIT_PER_MINUTE: '5' }).rateLimitPerMinute).toBe(5);
});

test('streaming is to the stream orchestrator:events, unless another one is named, and needs Redis', () => {
  const redis = { REDIS_URL: 'redis://redis:6379' };
  expect(load({}, redis).eventsStream).toBeUndefined();
  const streaming = load({ event_streaming_enabled: true }, redis);
  expect(streaming.eventsStream).toEqual({ name: 'orchestrator:events', maxLength: 100_000 });
  expect(streaming.effective.settings['EVENTS_STREAM']).toMatchObject({
    value: 'orchestrator:events',
    found_as: 'enterprise.event_streaming_enabled',
  });
  expect(load({ event_streaming_enabled: true }, { ...redis, EVENTS_STREAM: 'mine' }).eventsStream?.name).toBe('mine');
  expect(load({ event_streaming_enabled: true }, { REDIS_HOST: 'redis' }).eventsStream?.name).toBe(
    'orchestrator:events',
  );
  expect(faults({ event_streaming_enabled: true })).toEqual([
    'enterprise.event_streaming_enabled (config/orchestrator.yaml) is true, and the stream of events is in Redis: set REDIS_URL, or leave it out.',
  ]);
  expect(faults({ event_streaming_enabled: true }, { EVENTS_STREAM: 'mine' })).toEqual([
    'EVENTS_STREAM names a stream in Redis: set REDIS_URL, or leave it out.',
  ]);
});

test('circuit breakers are on unless they are switched off', () => {
  expect(load({}).circuitBreakers).toBe(true);
  expect(load({ circuit_breaker_enabled: true }).circuitBreakers).toBe(true);
  expect(load({ circuit_breaker_enabled: false }).circuitBreakers).toBe(false);
});

test('in a service mesh nothing starts unless every client needs a certificate', () => {
  const fault =
    'enterprise.service_mesh_enabled (config/orchestrator.yaml) is true, and clients need no certificates: set ENABLE_TLS=true, TLS_CLIENT_CERTS=required and TLS_CA_PATH, or leave it out.';
  expect(faults({ service_mesh_enabled: true })).toEqual([fault]);
  makeCertificate(cwd);
  makeAuthority(cwd, 'ours');
  const tls = { ENABLE_TLS: 'true', TLS_CERT_PATH: 'server.crt', TLS_KEY_PATH: 'server.key' };
  expect(faults({ service_mesh_enabled: true }, tls)).toEqual([fault]);
  const holders = JSON.stringify({ 'CN:worker': { user: 'w', tenant: 'acme', roles: ['worker'] } });
  const clients = { TLS_CA_PATH: 'ours.crt', TLS_CLIENTS: holders };
  expect(faults({ service_mesh_enabled: true }, { ...tls, ...clients, TLS_CLIENT_CERTS: 'optional' })).toEqual([fault]);
  const required = load({ service_mesh_enabled: true }, { ...tls, ...clients, TLS_CLIENT_CERTS: 'required' });
  expect(required.tls?.clients?.required).toBe(true);
  expect(load({ service_mesh_enabled: false }).tls).toBeUndefined();
});
