/**
 * Random code as a guest's kernel, run by the real loop: exceptions that bounce to random handlers on random stacks,
 * privileged instructions, stores into page tables, hypercalls by whatever lies in RAX, far jumps into compatibility mode.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as X from '../../src/abi/xen/numbers/index.ts';
import { PAGE_SIZE } from '../../src/machine/memory.ts';
import { RSP } from '../../src/machine/x86/registers.ts';
import { Attacker } from './attacker.ts';
import { LENGTH, Random, SEED } from './random.ts';
import { anyRequest } from './requests.ts';
import { Arena, VIRT_BASE } from './victims.ts';

const PROGRAMS = 900 * LENGTH;
const AUDIT_EVERY = 60;
const SLICE = 3000;
const TURNS = 3;
const CODE_PAGES = 4;
const STACK = VIRT_BASE + 24 * PAGE_SIZE;

/** Pieces of code that lead somewhere; `?` is a random byte. */
const PIECES = [
  '0f 05', // syscall
  'b8 ? 00 00 00 0f 05', // mov eax, n; syscall
  '6a ? 58 0f 05',
  'cd ?', // int n
  'cd 80',
  'cc',
  'ce',
  '0f 34', // sysenter
  '0f a2', // cpuid
  '0f 0b 78 65 6e 0f a2', // forced cpuid
  'fa fb f4',
  '0f 20 d8', // mov rax, cr3
  '0f 20 ?',
  '0f 22 ?', // mov cr, r
  '0f 21 ?',
  '0f 23 ?',
  '0f 30',
  '0f 32',
  'b9 ? 01 00 c0 0f 32 0f 30', // rdmsr, wrmsr of FS_BASE and so on
  '0f 06',
  'e4 ? ec ed ee ef', // in, out
  'f3 6c f3 6f f3 6d', // rep ins, rep outs
  '48 cf', // iretq
  'cf',
  '48 cb',
  '6a ? 68 23 e0 00 00 6a ? 68 33 e0 00 00 cb',
  '68 23 e0 00 00 68 00 00 00 80 48 cb', // far return into compatibility mode
  '68 2b e0 00 00 07 8e d8 8e e0 8e e8', // load segment registers
  '8e ?',
  '0f 00 ?',
  '0f 01 ?',
  '9c 9d',
  '68 02 01 00 00 9d', // popf with TF
  '68 02 31 04 00 9d', // with AC and IOPL
  '48 89 07 48 89 06 48 89 03', // stores through rdi, rsi, rbx
  'f0 48 0f b1 0f f0 48 87 07 f0 0f c1 06', // cmpxchg, xchg, xadd
  '48 ab f3 48 ab f3 aa', // stos
  '48 a5 f3 48 a5 f3 a4', // movs
  'f3 ae f2 af f3 a6',
  'c7 07 ? ? 00 00 83 27 ? 80 0e ?',
  'f0 0f c7 0e',
  'c8 ? 00 ? c9', // enter, leave
  '0f ae 07 0f ae 0f', // fxsave, fxrstor
  'dd 37 dd 27 d9 37', // fsave, frstor, fstenv
  'd9 ? dd ? db ?',
  '66 0f ? ?',
  'f3 0f ? ?',
  '88 05 01 00 00 00 90 90', // changes the code that follows
  'eb fe',
  'eb ?',
  'e2 ?',
  'ff d0 ff e3',
  'c3',
  '67 ? ?',
  'f0 ? ?',
] as const;

function fillWithCode(bytes: Uint8Array, random: Random): void {
  for (let i = 0; i < bytes.length; ) {
    if (random.once(4)) {
      bytes[i++] = random.next() >>> 24;
      continue;
    }
    for (const part of random.pick(PIECES).split(' ')) {
      if (i < bytes.length) bytes[i++] = part === '?' ? random.next() >>> 24 : Number.parseInt(part, 16);
    }
  }
}

/** Loads a machine state in which most things work, some of the time. */
function prepare(arena: Arena, attacker: Attacker, random: Random): void {
  const { vcpu } = arena;
  const { state, guest } = vcpu;
  for (let page = 0; page < CODE_PAGES; page++) {
    const at = VIRT_BASE + page * PAGE_SIZE;
    if (guest.tryHost(at, true) === 0) continue;
    const code = new Uint8Array(random.once(3) ? PAGE_SIZE : 512);
    fillWithCode(code, random);
    guest.writeBytes(random.once(4) ? at + PAGE_SIZE - code.length : at, code);
  }
  const code = () => VIRT_BASE + random.below(CODE_PAGES) * PAGE_SIZE + random.below(256);
  for (let vector = 0; vector < 256; vector++) {
    if (random.once(12)) continue;
    vcpu.traps.set(vector, 0xe033, random.below(8), random.once(60) ? attacker.gva() % 2 ** 47 : code());
  }
  for (const callback of [vcpu.callbacks.event, vcpu.callbacks.failsafe, vcpu.callbacks.syscall]) {
    callback.address = code();
  }
  vcpu.kernelSp = random.once(8) ? attacker.gva() : STACK + 0x800;
  vcpu.iopl = random.below(4);
  attacker.load(...anyRequest(attacker));
  for (let n = 0; n < 16; n++) {
    if (!random.once(2)) continue;
    const { low, high } = attacker.any();
    state.setReg(n, low, high);
  }
  if (!random.once(8)) state.setRegNumber(RSP, STACK + random.below(PAGE_SIZE * 2));
  vcpu.setFlags(0x202 | (random.once(6) ? random.next() & 0x244dd5 : random.next() & 0xcd5));
  state.rip = random.once(30) ? attacker.gva() : code();
}

test('random code as a kernel harms nobody else, and the loop goes on', async () => {
  const arena = await Arena.create(SLICE);
  const random = new Random(SEED + 77);
  const attacker = new Attacker(arena, random);
  const { host } = arena;
  let crashes = 0;
  const begin = () => {
    arena.spawn();
    arena.domain.vmAssist |= 1 << X.VMASST_TYPE_writable_pagetables;
    attacker.look();
  };
  begin();
  for (let program = 0; program < PROGRAMS; program++) {
    if (!arena.domain.live) {
      crashes++;
      arena.bury(`program ${program}`);
      begin();
    }
    const { vcpu } = arena;
    vcpu.setOnline(true);
    if (vcpu.blocked) vcpu.wake();
    host.schedule(vcpu);
    if (!vcpu.kernelMode) vcpu.toggleMode();
    prepare(arena, attacker, random);
    const exits = () => Object.values(host.stats.exits.toRecord()).reduce((sum, count) => sum + count, 0);
    const before = exits();
    try {
      for (let turn = 0; turn < TURNS; turn++) host.runOnce();
    } catch (error) {
      throw new Error(`program ${program} raised ${error instanceof Error ? error.stack : error}`);
    }
    assert.ok(exits() - before <= TURNS * (SLICE + 1), `program ${program} exited ${exits() - before} times`);
    if (program % AUDIT_EVERY === 0) arena.check(`program ${program}`);
  }
  arena.bury('the last program');
  const { exits, exceptions } = host.stats;
  assert.ok(host.stats.instructions > PROGRAMS * 20, `${host.stats.instructions} instructions`);
  const { syscall = 0, interrupt = 0 } = exits.toRecord();
  assert.ok(syscall > 100 && interrupt > 100, 'hypercalls and interrupts were made');
  assert.ok(exceptions.counts[13]! > 100 && exceptions.counts[14]! > 100, 'faults were made');
  assert.ok(crashes < PROGRAMS, 'not every program crashed its domain');
});
