/**
 * All services of the stage in one process, each on a port of its own, and a control door on loopback that stops them, slows
 * them down, makes them fail or lie, and shows what they got.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectRoot } from '../../src/project-root.ts';
import { controlApp } from './control.ts';
import type { Fault } from './faults.ts';
import type { OpenService, ServiceDefinition, StagedService } from './route.ts';
import { createServiceApp, type ServiceApp } from './service.ts';

export interface StageOptions {
  services: readonly ServiceDefinition[];
  /** Where the services listen. The control door is on loopback whatever this says. */
  host: string;
  /** `older`: those of the older platform, another one where it is taken; `free`: any. */
  ports: 'older' | 'free';
  controlPort: number;
  databaseUrl: string | undefined;
  /** What others reach a service by, where that is not `host` and its port. */
  advertise?: (name: string, port: number) => string;
}

export interface Stage {
  controlUrl: string;
  services: ReadonlyMap<string, StagedService>;
  /** Resolves when it holds for the next call. */
  afflict(name: string, fault: Fault): Promise<void>;
  close(): Promise<void>;
}

const LOOPBACK = '127.0.0.1';

/** Long enough for one that was cut off a moment ago to let go of the port. */
const PORT_PATIENCE_MS = 5_000;
const PORT_POLL_MS = 20;

interface Member extends StagedService {
  app: ServiceApp;
  port: number;
  server: Server;
  opened: OpenService;
}

export async function openStage(options: StageOptions): Promise<Stage> {
  const members = new Map<string, Member>();
  // Services ask each other where they listen, not where others see them.
  const peer = (name: string) => `http://${LOOPBACK}:${known(name).port}`;
  const known = (name: string): Member => {
    const member = members.get(name);
    if (member === undefined) throw new Error(`there is no ${name} on the stage`);
    return member;
  };
  const surroundings = {
    fixtures: path.join(projectRoot(), 'examples', 'ecosystem', 'fixtures'),
    databaseUrl: options.databaseUrl,
  };
  const afflict: Stage['afflict'] = async (name, fault) => {
    const member = known(name);
    member.app.afflict(fault);
    if (fault.kind === 'stopped') await stop(member.server);
    else if (!member.server.listening) await listen(member.server, options.host, member.port);
  };
  const close = async () => {
    const all = [...members.values()];
    await Promise.all(all.map(({ server }) => stop(server)));
    await Promise.all(all.map(({ opened }) => opened.close?.()));
  };
  try {
    for (const definition of options.services) members.set(definition.name, await openMember(definition));
    const control = createServer(controlApp(members, afflict));
    await listenAny(control, LOOPBACK, options.controlPort);
    return {
      controlUrl: `http://${LOOPBACK}:${portOf(control)}`,
      services: members,
      afflict,
      async close() {
        await stop(control);
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }

  async function openMember(definition: ServiceDefinition): Promise<Member> {
    const opened = await definition.open(surroundings);
    const app = createServiceApp(definition, opened.routes, peer);
    const server = createServer(app.app);
    await listenAny(server, options.host, options.ports === 'older' ? definition.port : 0);
    const port = portOf(server);
    return {
      name: definition.name,
      url: options.advertise?.(definition.name, port) ?? `http://${options.host}:${port}`,
      endpoints: opened.routes.map((route) => route.path),
      received: app.received,
      fault: app.fault,
      app,
      port,
      server,
      opened,
    };
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port; // It listens on TCP.
}

/** On this port, or on any where that is taken. */
async function listenAny(server: Server, host: string, port: number): Promise<void> {
  try {
    await listenOnce(server, host, port);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    await listenOnce(server, host, 0);
  }
}

/** On the port it had before. */
async function listen(server: Server, host: string, port: number): Promise<void> {
  const deadline = performance.now() + PORT_PATIENCE_MS;
  for (;;) {
    try {
      await listenOnce(server, host, port);
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(PORT_POLL_MS);
    }
  }
}

async function listenOnce(server: Server, host: string, port: number): Promise<void> {
  const listening = once(server, 'listening'); // Rejects with what `error` tells.
  server.listen(port, host);
  await listening;
}

async function stop(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
