/** What comparisons with peers found, kept as evidence. */
import { interval, type EpochMs } from '@poolmeter/domain';
import type { RelationalStore } from '@poolmeter/relational-store';
import type { SignalName } from '../policy/signals.js';
import type { SignalStretch } from '../verdict/evidence.js';
import type { AlertsDatabase } from './alerts-database.js';
import { dateOf, instantOf } from './incident-rows.js';

type Store = RelationalStore<AlertsDatabase>;

export async function peersComparedUntil(store: Store): Promise<EpochMs | undefined> {
  const row = await store.db.selectFrom('alerts.peer_mark').select('started_at').executeTakeFirst();
  return row === undefined ? undefined : instantOf(row.started_at);
}

/** Findings and the mark that their step was compared are stored together. */
export function addPeerFindings(store: Store, step: EpochMs, found: readonly SignalStretch[]): Promise<void> {
  return store.transaction(async (trx) => {
    const rows = found.map((one) => ({
      node: one.node,
      gpu_uuid: one.gpuUuid,
      signal: one.signal,
      started_at: dateOf(one.during.start),
      ended_at: dateOf(one.during.end),
      value: one.extreme,
    }));
    if (rows.length > 0)
      await trx
        .insertInto('alerts.peer_findings')
        .values(rows)
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    const mark = { started_at: dateOf(step) };
    await trx
      .insertInto('alerts.peer_mark')
      .values(mark)
      .onConflict((conflict) => conflict.column('only_row').doUpdateSet(mark))
      .execute();
  });
}

export async function peerFindingsOf(store: Store, node: string, from: EpochMs): Promise<SignalStretch[]> {
  const rows = await store.db
    .selectFrom('alerts.peer_findings')
    .selectAll()
    .where('node', '=', node)
    .where('started_at', '>=', dateOf(from))
    .execute();
  return rows.map((row) => ({
    signal: row.signal as SignalName,
    node: row.node,
    gpuUuid: row.gpu_uuid,
    gpuInstance: '',
    during: interval(instantOf(row.started_at), instantOf(row.ended_at)),
    extreme: row.value,
  }));
}
