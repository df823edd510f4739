import { measureIncidentDelay } from './faults/incident-delay.js';
console.log(JSON.stringify(await measureIncidentDelay()));
