/** Prints the JSON Schema of fault policies: `npm run policy-schema -w alerts` writes it to docs/schemas. */
import { faultPolicyJsonSchema } from './fault-policy.js';

process.stdout.write(`${JSON.stringify(faultPolicyJsonSchema(), null, 2)}\n`);
