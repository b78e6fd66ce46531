/** What a host and a guest cost before they do anything: the built-in guest, from nothing to its first word and back. */
import { buildTinyGuest, Host } from '../src/index.ts';
import type { Figure } from './results.ts';

const GREETING = 'Type help.';

export async function tinyGuest(): Promise<Figure[]> {
  const start = performance.now();
  const host = await Host.create({ memoryMib: 32 });
  const made = performance.now();
  const domain = await host.createDomain({ kernel: buildTinyGuest(), memoryMib: 32 });
  const built = performance.now();
  const running = host.run();
  let text = '';
  const reader = domain.console.readable.getReader();
  while (!text.includes(GREETING)) text += Buffer.from((await reader.read()).value ?? []).toString();
  const spoke = performance.now();
  domain.destroy();
  await running;
  return [
    { what: 'host: memory and engine', value: made - start, unit: 'ms' },
    { what: 'domain: image, building, store', value: built - made, unit: 'ms' },
    { what: 'guest: to its first words', value: spoke - built, unit: 'ms' },
  ];
}
