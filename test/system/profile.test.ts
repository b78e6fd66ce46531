/**
 * What a profile says of Linux, beside what Linux says of itself: the addresses of its symbols in /proc/kallsyms, and the trace
 * of calls that its own unwinder prints when it panics.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { VirtualClock } from '../../src/hypervisor/clock.ts';
import { Host } from '../../src/hypervisor/host.ts';
import { buildBusyboxInitramfs } from '../../src/index.ts';
import { MachineMemory, PAGE_SIZE } from '../../src/machine/memory.ts';
import { Engine } from '../../src/machine/x86/engine.ts';
import { hex64 } from '../../src/toolstack/hex.ts';
import { loadKernelImage } from '../../src/toolstack/images/index.ts';
import { readKallsyms } from '../../src/toolstack/images/kallsyms.ts';
import { launch } from '../../src/toolstack/launch.ts';
import { stackOf } from '../../src/toolstack/profile/call-tree.ts';
import { Profiler } from '../../src/toolstack/profile/profiler.ts';
import { eventLoop } from '../../src/toolstack/surroundings.ts';
import { xenHypercalls } from '../../src/toolstack/xen-hypercalls.ts';
import { Xenstored } from '../../src/toolstack/xenstore/xenstored.ts';
import { guest } from '../guests.ts';
import { PROLOGUE } from './guest-script.ts';

/** Prints a hash of the kernel's own list of symbols, computes a little, and ends: init must not, so the kernel panics. */
const SCRIPT = `${PROLOGUE}
grep -v "\\[" /proc/kallsyms | cut -d' ' -f1,3 | sed 's/\\t.*//' | sha256sum
dmesg -n 8
exit 3
`;
const MEMORY_MIB = 256;

for (const name of ['debian:cloud', 'debian:6.12'] as const) {
  const debian = await guest(name);
  describe(`a profile of ${name}`, { skip: debian.skip }, () => {
    it('names functions, callers and processes as the kernel does', async () => {
      const image = await loadKernelImage(await readFile(debian.files!.kernel), name);
      const memory = new MachineMemory({ frames: (MEMORY_MIB * 1024 * 1024) / PAGE_SIZE + 4096 });
      const processor = await Engine.create(memory);
      const host = new Host({ memory, processor, clock: new VirtualClock(), surroundings: eventLoop });
      const profiler = new Profiler(200_003, []);
      host.sampler = profiler;
      let output = '';
      const { domain } = launch(host, new Xenstored(), {
        name: 'guest',
        kernel: image,
        ramdisk: buildBusyboxInitramfs({
          busybox: await readFile(debian.files!.busybox),
          init: new TextEncoder().encode(SCRIPT),
        }),
        commandLine: 'console=hvc0 quiet',
        memoryMib: MEMORY_MIB,
        maxMemoryMib: MEMORY_MIB,
        wallClockMs: 0,
        hypercalls: xenHypercalls(),
        onOutput: (bytes) => (output += Buffer.from(bytes).toString('latin1')),
        onDrain: () => {},
        onEmergencyOutput: () => {},
      });
      profiler.addDomain(domain, image);
      await host.run();
      assert.equal((await domain.exited).reason, 'crash');

      const symbols = readKallsyms(image.segments[0]!.bytes);
      const list = symbols.map((symbol) => `${hex64(symbol.address)} ${symbol.name}\n`).join('');
      assert.ok(output.includes(createHash('sha256').update(list).digest('hex')), output);

      const samples = profiler.tree.samples.map((node) => stackOf(node).map((frame) => frame.name));
      const begins = (...path: string[]) =>
        samples.some((stack) => path.every((part, i) => stack[i] === part));
      assert.ok(begins('swapper', 'startup_xen', 'xen_start_kernel'));
      assert.ok(samples.some((stack) => stack[0] === 'grep' && stack.includes('vfs_read')));

      // The vCPU still stands where it crashed: in the hypercall, below the panic whose trace the kernel printed.
      profiler.sample(domain.vcpus[0]!);
      const stack = stackOf(profiler.tree.samples.at(-1)!).filter((frame) => frame.kernel);
      const ours = stack.map((frame) => frame.name.replace(/\..*/, ''));
      const trace = [...output.slice(output.lastIndexOf('Call Trace')).matchAll(/\] {2}(\w+)[\w.]*\+0x/g)];
      const theirs = trace.map(([, symbol]) => symbol!).reverse();
      const panic = theirs.indexOf('panic');
      assert.ok(panic > 3, output);
      assert.deepEqual(ours.slice(0, panic + 1), theirs.slice(0, panic + 1));
    });
  });
}
