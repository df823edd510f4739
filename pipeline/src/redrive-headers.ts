/** What a message carries that was sent again from the dead letters, beside its own headers. */
export const redriveHeaders = {
  /** `topic/partition/offset` of the message that was refused: the same letter is let in once. */
  from: 'redriven-from',
  /** How often it was refused before. */
  attempts: 'redriven-attempts',
} as const;
