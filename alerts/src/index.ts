export { backtestPolicy } from './backtest/backtest-policy.js';
export type { PolicyComparison, PolicyOutcome } from './backtest/compare-policies.js';
export { ALERTS_PREFIX, alertsConfigSchema, loadAlertsConfig, type AlertsConfig } from './config.js';
export { createClickHouseEvidence } from './monitor/clickhouse-evidence.js';
export { PEER_STEP_MS } from './monitor/compare-peers.js';
export type { EvidenceSource } from './monitor/evidence-source.js';
export { createFaultMonitor, type FaultMonitorOptions } from './monitor/fault-monitor.js';
export { monitorDefaults, monitorSettings, type MonitorConfig } from './monitor/monitor-config.js';
export { explainIncident, type ExplainedIncident } from './http/explain-incident.js';
export { incidentRoutes, type IncidentRoutesOptions } from './http/incident-routes.js';
export { runAlerts, type RunAlertsOptions } from './run-alerts.js';
export { faultPolicyJsonSchema, type FaultPolicy } from './policy/fault-policy.js';
export { defaultPolicyFile, loadFaultPolicy, parseFaultPolicy } from './policy/load-policy.js';
export { alertsMigrations, type AlertsDatabase } from './store/alerts-database.js';
export type {
  EventEvidence,
  FaultEvidence,
  GpuTelemetry,
  LeaseEvidence,
  OperatorResolution,
  SignalStretch,
} from './verdict/evidence.js';
export { healthOfGpus, type HealthEvidence } from './verdict/gpu-health.js';
export type { FaultIncident, GpuHealth, GpuState, Symptom, VerdictInterval } from './verdict/incident.js';
export { verdicts } from './verdict/verdicts.js';
