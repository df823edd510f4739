import type { Frame } from './frame.js';

export interface DrawContext {
  readonly fromMs: number;
  readonly toMs: number;
  readonly intervalMs: number;
}

/** One way to show frames. It is told again and again, and keeps what did not change. */
export interface Drawing {
  draw(frames: readonly Frame[], context: DrawContext): void;
  /** Frees what the page does not free by itself. */
  destroy(): void;
}
