/** The published views of other services that the pool API reads. It owns no table. */

export interface LeaseView {
  readonly lease_id: string;
  readonly customer_id: string;
  readonly project: string;
  readonly provider_id: string;
  readonly gpu_uuid: string;
  readonly gpu_instance: string;
  readonly share: string;
  readonly pricing_mode: string;
  readonly started_at: Date;
  readonly ended_at: Date | null;
}

export interface GpuHealthView {
  readonly gpu_uuid: string;
  readonly state: 'healthy' | 'faulty' | 'verifying' | 'unknown' | 'lost';
  readonly since: Date;
  readonly incident_id: string | null;
}

export interface PoolView {
  readonly id: string;
  readonly nodes: readonly { readonly node: string; readonly state: string }[];
}

export interface PoolDatabase {
  'billing.leases_v1': LeaseView;
  'alerts.gpu_health_v1': GpuHealthView;
  'autoscaler.pools_v1': PoolView;
}
