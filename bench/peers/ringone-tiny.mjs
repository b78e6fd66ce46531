/**
 * Makes a host and the smallest guest, waits for its first words, and says as JSON how many milliseconds each step
 * took, in a process that has just started.
 *
 *     node ringone-tiny.mjs ENGINE
 */
const [engine] = process.argv.slice(2);
const GREETING = 'Type help.';

const start = performance.now();
const { buildTinyGuest, Host } = await import('../../dist/index.js');
const loaded = performance.now();
const host = await Host.create({ memoryMib: 32, engine });
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
const steps = {
  'loading the library': loaded - start,
  'host: memory and engine': made - loaded,
  'domain: image, building, store': built - made,
  'guest: to its first words': spoke - built,
};
console.log(JSON.stringify(steps));
