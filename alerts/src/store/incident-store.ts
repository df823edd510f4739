/** What the monitor reads from and writes to PostgreSQL. */
import { instantFromMs, type EpochMs } from '@poolmeter/domain';
import type { RelationalStore } from '@poolmeter/relational-store';
import { sql, type Transaction } from 'kysely';
import type { Severity } from '../policy/fault-policy.js';
import type { LeaseEvidence, OperatorResolution, SignalStretch } from '../verdict/evidence.js';
import type { AlertsDatabase } from './alerts-database.js';
import { dateOf, instantOf } from './incident-rows.js';
import { addPeerFindings, peerFindingsOf, peersComparedUntil } from './peer-findings.js';
import { createRevisionSource, writeJudgement, type NodeJudgement } from './write-judgement.js';

export interface LeaseNotice extends LeaseEvidence {
  readonly recordedAt: EpochMs;
}

/** Effects and the positions that they are the effect of; both are stored or neither. */
export interface MonitorCommit {
  readonly judgements: readonly NodeJudgement[];
  readonly positions: ReadonlyMap<number, bigint>;
  /** Samples per hour and node that the judgements took into account. */
  readonly evaluatedHours: readonly {
    readonly node: string;
    readonly hour: EpochMs;
    readonly samples: bigint;
  }[];
  readonly leasesRecordedAt: EpochMs | undefined;
}

export interface IncidentStore {
  positions(): Promise<Map<number, bigint>>;
  evaluatedHours(node: string, from: EpochMs): Promise<Map<EpochMs, bigint>>;
  leasesRecordedAt(): Promise<EpochMs | undefined>;
  /** Nodes with incidents that are not cleared. */
  unclearedNodes(): Promise<string[]>;
  /** The earliest opening among the incidents of a node that reach beyond `from`, or `from` itself. */
  reachBack(node: string, from: EpochMs): Promise<EpochMs>;
  leasesOf(node: string, from: EpochMs): Promise<LeaseEvidence[]>;
  /** Leases of all nodes that touch the time since `from`. */
  leasesSince(from: EpochMs): Promise<LeaseEvidence[]>;
  leasesRecordedSince(recordedAt: EpochMs): Promise<LeaseNotice[]>;
  hasLeases(): Promise<boolean>;
  resolutionsOf(node: string): Promise<OperatorResolution[]>;
  peersComparedUntil(): Promise<EpochMs | undefined>;
  addPeerFindings(step: EpochMs, found: readonly SignalStretch[]): Promise<void>;
  /** What comparisons with peers found on a node, in steps that began at `from` or later. */
  peerFindingsOf(node: string, from: EpochMs): Promise<SignalStretch[]>;
  uncleared(): Promise<{ severity: Severity; count: number }[]>;
  /** Returns how many incidents changed. */
  commit(commit: MonitorCommit): Promise<number>;
}

export function createIncidentStore(store: RelationalStore<AlertsDatabase>): IncidentStore {
  const { db } = store;
  return {
    async positions() {
      const rows = await db.selectFrom('alerts.positions').selectAll().execute();
      return new Map(rows.map((row) => [row.bus_partition, row.bus_offset]));
    },
    async evaluatedHours(node, from) {
      const rows = await db
        .selectFrom('alerts.evaluated_hours')
        .select(['hour', 'samples'])
        .where('node', '=', node)
        .where('hour', '>=', dateOf(from))
        .execute();
      return new Map(rows.map((row) => [instantOf(row.hour), row.samples]));
    },
    async leasesRecordedAt() {
      const row = await db.selectFrom('alerts.lease_mark').select('recorded_at').executeTakeFirst();
      return row === undefined ? undefined : instantOf(row.recorded_at);
    },
    async unclearedNodes() {
      const rows = await db
        .selectFrom('alerts.incidents')
        .select('node')
        .distinct()
        .where('cleared_at', 'is', null)
        .execute();
      return rows.map((row) => row.node);
    },
    reachBack: (node, from) => reachBack(store, { node, from }),
    leasesOf: (node, from) => leases(store, { node, from }),
    leasesSince: (from) => leases(store, { node: undefined, from }),
    async leasesRecordedSince(recordedAt) {
      const rows = await db
        .selectFrom('billing.leases_v1')
        .selectAll()
        .where('recorded_at', '>=', dateOf(recordedAt))
        .execute();
      return rows.map((row) => ({ ...leaseFromRow(row), recordedAt: instantOf(row.recorded_at) }));
    },
    async hasLeases() {
      const found = await sql<{ exists: boolean }>`
        SELECT to_regclass('billing.leases_v1') IS NOT NULL AS exists`.execute(db);
      return found.rows[0]?.exists === true;
    },
    resolutionsOf: (node) => resolutions(store, node),
    peersComparedUntil: () => peersComparedUntil(store),
    addPeerFindings: (step, found) => addPeerFindings(store, step, found),
    peerFindingsOf: (node, from) => peerFindingsOf(store, node, from),
    async uncleared() {
      const rows = await db
        .selectFrom('alerts.incidents')
        .select((of) => ['severity', of.fn.countAll<bigint>().as('count')])
        .where('cleared_at', 'is', null)
        .groupBy('severity')
        .execute();
      return rows.map((row) => ({ severity: row.severity, count: Number(row.count) }));
    },
    commit: (commit) => store.transaction((trx) => writeCommit(trx, commit)),
  };
}

