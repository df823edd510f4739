const PCI_ADDRESS = /^(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})(?:\.[0-7])?$/i;

/**
 * One spelling of a PCI address: `00000000:37:00` for `00000000:37:00.0` (exporter), `0000:37:00` and `PCI:0000:37:00.0`
 * (kernel log). The function is left out, for a GPU is function 0. Undefined when the text is no PCI address.
 */
export function normalPciBusId(text: string): string | undefined {
  const [, domain, bus, device] = PCI_ADDRESS.exec(text.replace(/^PCI:/i, '')) ?? [];
  if (bus === undefined || device === undefined) return undefined;
  const digits = (part: string, width: number) => part.toLowerCase().padStart(width, '0');
  return `${digits(domain ?? '0', 8)}:${digits(bus, 2)}:${digits(device, 2)}`;
}
