/** A bare machine from its start to its end: how it stops, what it says of a crash, its console, and what it cannot reach. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at, Condition, R8, RAX, RCX, RDI, RDX, RSI, RSP } from '../guest/tiny/assembler.ts';
import { buildTinyGuest } from '../guest/tiny/guest.ts';
import { crashText } from '../toolstack/crash-text.ts';
import { WINDOW } from './builder/plan.ts';
import { makeKernelImage } from './testing/image.ts';
import { assembleProgram, Program } from './testing/program.ts';
import { hostOf, MEMORY_MIB, runMachine } from './testing/run.ts';

/** An image whose program is `body` alone, entered as the boot protocol says. */
function bare(body: (p: Program) => void): Uint8Array {
  const program = new Program();
  program.label('start');
  body(program);
  return makeKernelImage(program);
}

/** An image with tables, a console and handlers. */
function furnished(body: (p: Program) => void): Uint8Array {
  return makeKernelImage(assembleProgram(body));
}

const halt = (p: Program) => p.raw('fa f4');
const powerOff = (p: Program) => {
  p.movImmediate(RDX, 0x604);
  p.movImmediate(RAX, 0x2000);
  p.raw('66 ef');
};

for (const [how, body, reason] of [
  ['port 0x604 powers off', powerOff, 'poweroff'],
  ['the keyboard controller resets', (p: Program) => p.out8(0x64, 0xfe), 'reboot'],
  ['port 0xcf9 resets', (p: Program) => p.out8(0xcf9, 0x06), 'reboot'],
] as const) {
  test(how, async () => {
    const { exit } = await runMachine(bare(body));
    assert.deepEqual(exit, { reason });
  });
}

test('other values at those ports change nothing', async () => {
  const { exit } = await runMachine(
    bare((p) => {
      p.out8(0x604, 0x20);
      p.out8(0x605, 0x1f);
      p.out8(0x64, 0x20);
      p.out8(0xcf9, 0x02);
      powerOff(p);
    }),
  );
  assert.equal(exit.reason, 'poweroff');
});

test('HLT with interrupts disabled ends the machine, for nothing could wake it', async () => {
  const { exit } = await runMachine(bare(halt));
  assert.equal(exit.reason, 'crash');
  assert.equal(exit.report?.reason, 'halted with interrupts disabled: nothing can wake it');
});

test('an exception without an IDT is a triple fault, and the report tells how it came to it', async () => {
  const { exit } = await runMachine(bare((p) => p.undefined()));
  assert.equal(exit.reason, 'crash');
  const { report } = exit;
  assert.match(
    report!.reason,
    /^triple fault: #UD, then #GP \(error code 0x33\), then #DF, then #GP \(error code 0x43\), at RIP 0x0{10}100000/,
  );
  assert.equal(report!.rip, 0x100000);
  assert.equal(report!.kernelMode, true);
  assert.match(crashText(report!).join('\n'), /rip 0000000000100000/);
});

test('a handler on a stack that is gone: page fault, double fault, triple fault', async () => {
  const { exit } = await runMachine(
    furnished((p) => {
      p.movImmediate64(RSP, 0x8000000800);
      p.undefined();
    }),
  );
  assert.match(
    exit.report!.reason,
    /^triple fault: #UD, then #PF \(error code 0x2\), then #DF, then #PF \(error code 0x2\), .*CR2 0x00000080000007f8/,
  );
});

