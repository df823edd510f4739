/** Where decisions live: written with their inputs and their announcement in one transaction. */
import { gunzipSync, gzipSync } from 'node:zlib';
import { canonicalJson, digestOf, PoolmeterError, type EpochMs, type IdSource } from '@poolmeter/domain';
import { writeOutbox, type RelationalStore } from '@poolmeter/relational-store';
import { sql, type Transaction, type Updateable } from 'kysely';
import type { AutoscalerDatabase, DecisionStatus } from './autoscaler-database.js';
import { decisionMessage, type DecisionRow } from './decision-row.js';
import { signatureOf } from './evaluate.js';
import type { Forecast } from './forecast.js';
import type { PoolObservation } from './observation.js';
import { stepsOf } from './plan-step.js';
import type { Disposition, GuardedProposal } from './proposal.js';
import { policyDigestOf, scalingPolicySchema, type ScalingPolicy } from './scaling-policy.js';

/** Grows when decide or guard change what they answer: a replay names the versions when they differ. */
export const CODE_VERSION = '2';

export type AutoscalerStore = RelationalStore<AutoscalerDatabase>;
export type DecisionChange = Omit<
  Updateable<AutoscalerDatabase['autoscaler.decisions']>,
  'id' | 'revision' | 'updated_at'
>;

export interface NewDecision {
  readonly observation: PoolObservation;
  readonly policy: ScalingPolicy;
  readonly proposal: GuardedProposal;
  readonly forecast: Forecast;
  readonly at: EpochMs;
  /** Open decisions of the pool that this one takes the place of. */
  readonly supersedes: readonly string[];
}

const statusOf: Readonly<Record<Disposition, DecisionStatus>> = {
  act: 'acting',
  recommend: 'recommended',
  hold: 'held',
  none: 'none',
};

/** Stores a decision, the policy and the observation that it came from, and tells the others. */
export async function storeDecision(
  { store, ids }: { store: AutoscalerStore; ids: IdSource },
  decision: NewDecision,
): Promise<DecisionRow> {
  const id = ids.next('dec');
  return store.transaction(async (trx) => {
    const at = new Date(decision.at);
    const policyDigest = await keepPolicy(trx, decision.policy, at);
    const inputDigest = await keepInput(trx, decision.observation, at);
    const { proposal } = decision;
    const row = await trx
      .insertInto('autoscaler.decisions')
      .values({
        id,
        pool: decision.observation.pool,
        decided_at: at,
        mode: decision.observation.mode,
        action: proposal.action,
        status: statusOf[proposal.disposition],
        targets: proposal.targets,
        steps: stepsOf(proposal.plan),
        reasons: proposal.reasons,
        rejected: proposal.rejected,
        guards: proposal.guards,
        forecast: decision.forecast,
        policy_digest: policyDigest,
        input_digest: inputDigest,
        code_version: CODE_VERSION,
        signature: signatureOf(proposal),
        acted_at: proposal.disposition === 'act' ? at : null,
        updated_at: at,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    await writeOutbox(trx, 'autoscaler', decisionMessage(row));
    for (const old of decision.supersedes) {
      const outcome = { effective: false, detail: `Superseded by ${id}.`, checked_at: at.toISOString() };
      await changeIn(trx, {
        id: old,
        at: decision.at,
        change: { status: 'superseded', finished_at: at, outcome },
      });
    }
    return row;
  });
}

/** Changes a decision and tells the others, in one transaction. `from` names the statuses that it may have now. */
export async function changeDecision(
  store: AutoscalerStore,
  request: { id: string; at: EpochMs; change: DecisionChange; from?: readonly DecisionStatus[] },
): Promise<DecisionRow> {
  return store.transaction((trx) => changeIn(trx, request));
}

export async function changeIn(
  trx: Transaction<AutoscalerDatabase>,
  request: { id: string; at: EpochMs; change: DecisionChange; from?: readonly DecisionStatus[] },
): Promise<DecisionRow> {
  const current = await trx
    .selectFrom('autoscaler.decisions')
    .select('status')
    .where('id', '=', request.id)
    .forUpdate()
    .executeTakeFirst();
  if (current === undefined) throw new PoolmeterError('not_found', `There is no decision ${request.id}.`);
  if (request.from?.includes(current.status) === false) {
    const allowed = request.from.join(' or ');
    throw new PoolmeterError(
      'decision.refused',
      `Decision ${request.id} is ${current.status}, not ${allowed}.`,
    );
  }
  const row = await trx
    .updateTable('autoscaler.decisions')
    .set({
      ...request.change,
      updated_at: new Date(request.at),
      revision: sql<bigint>`nextval('autoscaler.revisions')`,
    })
    .where('id', '=', request.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  await writeOutbox(trx, 'autoscaler', decisionMessage(row));
  return row;
}

async function keepPolicy(
  trx: Transaction<AutoscalerDatabase>,
  policy: ScalingPolicy,
  at: Date,
): Promise<string> {
  const digest = policyDigestOf(policy);
  await trx
    .insertInto('autoscaler.policies')
    .values({ digest, document: policy, seen_at: at })
    .onConflict((conflict) => conflict.column('digest').doNothing())
    .execute();
  return digest;
}

async function keepInput(
  trx: Transaction<AutoscalerDatabase>,
  observation: PoolObservation,
  at: Date,
): Promise<string> {
  const digest = digestOf(observation);
  const document = gzipSync(canonicalJson(observation));
  await trx
    .insertInto('autoscaler.inputs')
    .values({ digest, document, seen_at: at })
    .onConflict((conflict) => conflict.column('digest').doNothing())
    .execute();
  return digest;
}

export async function findDecision(store: AutoscalerStore, id: string): Promise<DecisionRow> {
  const row = await store.db
    .selectFrom('autoscaler.decisions')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirst();
  if (row === undefined) throw new PoolmeterError('not_found', `There is no decision ${id}.`);
  return row;
}

/** The observation and the policy that a decision was made from. */
export async function readInputs(
  store: AutoscalerStore,
  decision: DecisionRow,
): Promise<{ observation: PoolObservation; policy: ScalingPolicy }> {
  const [input, policy] = await Promise.all([
    store.db
      .selectFrom('autoscaler.inputs')
      .select('document')
      .where('digest', '=', decision.input_digest)
      .executeTakeFirst(),
    store.db
      .selectFrom('autoscaler.policies')
      .select('document')
      .where('digest', '=', decision.policy_digest)
      .executeTakeFirstOrThrow(),
  ]);
  if (input === undefined) {
    throw new PoolmeterError(
      'not_found',
      `The observation behind ${decision.id} is older than what is kept.`,
    );
  }
  const observation = JSON.parse(gunzipSync(input.document).toString('utf8')) as PoolObservation;
  if (
    digestOf(observation) !== decision.input_digest ||
    digestOf(policy.document) !== decision.policy_digest
  ) {
    throw new PoolmeterError(
      'storage.corrupt',
      `The stored inputs of ${decision.id} do not match their digests.`,
    );
  }
  // A policy that was stored before a key existed gets its default.
  return { observation, policy: scalingPolicySchema.parse(policy.document) };
}
