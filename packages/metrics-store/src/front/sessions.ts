/** A connection per request, or one that is kept for a `session_id` with its temporary tables and settings. */
import { FrontError } from './clickhouse-error.js';
import type { Engine, EngineConnection } from './engine.js';

export interface BorrowedConnection {
  readonly connection: EngineConnection;
  /** Closes it, or puts the session's back. Only after its last operation has ended. */
  release(): void;
}

interface Session {
  readonly connection: EngineConnection;
  readonly user: string;
  isBusy: boolean;
  expiry: NodeJS.Timeout | undefined;
}

export interface SessionRequest {
  readonly user: string;
  readonly sessionId: string | undefined;
  readonly timeoutS: number;
  /** The client says that the session must exist. */
  readonly mustExist: boolean;
}

const MAX_SESSIONS = 64;
const MAX_TIMEOUT_S = 3600;

export class Sessions {
  readonly #engine: Engine;
  readonly #sessions = new Map<string, Session>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  borrow(request: SessionRequest): BorrowedConnection {
    if (request.sessionId === undefined) {
      const connection = this.#engine.open();
      return { connection, release: () => connection.close() };
    }
    const key = `${request.user}\n${request.sessionId}`;
    const session = this.#sessions.get(key) ?? this.#create(key, request);
    if (session.isBusy) {
      throw new FrontError(
        373,
        'SESSION_IS_LOCKED',
        `Session ${request.sessionId} is locked by a concurrent client`,
      );
    }
    session.isBusy = true;
    clearTimeout(session.expiry);
    return { connection: session.connection, release: () => this.#putBack(key, session, request.timeoutS) };
  }

  /** Closes those that nothing runs on. */
  closeIdle(): void {
    for (const [key, session] of this.#sessions) if (!session.isBusy) this.#drop(key, session);
  }

  #create(key: string, request: SessionRequest): Session {
    if (request.mustExist) {
      throw new FrontError(372, 'SESSION_NOT_FOUND', `Session ${request.sessionId ?? ''} not found`);
    }
    if (this.#sessions.size >= MAX_SESSIONS) {
      throw new FrontError(
        202,
        'TOO_MANY_SIMULTANEOUS_QUERIES',
        `More than ${MAX_SESSIONS} sessions are open`,
      );
    }
    const session: Session = {
      connection: this.#engine.open(),
      user: request.user,
      isBusy: false,
      expiry: undefined,
    };
    this.#sessions.set(key, session);
    return session;
  }

  #putBack(key: string, session: Session, timeoutS: number): void {
    session.isBusy = false;
    const seconds = Number.isFinite(timeoutS) ? Math.min(MAX_TIMEOUT_S, Math.max(1, timeoutS)) : 60;
    session.expiry = setTimeout(() => this.#drop(key, session), seconds * 1000);
    session.expiry.unref();
  }

  #drop(key: string, session: Session): void {
    clearTimeout(session.expiry);
    this.#sessions.delete(key);
    session.connection.close();
  }
}
