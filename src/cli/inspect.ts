/** `run --inspect PLACES`: what the engine holds for places of the guest, on stderr. */
import type { Writable } from 'node:stream';
import type { Domain } from '../toolstack/api.ts';
import { loadDisassembler } from './disassemble.ts';
import { UsageError } from './errors.ts';

/** Asks a run for the report while the guest goes on. (Node keeps SIGUSR1 for its own debugger.) */
export const INSPECT_SIGNAL = 'SIGUSR2';

/** The places in a list. */
export function placesIn(list: string): string[] {
  const places = list.split(',').map((place) => place.trim());
  if (places.some((place) => place === '')) {
    throw new UsageError(`--inspect ${list}: expected addresses or symbols, with commas between them`);
  }
  return places;
}

/** Writes the report about each place. */
export async function inspect(places: readonly string[], domain: Domain, stderr: Writable): Promise<void> {
  if (places.length === 0) return;
  const disassemble = await loadDisassembler();
  for (const place of places) {
    const lines = domain.inspect(place, disassemble);
    stderr.write(`${lines.join('\n')}\n\n`);
  }
}
