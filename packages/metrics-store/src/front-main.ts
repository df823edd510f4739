/** The child process of the embedded ClickHouse: composition only. Its parent tells it how to start and when to stop. */
import { messageOf } from '@poolmeter/domain';
import { loadEngine } from './front/engine.js';
import { writeEngineConfig } from './front/engine-config.js';
import { startFront, type Front } from './front/front.js';
import { startMessageSchema, type ChildMessage, type StartMessage } from './front/messages.js';

const DRAIN_MS = 2_000;
/** A stop that hangs in the engine ends here: what is acknowledged is on disk. */
const STOP_LIMIT_MS = 2_800;

const tell = (message: ChildMessage, sent: () => void = () => undefined) => {
  if (process.connected && process.send !== undefined) process.send(message, sent);
  else sent();
};

async function start(message: StartMessage): Promise<Front> {
  const engineArguments = writeEngineConfig(message.configPath, message);
  return startFront({
    engine: loadEngine(message.storeDirectory, engineArguments),
    users: message.users,
    port: message.port,
    spoolDirectory: message.spoolDirectory,
    queryLogPath: message.queryLogPath,
    onFault: (what, fault) => tell({ kind: 'fault', message: `${what} ${messageOf(fault)}` }),
  });
}

let front: Promise<Front> | undefined;
let stopping = false;

async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  setTimeout(() => process.exit(0), STOP_LIMIT_MS).unref();
  const started = await front?.catch(() => undefined);
  await started?.stop(DRAIN_MS);
  process.exit(0);
}

const stopNow = () => {
  stop().catch((fault: unknown) => {
    tell({ kind: 'fault', message: messageOf(fault) });
    process.exit(1);
  });
};

process.once('message', (received) => {
  front = Promise.resolve(received)
    .then((value) => startMessageSchema.parse(value))
    .then(start);
  front.then(
    ({ port }) => tell({ kind: 'ready', port }),
    (fault: unknown) => {
      const code = fault instanceof Error ? ((fault as NodeJS.ErrnoException).code ?? '') : '';
      tell({ kind: 'failed', code, message: messageOf(fault) }, () => process.exit(1));
    },
  );
});
// Ctrl-C reaches the whole process group; the parent decides when its store may go.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', stopNow);
process.on('disconnect', stopNow);
