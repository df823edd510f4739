import { judgePeers } from './faults/judge-peers.js';
import { measureEvaluation } from './faults/evaluation-cost.js';
const t = performance.now();
const p = await judgePeers();
console.log(JSON.stringify({ ...p.figures, ...measureEvaluation(p) }, null, 1), performance.now() - t);
