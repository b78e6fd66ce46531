/**
 * A process of its own that is one machine of ours, through the library: the guest's console on standard output, and
 * on descriptor 3 the count of instructions at each of the benchmark's words. Plain JavaScript on what was built, as
 * a user of the package would write it, with V8 set up as the command does.
 *
 *     node ringone-machine.mjs ENGINE KERNEL INITRD MEMORY-MIB 3> COUNTS
 */
import { readFileSync, writeSync } from 'node:fs';
import { collectGarbageLater, tuneJavaScriptEngine } from '../../dist/cli/javascript-engine.js';
import { Host } from '../../dist/index.js';

const COUNTS = 3;
const WORD = /ringone-bench:[^\n]*\n/g;
const [engine, kernel, ramdisk, memory] = process.argv.slice(2);
const memoryMib = Number(memory);

// As the command does.
tuneJavaScriptEngine();
collectGarbageLater();
const host = await Host.create({ memoryMib, engine });
const domain = await host.createDomain({
  kernel: readFileSync(kernel),
  ramdisk: readFileSync(ramdisk),
  memoryMib,
});
const running = host.run();
let line = '';
for await (const bytes of domain.console.readable) {
  writeSync(1, bytes);
  line += Buffer.from(bytes).toString('latin1');
  for (const _ of line.match(WORD) ?? []) writeSync(COUNTS, `${host.statistics().instructions}\n`);
  line = line.slice(line.lastIndexOf('\n') + 1);
}
await running;
