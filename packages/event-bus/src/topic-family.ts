/** Whether a topic belongs to a family: the one of that name, or one that continues it with a dot. */
export function isInFamily(topic: string, family: string): boolean {
  return topic === family || topic.startsWith(`${family}.`);
}

/** The topics that a subscription reads, of those that exist: by name and without repeats. */
export function topicsToRead(
  existing: readonly string[],
  wanted: { readonly topics: readonly string[]; readonly topicFamilies?: readonly string[] },
): string[] {
  const { topics, topicFamilies = [] } = wanted;
  const isWanted = (topic: string) =>
    topics.includes(topic) || topicFamilies.some((family) => isInFamily(topic, family));
  return [...new Set(existing)].filter(isWanted).sort();
}
