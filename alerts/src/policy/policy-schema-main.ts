/**
 * Prints the JSON Schema of fault policies, or with the argument `notifications` that of the channels:
 * `npm run policy-schema -w alerts` writes both to docs/schemas.
 */
import { notificationsJsonSchema } from '../notify/channels.js';
import { faultPolicyJsonSchema } from './fault-policy.js';

const schema = process.argv[2] === 'notifications' ? notificationsJsonSchema() : faultPolicyJsonSchema();
process.stdout.write(`${JSON.stringify(schema, null, 2)}\n`);
