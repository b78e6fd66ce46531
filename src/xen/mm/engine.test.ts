/** Page types and the processor together: guest code runs on the engine, and what it must not reach it does not reach. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MMUEXT_PIN_L1_TABLE } from '../../abi/xen/numbers/index.ts';
import {
  CPU_CR0,
  CPU_CR4,
  CPU_EFER,
  CPU_PAGING,
  PAGING_LONG,
  PAGING_NX,
  PAGING_ON,
  PAGING_WRITE_PROTECT,
} from '../../machine/layout.ts';
import { MachineMemory } from '../../machine/memory.ts';
import { Engine } from '../../machine/x86/engine.ts';
import { Exit } from '../../machine/x86/exits.ts';
import { CS, DS, ES, RAX, RBX, RDI, SS } from '../../machine/x86/registers.ts';
import { DATA, entry, GUEST_BASE, P, RW, type TestGuest, TestMachine } from './testing/machine.ts';

const NONE = { low: 0, high: 0 };
const L1_GVA = GUEST_BASE + 3 * 4096;
const PAGE_FAULT = 14;

let engine: Engine | undefined;

/** A guest on the engine, in ring 3, with a page for code. */
async function guestOnEngine(): Promise<{ machine: TestMachine<Engine>; guest: TestGuest; code: number }> {
  engine ??= await Engine.create(new MachineMemory({ frames: 1024, codeCacheBytes: 4 << 20 }));
  engine.memory.fill(0, 0, engine.memory.frames * 4096);
  engine.codeCache.flush();
  engine.noteTableChange();
  const { cpu } = engine;
  cpu.reset();
  cpu.set(CPU_CR0, 0x80010033, 0);
  cpu.set(CPU_CR4, 0x6b0, 0);
  cpu.set(CPU_EFER, 0xd01, 0);
  cpu.set(CPU_PAGING, PAGING_ON | PAGING_LONG | PAGING_NX | PAGING_WRITE_PROTECT, 0);
  cpu.setSegment(CS, 0xe033, 0xa0fb, 0xffffffff, 0);
  for (const segment of [ES, SS, DS]) cpu.setSegment(segment, 0xe02b, 0xc0f3, 0xffffffff, 0);
  cpu.rflags = 0x202;
  cpu.cpl = 3;
  const machine = new TestMachine(engine);
  const guest = machine.guest(1);
  return { machine, guest, code: guest.page().gva };
}

/** Executes bytes that end with INT3; returns the vector and, for a page fault, where and why. */
function run(guest: TestGuest, code: number, bytes: number[]): string {
  const { vcpu } = guest;
  const state = vcpu.state;
  [...bytes, 0xcc].forEach((byte, i) => {
    vcpu.guest.write8(code + i, byte);
  });
  state.rip = code;
  for (let faults = 0; faults < 10; faults++) {
    const exit = engine!.run(1000);
    if (exit === Exit.Interrupt) return 'done';
    if (exit !== Exit.Exception || state.exitVector !== PAGE_FAULT)
      return `exit ${exit} vector ${state.exitVector}`;
    if (!guest.domain.mm.handlePageFault(0, state.exitAddress, state.exitError)) {
      return `fault ${state.exitError} at ${(state.exitAddress - GUEST_BASE).toString(16)}`;
    }
  }
  return 'too many faults';
}

const STORE = [0x48, 0x89, 0x07]; // mov [rdi], rax
const LOAD = [0x48, 0x8b, 0x1f]; // mov rbx, [rdi]

test('a store of the guest into its own page table is checked, done, and seen by the next access', async () => {
  const { machine, guest, code } = await guestOnEngine();
  const [a, b] = [guest.page(), guest.page()];
  const { state } = guest.vcpu;
  guest.vcpu.guest.write64(b.gva, 0x1234, 0);
  assert.equal(guest.map(a.gva, NONE), 0);
  const value = entry(b.mfn, P | RW);
  state.setReg(RAX, value.low, value.high);
  state.setRegNumber(RDI, L1_GVA + a.slot * 8);
  assert.equal(run(guest, code, STORE), 'done');
  state.setRegNumber(RDI, a.gva);
  assert.equal(run(guest, code, LOAD), 'done');
  assert.equal(state.regLow(RBX), 0x1234);
  machine.assertSound();
  // What the check refuses, the guest gets as its own fault.
  const forbidden = entry(guest.l1, DATA);
  state.setReg(RAX, forbidden.low, forbidden.high);
  state.setRegNumber(RDI, L1_GVA + a.slot * 8);
  assert.equal(run(guest, code, STORE), `fault 7 at ${(3 * 4096 + a.slot * 8).toString(16)}`);
  machine.assertSound();
});

test('a page that the guest has just written cannot be written any more once it is a page table', async () => {
  const { machine, guest, code } = await guestOnEngine();
  const { gva, mfn, slot } = guest.page();
  const { state } = guest.vcpu;
  state.setReg(RAX, 0, 0);
  state.setRegNumber(RDI, gva);
  assert.equal(run(guest, code, STORE), 'done');
  assert.equal(guest.map(gva, entry(mfn, DATA & ~RW)), 0);
  assert.equal(guest.extended(MMUEXT_PIN_L1_TABLE, mfn), 0);
  const forged = entry(guest.l4, DATA);
  state.setReg(RAX, forged.low, forged.high);
  assert.equal(run(guest, code, STORE), `fault 7 at ${(slot * 4096).toString(16)}`);
  assert.deepEqual(machine.read(mfn, 0), NONE);
  machine.assertSound();
});

test('a page that was given back is out of reach at once', async () => {
  const { machine, guest, code } = await guestOnEngine();
  const { gva, mfn, slot } = guest.page();
  guest.vcpu.state.setRegNumber(RDI, gva);
  assert.equal(run(guest, code, LOAD), 'done');
  assert.equal(guest.map(gva, NONE), 0);
  assert.equal(guest.domain.mm.removePage(mfn), 0);
  assert.equal(run(guest, code, LOAD), `fault 4 at ${(slot * 4096).toString(16)}`);
  machine.assertSound();
});

test('guest code reads the M2P, cannot write it, and faults behind its end', async () => {
  const { machine, guest, code } = await guestOnEngine();
  const { state } = guest.vcpu;
  const m2p = -0x800000000000;
  state.setRegNumber(RDI, m2p + guest.frames[20]! * 8);
  assert.equal(run(guest, code, LOAD), 'done');
  assert.equal(state.reg(RBX), 20);
  assert.match(run(guest, code, STORE), /^fault 7 /);
  state.setRegNumber(RDI, m2p + machine.table.frames * 8);
  assert.match(run(guest, code, LOAD), /^fault 4 /);
});
