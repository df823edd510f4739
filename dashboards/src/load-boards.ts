/** The boards, built. Pure: the same boards every time. */
import type { Board } from 'grafana-dashboard-builder';
import { autoscalerBoard } from './autoscaler.js';
import { billingBoard } from './billing.js';
import { faultsBoard } from './faults.js';
import { fleetBoard } from './fleet.js';
import { gpuBoard } from './gpu.js';

/** All boards in the order in which a reader should meet them. */
export function loadBoards(): readonly Board[] {
  return [fleetBoard(), gpuBoard(), faultsBoard(), billingBoard(), autoscalerBoard()];
}
