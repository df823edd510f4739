export { createLogger, withoutSecrets, type Logger, type LoggerOptions } from './logger.js';
export {
  createLifecycle,
  nextStopSignal,
  type Component,
  type Lifecycle,
  type LifecycleOptions,
  type SignalSource,
} from './lifecycle.js';
export { loadConfig, readConfigFile, type ConfigFault, type ConfigSource } from './load-config.js';
export { envExample, maskedConfig, type ConfigSection } from './show-config.js';
export { defineConfig, type ConfigSchema } from './setting-schema.js';
export {
  durationMs,
  flag,
  httpAddress,
  formatDurationMs,
  parseDurationMs,
  portNumber,
  secretText,
  textList,
  wholeNumber,
} from './setting.js';
export { createTelemetry, type Telemetry, type TelemetryOptions } from './telemetry.js';
export {
  createOpsRoutes,
  createOpsServer,
  type OpsRoutesOptions,
  type OpsServerOptions,
  type ReadinessCheck,
} from './ops-server.js';
export { openHttpListener, type HttpListener, type HttpListenerOptions } from './http-listener.js';
export { repeatEvery, type RepeatOptions } from './repeat-every.js';
export { retry, type RetryOptions } from './retry.js';
