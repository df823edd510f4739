import { judgeSimulatedPool } from './faults/judge-pool.js';
const t = performance.now();
console.log(JSON.stringify(judgeSimulatedPool(), null, 1), performance.now() - t);