/** An incident that reaches into the window is judged whole, and so is every other one that reaches into that. */
async function reachBack(
  store: RelationalStore<AlertsDatabase>,
  window: { readonly node: string; readonly from: EpochMs },
): Promise<EpochMs> {
  let from = window.from;
  for (;;) {
    const at = dateOf(from);
    const row = await store.db
      .selectFrom('alerts.incidents')
      .select((of) => of.fn.min('opened_at').as('opened_at'))
      .where('node', '=', window.node)
      .where('withdrawn', '=', false)
      .where('opened_at', '<', at)
      .where((is) => is.or([is('cleared_at', 'is', null), is('cleared_at', '>', at)]))
      .executeTakeFirst();
    // `min` of no rows is null, which the type does not say.
    const opened = row?.opened_at as Date | null | undefined;
    if (opened === null || opened === undefined) return from;
    from = instantOf(opened);
  }
}

type LeaseRow = AlertsDatabase['billing.leases_v1'];

async function leases(
  store: RelationalStore<AlertsDatabase>,
  window: { readonly node: string | undefined; readonly from: EpochMs },
): Promise<LeaseEvidence[]> {
  let select = store.db
    .selectFrom('billing.leases_v1')
    .select(['lease_id', 'node', 'gpu_uuid', 'gpu_instance', 'started_at', 'ended_at'])
    .where((is) => is.or([is('ended_at', 'is', null), is('ended_at', '>', dateOf(window.from))]));
  if (window.node !== undefined) select = select.where('node', '=', window.node);
  return (await select.execute()).map(leaseFromRow);
}

function leaseFromRow(
  row: Pick<LeaseRow, 'lease_id' | 'node' | 'gpu_uuid' | 'gpu_instance' | 'started_at' | 'ended_at'>,
): LeaseEvidence {
  return {
    leaseId: row.lease_id,
    node: row.node,
    gpuUuid: row.gpu_uuid,
    gpuInstance: row.gpu_instance,
    start: instantOf(row.started_at),
    end: row.ended_at === null ? undefined : instantOf(row.ended_at),
  };
}

async function resolutions(
  store: RelationalStore<AlertsDatabase>,
  node: string,
): Promise<OperatorResolution[]> {
  const rows = await store.db
    .selectFrom('alerts.operator_actions as action')
    .innerJoin('alerts.incidents as incident', 'incident.incident_id', 'action.incident_id')
    .select(['action.after', 'incident.subject_gpu_uuid', 'incident.node'])
    .where('action.kind', '=', 'resolve')
    .where('incident.node', '=', node)
    .execute();
  return rows.map((row) => ({
    node: row.node,
    gpuUuid: row.subject_gpu_uuid,
    code: String(row.after['code']),
    at: instantFromMs(Number(row.after['cleared_at_ms'])),
  }));
}

async function writeCommit(trx: Transaction<AlertsDatabase>, commit: MonitorCommit): Promise<number> {
  const revisions = createRevisionSource(trx);
  let changed = 0;
  for (const judgement of commit.judgements) changed += await writeJudgement(trx, judgement, revisions);
  for (const [bus_partition, bus_offset] of commit.positions) {
    const row = { bus_partition, bus_offset };
    await trx
      .insertInto('alerts.positions')
      .values(row)
      .onConflict((conflict) =>
        conflict.column('bus_partition').doUpdateSet({ bus_offset, updated_at: new Date() }),
      )
      .execute();
  }
  await writeEvaluatedHours(trx, commit.evaluatedHours);
  if (commit.leasesRecordedAt !== undefined) {
    const recorded_at = dateOf(commit.leasesRecordedAt);
    await trx
      .insertInto('alerts.lease_mark')
      .values({ recorded_at })
      .onConflict((conflict) => conflict.column('only_row').doUpdateSet({ recorded_at }))
      .execute();
  }
  return changed;
}

const ROWS_PER_INSERT = 1_000;

async function writeEvaluatedHours(
  trx: Transaction<AlertsDatabase>,
  hours: MonitorCommit['evaluatedHours'],
): Promise<void> {
  for (let start = 0; start < hours.length; start += ROWS_PER_INSERT) {
    const rows = hours
      .slice(start, start + ROWS_PER_INSERT)
      .map((one) => ({ ...one, hour: dateOf(one.hour) }));
    await trx
      .insertInto('alerts.evaluated_hours')
      .values(rows)
      .onConflict((conflict) =>
        conflict.columns(['node', 'hour']).doUpdateSet((of) => ({ samples: of.ref('excluded.samples') })),
      )
      .execute();
  }
}
