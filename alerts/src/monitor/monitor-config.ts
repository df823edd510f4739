/** How often the monitor looks, and how far back. */
import { defineConfig, durationMs } from '@poolmeter/service';
import type { z } from 'zod';

export const monitorSettings = {
  eventPollMs: durationMs.default(1_000).describe('Pause between looks for new events.'),
  fleetLookMs: durationMs.default(10_000).describe('Pause between looks at the newest samples of all GPUs.'),
  signalLookMs: durationMs
    .default(120_000)
    .describe('Pause between looks at conditions that are judged by the minute.'),
  peerLookMs: durationMs
    .default(30_000)
    .describe('Pause between looks whether another step of five minutes can be compared with peers.'),
  historyLookMs: durationMs
    .default(15_000)
    .describe('Pause between looks for samples that arrived for past hours, and for changed leases.'),
  // Raw samples are kept for 30 days: older ones could be noticed, but not be judged.
  historyReachMs: durationMs
    .default(30 * 86_400_000)
    .describe('How far back samples that arrive late are noticed.'),
};

const monitorSettingsSchema = defineConfig(monitorSettings);

export type MonitorConfig = z.output<typeof monitorSettingsSchema>;

/** What a monitor uses when nothing is set. */
export function monitorDefaults(): MonitorConfig {
  return monitorSettingsSchema.parse({});
}
