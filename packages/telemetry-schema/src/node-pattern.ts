/** Whether a pattern of the pools file names a node: `*` stands for any characters, `?` for one, the rest for itself. */
export function nodeMatches(pattern: string, node: string): boolean {
  const escaped = pattern.replace(/[.+^${}()|[\]\\-]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(node);
}