test('a TSS without room for a stack: #TS, which is a double fault’s beginning', async () => {
  const { exit } = await runMachine(
    furnished((p) => {
      p.lea(RDI, 'gdt');
      // The task's descriptor: available, with a limit of 7; no RSP0, no IST.
      p.raw('66 c7 47 38 07 00 c6 47 3d 89');
      p.movImmediate(RAX, 0x38);
      p.raw('0f 00 d8');
      p.setGate(8, { ist: 1 });
      p.enterUser('in_user');
      p.label('in_user');
      p.undefined();
    }),
  );
  assert.match(exit.report!.reason, /#UD, then #TS \(error code 0x39\), then #DF, then #TS/);
  assert.equal(exit.report!.kernelMode, false);
});

test('the registers at the entry are those of the boot protocol', async () => {
  const { output } = await runMachine(
    furnished((p) => {
      p.load(RSI, 'boot_params');
      p.load32(RAX, at(RSI, 0x202));
      p.sayValue('magic', 8);
      p.load(RSI, 'boot_params');
      p.load8(RAX, at(RSI, 0x211));
      p.sayValue('high', 2);
      p.load(RSI, 'boot_params');
      p.load8(RAX, at(RSI, 0x1e8));
      p.sayValue('e820', 2);
      p.load(RSI, 'boot_params');
      p.load32(RAX, at(RSI, 0x2d0 + 20 + 16));
      p.sayValue('reserved', 1);
      p.load(RSI, 'boot_params');
      p.load32(RAX, at(RSI, 0x2d0 + 40));
      p.sayValue('start', 8);
      p.load(RSI, 'boot_params');
      p.load32(RAX, at(RSI, 0x2d0 + 48));
      p.sayValue('bytes', 8);
      p.load(RSI, 'boot_params');
      p.load32(RAX, at(RSI, 0x21c));
      p.sayValue('initrd', 4);
      p.load(RSI, 'boot_params');
      p.load32(RDI, at(RSI, 0x218));
      p.load8(RAX, at(RDI, 2));
      p.sayValue('byte', 2);
      p.say(' ');
      p.load(RSI, 'boot_params');
      p.load32(RSI, at(RSI, 0x228));
      p.call('print');
    }),
    { commandLine: 'a=1 b', ramdisk: Uint8Array.of(1, 2, 0x77) },
  );
  const ram = ((MEMORY_MIB - 1) << 20).toString(16).padStart(8, '0');
  assert.equal(
    output,
    ` magic=53726448 high=01 e820=03 reserved=2 start=00100000 bytes=${ram} initrd=0003 byte=77 a=1 b`,
  );
});

test('the segments of the entry can be loaded again from the GDT that is there', async () => {
  const { exit } = await runMachine(
    bare((p) => {
      p.raw('b8 18 00 00 00 8e d8 8e c0 8e d0'); // mov eax, 18h; mov ds, eax; mov es, eax; mov ss, eax
      powerOff(p);
    }),
  );
  assert.equal(exit.reason, 'poweroff');
});

test('the TSC goes on from what is written to it', async () => {
  const { output } = await runMachine(
    furnished((p) => {
      for (const high of [0x1000, 0]) {
        p.writeMsr(0x10, 0, high);
        p.readMsr(0x10);
        p.shiftRight(RAX, 10); // less than a thousand instructions later
        p.sayValue('tsc');
      }
    }),
  );
  assert.equal(output, ' tsc=0000000400000000 tsc=0000000000000000');
});

test('what is typed arrives, once the guest raises RTS, and wakes it', async () => {
  const { output, exit } = await runMachine(
    furnished((p) => {
      p.setGate(0x24, { label: 'typed' });
      for (const [port, value] of [
        [0x20, 0x11],
        [0x21, 0x20],
        [0x21, 0x04],
        [0x21, 0x01],
        [0x21, 0xef],
        [0x3fa, 0x07],
        [0x3fc, 0x01],
      ] as const) {
        p.out8(port, value);
      }
      p.in8(0x3fd);
      p.andImmediate(RAX, 1);
      p.sayValue('before', 1);
      p.out8(0x3f9, 0x01);
      p.out8(0x3fc, 0x0b);
      p.label('sleep');
      p.raw('fb f4');
      p.jump('sleep');
      // The controller takes edges: a handler must go on until there is nothing more.
      p.label('typed');
      p.in8(0x3f8);
      p.mov(R8, RAX);
      p.call('put');
      p.compareImmediate(R8, 0x21);
      p.jumpIf(Condition.equal, 'power_off');
      p.in8(0x3fd);
      p.andImmediate(RAX, 1);
      p.compareImmediate(RAX, 0);
      p.jumpIf(Condition.notEqual, 'typed');
      p.out8(0x20, 0x20);
      p.raw('48 cf');
    }),
    { input: 'hello, and goodbye for a while!' },
  );
  assert.equal(output, ' before=0hello, and goodbye for a while!');
  assert.equal(exit.reason, 'poweroff');
});

test('port 0xe9 is the emergency console, by lines and at the end', async () => {
  const { emergency } = await runMachine(
    furnished((p) => {
      for (const character of 'one\ntwo') p.out8(0xe9, character.charCodeAt(0));
    }),
  );
  assert.equal(emergency, 'one\ntwo');
});

test('page tables reach the machine’s own memory and nothing else', async () => {
  const { output } = await runMachine(
    furnished((p) => {
      p.experiment('a page table beyond the memory', () => {
        p.raw('0f 20 df'); // mov rdi, cr3
        p.movImmediate(RAX, (MEMORY_MIB << 20) | 3);
        p.store(at(RDI, 8), RAX);
        p.movImmediate64(RCX, 0x8000000000);
        p.mark();
        p.raw('48 8b 01');
      });
      p.experiment('a page beyond the memory', () => {
        p.raw('0f 20 df 48 8b 3f 48 81 e7 00 f0 ff ff 48 8b 3f 48 81 e7 00 f0 ff ff');
        p.movImmediate(RAX, (MEMORY_MIB << 20) | 0x83);
        p.store(at(RDI, 16 * 8), RAX);
        p.movImmediate(RCX, MEMORY_MIB << 20);
        p.mark();
        p.raw('48 8b 01');
      });
    }),
  );
  const lines = output.split('\n').filter((line) => !line.startsWith('#'));
  assert.match(lines[0]!, /v=0e e=0009 .*cr2=0000008000000000/);
  assert.match(lines[1]!, /v=0e e=0009 .*cr2=0000000002000000/);
});

test('a root outside the memory ends in a triple fault of this machine alone', async () => {
  const { exit } = await runMachine(
    furnished((p) => {
      p.movImmediate(RAX, MEMORY_MIB << 20);
      p.raw('0f 22 d8 90');
    }),
  );
  assert.match(exit.report!.reason, /^triple fault: #PF \(error code 0x9\)/);
});

/**
 * Prints `character` a hundred times, with work between, from a page that it fills with it first. The kernel is linked at
 * -2 GiB, so that the tables of two such machines are alike to the last bit.
 */
function chatterer(character: string): Uint8Array {
  const image = bare((p) => {
    p.movImmediate(RAX, character.charCodeAt(0));
    p.movImmediate(RDI, WINDOW + 0x800000);
    p.movImmediate(RCX, 4096);
    p.raw('f3 aa'); // rep stosb
    p.movImmediate(R8, 100);
    p.label('again');
    p.movImmediate(RDI, WINDOW + 0x800000);
    p.load8(RAX, at(RDI, 123));
    p.movImmediate(RDX, 0x3f8);
    p.raw('ee');
    p.movImmediate(RCX, 3000);
    p.label('work');
    p.raw('ff c9'); // dec ecx
    p.jumpIf(Condition.notEqual, 'work');
    p.subtractImmediate(R8, 1);
    p.jumpIf(Condition.notEqual, 'again');
    powerOff(p);
  });
  const view = new DataView(image.buffer);
  // The entry point, and the first segment's virtual address.
  for (const field of [24, 64 + 16]) view.setBigInt64(field, BigInt(WINDOW + 0x100000), true);
  return image;
}

for (const engine of ['interpreter', 'compiler'] as const) {
  test(`two machines take turns without seeing each other (${engine})`, async () => {
    const host = await hostOf(engine);
    const create = (name: string) =>
      host.createDomain({ abi: 'native', name, memoryMib: MEMORY_MIB, kernel: chatterer(name) });
    const domains = [await create('a'), await create('b')];
    const outputs = domains.map(async ({ console }) => {
      let text = '';
      const decoder = new TextDecoder();
      for await (const bytes of console.readable) text += decoder.decode(bytes);
      return text;
    });
    await host.run();
    for (const domain of domains) domain.destroy();
    assert.deepEqual(await Promise.all(outputs), ['a'.repeat(100), 'b'.repeat(100)]);
  });
}

test('a bare machine and a Xen domain share a host', async () => {
  const host = await hostOf('compiler');
  const bareMachine = await host.createDomain({
    abi: 'native',
    memoryMib: MEMORY_MIB,
    kernel: chatterer('x'),
  });
  const domain = await host.createDomain({ memoryMib: MEMORY_MIB, kernel: buildTinyGuest() });
  const outputs = [bareMachine, domain].map(({ console }) => new Response(console.readable).text());
  const writer = domain.console.writable.getWriter();
  void writer.write(new TextEncoder().encode('memory\nhalt\n')).catch(() => {});
  await host.run();
  bareMachine.destroy();
  domain.destroy();
  const [chatter, words] = await Promise.all(outputs);
  assert.equal(chatter, 'x'.repeat(100));
  assert.match(words!, /hello from the tiny guest[\s\S]*32 MiB[\s\S]*halt/);
});

test('code that changes itself changes at once', async () => {
  for (const engine of ['interpreter', 'compiler'] as const) {
    const { output } = await runMachine(
      furnished((p) => {
        p.movImmediate(R8, 3);
        p.label('round');
        p.lea(RDI, 'patched');
        p.mov(RAX, R8);
        p.raw('88 47 01'); // mov [rdi+1], al
        p.label('patched');
        p.raw('b0 00'); // mov al, the byte
        p.addImmediate(RAX, 0x30);
        p.call('put');
        p.subtractImmediate(R8, 1);
        p.jumpIf(Condition.notEqual, 'round');
      }),
      { engine },
    );
    assert.equal(output, '321', engine);
  }
});
