/** What `poolmeter doctor` looks at, one check per thing that can be wrong. */
import { messageOf } from '@poolmeter/domain';
import type { BusSettings } from '@poolmeter/event-bus';
import type { Endpoint } from './endpoint-file.js';

export interface Check {
  readonly name: string;
  /** Resolves with what was found; rejects with what is wrong. */
  readonly look: () => Promise<string>;
  /** How to mend it. */
  readonly mend: string;
}

export interface Finding {
  readonly check: string;
  readonly ok: boolean;
  readonly found: string;
  readonly mend: string | null;
}

/** Where the stores of an installation are. */
export interface Stores {
  readonly clickhouse: { readonly url: string; readonly database: string } | undefined;
  readonly postgres: string | undefined;
  readonly brokers: readonly string[];
  readonly kafka: KafkaLogin;
}

/** How the brokers are reached: what of the bus settings is given. */
export type KafkaLogin = Partial<BusSettings>;

const LIMIT_MS = 10_000;

/** All checks side by side; one that hangs counts as failed. */
export function findings(checks: readonly Check[]): Promise<Finding[]> {
  return Promise.all(
    checks.map(async ({ name, look, mend }) => {
      try {
        return { check: name, ok: true, found: await within(look()), mend: null };
      } catch (fault) {
        return { check: name, ok: false, found: messageOf(fault), mend };
      }
    }),
  );
}

async function within<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`There was no answer within ${LIMIT_MS / 1_000} s.`));
    }, LIMIT_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function apiCheck(origin: { url: string }): Check {
  return {
    name: 'API',
    mend: 'Start it with "poolmeter up" or "poolmeter api"; its log (poolmeter.log in the data folder) says more.',
    async look() {
      const answer = await fetch(new URL('/readyz', origin.url)).catch((fault: unknown) => {
        throw new Error(`${origin.url} cannot be reached (${causeOf(fault)}).`, { cause: fault });
      });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${origin.url} is not ready: ${detailOf(text)}`);
      return `${origin.url} is ready.`;
    },
  };
}

function causeOf(fault: unknown): string {
  const cause = fault instanceof Error ? fault.cause : undefined;
  return cause instanceof Error && 'code' in cause ? String(cause.code) : messageOf(fault);
}

function detailOf(text: string): string {
  try {
    const problem = JSON.parse(text) as {
      detail?: string;
      checks?: { name: string; status: string; message?: string }[];
    };
    const failed = (problem.checks ?? []).filter((one) => one.status === 'failed');
    if (failed.length > 0) return failed.map((one) => `${one.name}: ${one.message ?? 'failed'}`).join('; ');
    return problem.detail ?? text.slice(0, 200);
  } catch {
    return text.slice(0, 200);
  }
}

/** A process that is gone left an endpoint behind: that explains everything else that fails. */
export function processCheck(endpoint: Endpoint): Check {
  return {
    name: 'poolmeter up',
    mend: 'Start it again with "poolmeter up".',
    look: () => {
      try {
        process.kill(endpoint.pid, 0);
      } catch (fault) {
        if ((fault as NodeJS.ErrnoException).code === 'ESRCH') {
          return Promise.reject(
            new Error(`The "poolmeter up" that wrote endpoint.json (pid ${endpoint.pid}) is gone.`),
          );
        }
      }
      return Promise.resolve(`It runs with pid ${endpoint.pid}.`);
    },
  };
}

export function storeChecks(prefix: string, stores: Stores): Check[] {
  const { clickhouse, postgres, brokers, kafka } = stores;
  return [
    ...(clickhouse === undefined ? [] : [clickhouseCheck(prefix, clickhouse)]),
    ...(postgres === undefined ? [] : [postgresCheck(prefix, postgres)]),
    ...(brokers.length === 0 ? [] : [kafkaCheck(prefix, brokers, kafka)]),
  ];
}

function clickhouseCheck(prefix: string, { url, database }: { url: string; database: string }): Check {
  return {
    name: `${prefix}ClickHouse`,
    mend: 'Check its address, user and password, and that it runs; then "poolmeter migrate".',
    async look() {
      const { openMetricsStore } = await import('@poolmeter/metrics-store');
      const store = openMetricsStore({ url, database, applicationName: 'doctor' });
      try {
        await store.ping();
      } finally {
        await store.close();
      }
      return `Database ${database} at ${hostOf(url)} answers.`;
    },
  };
}

function postgresCheck(prefix: string, url: string): Check {
  return {
    name: `${prefix}PostgreSQL`,
    mend: 'Check its address, user and password, and that it runs; then "poolmeter migrate".',
    async look() {
      const { openRelationalStore } = await import('@poolmeter/relational-store');
      const store = openRelationalStore({ url, applicationName: 'doctor', maxConnections: 1 });
      try {
        await store.ping();
      } finally {
        await store.close();
      }
      return `${hostOf(url)} answers.`;
    },
  };
}

function kafkaCheck(prefix: string, brokers: readonly string[], login: KafkaLogin): Check {
  return {
    name: `${prefix}Kafka`,
    mend: 'Check the brokers’ addresses, TLS and login, and that they run.',
    async look() {
      const [{ openBus }, { createLogger }] = await Promise.all([
        import('@poolmeter/event-bus'),
        import('@poolmeter/service'),
      ]);
      const logger = createLogger({ service: 'doctor', level: 'silent' });
      const bus = openBus(
        { ...login, kafkaTls: login.kafkaTls ?? false, brokers: [...brokers] },
        { clientId: 'poolmeter-doctor', prefix: 'POOLMETER', logger },
      );
      try {
        await bus.ping();
      } finally {
        await bus.close();
      }
      return `${brokers.join(', ')} answer.`;
    },
  };
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : 'the given address';
}
