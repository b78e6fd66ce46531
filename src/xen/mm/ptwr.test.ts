import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VMASST_TYPE_writable_pagetables } from '../../abi/xen/numbers/index.ts';
import { PF_FETCH, PF_PRESENT, PF_USER, PF_WRITE } from '../../machine/layout.ts';
import {
  CS,
  FLAG_CF,
  FLAG_DF,
  FLAG_OF,
  FLAG_RF,
  FLAG_SF,
  FLAG_ZF,
  FS,
  R9,
  R10,
  RAX,
  RBX,
  RCX,
  RDI,
  RDX,
  RSI,
  RSP,
} from '../../machine/x86/registers.ts';
import { ATTR_L } from '../../machine/x86/state.ts';
import { DATA, type Entry, entry, GUEST_BASE, NX, P, RW, TestMachine, USER } from './testing/machine.ts';

/** Where the guest sees its L1 table, read-only. */
const L1_GVA = GUEST_BASE + 3 * 4096;
const FAULT = PF_PRESENT | PF_WRITE | PF_USER;
const NONE = { low: 0, high: 0 };

/** A guest about to execute a store into slot `slot` of its own L1. */
class Store {
  readonly machine = TestMachine.create();
  readonly guest = this.machine.guest(1);
  readonly target = this.guest.page();
  /** The entry that is stored to, and its address. */
  readonly slot = this.target.slot;
  readonly gva = L1_GVA + this.slot * 8;
  private readonly code = this.guest.page();

  constructor() {
    this.state.setSegment(CS, 0xe033, ATTR_L, 0xffffffff, 0);
    this.state.setRegNumber(RDI, this.gva);
  }
  get state() {
    return this.guest.vcpu.state;
  }
  get entry(): Entry {
    return this.machine.read(this.guest.l1, this.slot);
  }
  /** Makes the entry not present, with these contents. */
  prepare(value: Entry): this {
    assert.equal(value.low & P, 0);
    assert.equal(this.guest.update(this.guest.l1, this.slot, value), 0);
    return this;
  }
  /** Executes one instruction at the start of a code page; `[rdi]` is the entry. */
  run(bytes: number[], address = this.gva, error = FAULT): boolean {
    bytes.forEach((byte, i) => {
      this.guest.vcpu.guest.write8(this.code.gva + i, byte);
    });
    this.state.rip = this.code.gva;
    const done = this.guest.domain.mm.handlePageFault(0, address, error);
    assert.equal(this.state.rip, this.code.gva + (done ? bytes.length : 0));
    this.machine.assertSound();
    return done;
  }
  /** As `run`, for a string store that has more to do. */
  runUnfinished(bytes: number[]): boolean {
    bytes.forEach((byte, i) => {
      this.guest.vcpu.guest.write8(this.code.gva + i, byte);
    });
    this.state.rip = this.code.gva;
    const done = this.guest.domain.mm.handlePageFault(0, this.gva, FAULT);
    assert.equal(this.state.rip, this.code.gva);
    return done;
  }
}

test('mov stores a checked entry and goes on behind the instruction', () => {
  const store = new Store();
  const value = entry(store.target.mfn, DATA, NX);
  store.state.setReg(RAX, value.low, value.high);
  assert.equal(store.run([0x48, 0x89, 0x07]), true); // mov [rdi], rax
  assert.deepEqual(store.entry, entry(store.target.mfn, DATA | USER, NX | (1 << 20)));
});

test('an entry that mmu_update would refuse is refused, and the guest gets its fault', () => {
  const store = new Store();
  const before = store.entry;
  for (const value of [
    entry(store.guest.l1, DATA),
    entry(store.target.mfn, DATA | 0x80),
    entry(store.machine.table.m2p.firstFrame, DATA),
    { low: DATA, high: 1 },
  ]) {
    store.state.setReg(RAX, value.low, value.high);
    assert.equal(store.run([0x48, 0x89, 0x07]), false);
    assert.deepEqual(store.entry, before);
  }
});

test('only write faults of the kernel on its own mapped level-1 tables are dealt with', () => {
  const store = new Store();
  const { guest } = store;
  const mov = [0x48, 0x89, 0x07];
  store.state.setReg(RAX, 0, 0);
  assert.equal(store.run(mov, store.gva, PF_WRITE), false, 'not present');
  assert.equal(store.run(mov, store.gva, PF_PRESENT), false, 'a read');
  assert.equal(store.run(mov, store.gva, FAULT | PF_FETCH), false);
  assert.equal(store.run(mov, store.gva, FAULT | 8), false, 'reserved bits');
  assert.equal(store.run(mov, store.gva + 4096), false, 'another page');
  guest.vcpu.kernelMode = false;
  assert.equal(store.run(mov), false, 'user mode');
  guest.vcpu.kernelMode = true;
  guest.domain.assists.delete(VMASST_TYPE_writable_pagetables);
  assert.equal(store.run(mov), false, 'not asked for');
  guest.domain.assists.add(VMASST_TYPE_writable_pagetables);
  store.state.setRegNumber(RDI, GUEST_BASE + 2 * 4096);
  assert.equal(store.run(mov, GUEST_BASE + 2 * 4096), false, 'a table of level 2');
  const readOnly = guest.page();
  assert.equal(guest.map(readOnly.gva, entry(readOnly.mfn, DATA & ~RW)), 0);
  store.state.setRegNumber(RDI, readOnly.gva);
  assert.equal(store.run(mov, readOnly.gva), false, 'a page that is no table');
  store.state.setRegNumber(RDI, store.gva);
  assert.equal(store.run(mov), true);
});

test('a foreign table that could be mapped would not be written either', () => {
  const store = new Store();
  store.state.setRegNumber(RDI, store.gva + 4);
  store.state.setReg(RAX, 0, 0);
  assert.equal(store.run([0x48, 0x89, 0x07], store.gva + 4), false, 'not aligned');
  assert.equal(store.run([0x89, 0x07], store.gva + 4), true, 'four bytes are');
});

// Each row: the instruction in assembler and as bytes; the entry before and after; registers before and after.
interface Row {
  readonly text: string;
  readonly bytes: number[];
  readonly before: Entry;
  readonly after: Entry;
  readonly set?: [register: number, low: number, high: number][];
  readonly leaves?: [register: number, low: number, high: number][];
  readonly flagsSet?: number;
  readonly flagsClear?: number;
}

const OLD = { low: 0x11223344, high: 0x55667788 };
const rows: Row[] = [
  {
    text: 'mov byte [rdi+1], 0xfe',
    bytes: [0xc6, 0x47, 0x01, 0xfe],
    before: OLD,
    after: { low: 0x1122fe44, high: 0x55667788 },
  },
  {
    text: 'mov word [rdi+6], 0xbeef',
    bytes: [0x66, 0xc7, 0x47, 0x06, 0xef, 0xbe],
    before: OLD,
    after: { low: 0x11223344, high: 0xbeef7788 | 0 },
  },
  {
    text: 'mov dword [rdi+4], 0x1234',
    bytes: [0xc7, 0x47, 0x04, 0x34, 0x12, 0, 0],
    before: OLD,
    after: { low: 0x11223344, high: 0x1234 },
  },
  {
    text: 'mov qword [rdi], -2',
    bytes: [0x48, 0xc7, 0x07, 0xfe, 0xff, 0xff, 0xff],
    before: OLD,
    after: { low: -2, high: -1 },
  },
  {
    text: 'mov [rdi+3], ah',
    bytes: [0x88, 0x67, 0x03],
    before: OLD,
    after: { low: 0xab223344 | 0, high: 0x55667788 },
    set: [[RAX, 0xab00, 0]],
  },
  {
    text: 'mov [rdi+3], spl',
    bytes: [0x40, 0x88, 0x67, 0x03],
    before: OLD,
    after: { low: 0x5a223344, high: 0x55667788 },
    set: [[RSP, 0x125a, 0]],
  },
  {
    text: 'mov [rdi+rcx*8+16], r9',
    bytes: [0x4c, 0x89, 0x4c, 0xcf, 0x10],
    before: OLD,
    after: { low: 2, high: 7 },
    set: [
      [RCX, -2, -1],
      [R9, 2, 7],
    ],
  },
  {
    text: 'mov fs:[r10], eax',
    bytes: [0x64, 0x41, 0x89, 0x02],
    before: OLD,
    after: { low: 0x40, high: 0x55667788 },
    set: [[RAX, 0x40, 9]],
  },
  {
    text: 'mov [edi], eax',
    bytes: [0x67, 0x89, 0x07],
    before: OLD,
    after: { low: 0x40, high: 0x55667788 },
    set: [[RAX, 0x40, 9]],
  },
  {
    text: 'movnti [rdi], rax',
    bytes: [0x48, 0x0f, 0xc3, 0x07],
    before: OLD,
    after: { low: 6, high: 5 },
    set: [[RAX, 6, 5]],
  },
  {
    text: 'xchg [rdi], rax',
    bytes: [0x48, 0x87, 0x07],
    before: OLD,
    after: NONE,
    set: [[RAX, 0, 0]],
    leaves: [[RAX, 0x11223344, 0x55667788]],
  },
  {
    text: 'xchg [rdi], eax: clears the upper half',
    bytes: [0x87, 0x07],
    before: OLD,
    after: { low: 2, high: 0x55667788 },
    set: [[RAX, 2, -1]],
    leaves: [[RAX, 0x11223344, 0]],
  },
  {
    text: 'xchg [rdi], bh',
    bytes: [0x86, 0x3f],
    before: OLD,
    after: { low: 0x11223310, high: 0x55667788 },
    set: [[RBX, 0x77771001, 8]],
    leaves: [[RBX, 0x77774401, 8]],
  },
  {
    text: 'lock and byte [rdi], 0xbd',
    bytes: [0xf0, 0x80, 0x27, 0xbd],
    before: { low: 0x112233fe, high: 0x55667788 },
    after: { low: 0x112233bc, high: 0x55667788 },
    flagsSet: FLAG_SF,
    flagsClear: FLAG_ZF | FLAG_CF | FLAG_OF,
  },
  {
    text: 'lock and qword [rdi], -3',
    bytes: [0xf0, 0x48, 0x83, 0x27, 0xfd],
    before: { low: 0x112233fe, high: 0x55667788 },
    after: { low: 0x112233fc, high: 0x55667788 },
    flagsClear: FLAG_SF | FLAG_ZF | FLAG_CF | FLAG_OF,
  },
  {
    text: 'or [rdi], rax',
    bytes: [0x48, 0x09, 0x07],
    before: OLD,
    after: { low: 0x11223346, high: 0xd5667788 | 0 },
    set: [[RAX, 2, 0x80000000 | 0]],
    flagsSet: FLAG_SF,
  },
  {
    text: 'xor dword [rdi], 0x11223344',
    bytes: [0x81, 0x37, 0x44, 0x33, 0x22, 0x11],
    before: OLD,
    after: { low: 0, high: 0x55667788 },
    flagsSet: FLAG_ZF,
    flagsClear: FLAG_CF,
  },
  {
    text: 'add qword [rdi], 0x1000: the next frame',
    bytes: [0x48, 0x81, 0x07, 0, 0x10, 0, 0],
    before: { low: 0xfffff000 | 0, high: 1 },
    after: { low: 0, high: 2 },
    flagsClear: FLAG_ZF | FLAG_CF,
  },
  {
    text: 'sub word [rdi+2], ax',
    bytes: [0x66, 0x29, 0x47, 0x02],
    before: { low: 0x00012222, high: 0 },
    after: { low: 0xffff2222 | 0, high: 0 },
    set: [[RAX, 2, 0]],
    flagsSet: FLAG_CF | FLAG_SF,
    flagsClear: FLAG_OF,
  },
  {
    text: 'inc dword [rdi+4]: CF stays',
    bytes: [0xff, 0x47, 0x04],
    before: { low: 0, high: 0x7fffffff },
    after: { low: 0, high: 0x80000000 | 0 },
    flagsSet: FLAG_OF | FLAG_SF | FLAG_CF,
  },
  {
    text: 'not byte [rdi+7]',
    bytes: [0xf6, 0x57, 0x07],
    before: OLD,
    after: { low: 0x11223344, high: 0xaa667788 | 0 },
    flagsSet: FLAG_CF,
  },
  {
    text: 'neg qword [rdi]',
    bytes: [0x48, 0xf7, 0x1f],
    before: { low: 2, high: 0 },
    after: { low: -2, high: -1 },
    flagsSet: FLAG_CF | FLAG_SF,
  },
  {
    text: 'lock btr qword [rdi], 1: writable off',
    bytes: [0xf0, 0x48, 0x0f, 0xba, 0x37, 0x01],
    before: { low: 0x1002, high: 0 },
    after: { low: 0x1000, high: 0 },
    flagsSet: FLAG_CF,
  },
  {
    text: 'lock bts [rdi-8], rax with bit 127: counts beyond the operand',
    bytes: [0xf0, 0x48, 0x0f, 0xab, 0x47, 0xf8],
    before: { low: 0, high: 0 },
    after: { low: 0, high: 0x80000000 | 0 },
    set: [[RAX, 127, 0]],
    flagsClear: FLAG_CF,
  },
  {
    text: 'btc [rdi+12], eax with bit -33',
    bytes: [0x0f, 0xbb, 0x47, 0x0c],
    before: { low: 0, high: -1 },
    after: { low: 0, high: 0x7fffffff },
    set: [[RAX, -33, 0]],
    flagsSet: FLAG_CF,
  },
  {
    text: 'lock cmpxchg [rdi], rcx, equal',
    bytes: [0xf0, 0x48, 0x0f, 0xb1, 0x0f],
    before: OLD,
    after: { low: 8, high: 9 },
    set: [
      [RAX, 0x11223344, 0x55667788],
      [RCX, 8, 9],
    ],
    flagsSet: FLAG_ZF,
  },
  {
    text: 'lock cmpxchg [rdi], rcx, different: the accumulator learns the entry',
    bytes: [0xf0, 0x48, 0x0f, 0xb1, 0x0f],
    before: OLD,
    after: OLD,
    set: [[RAX, 0x11223344, 0x55667789]],
    leaves: [[RAX, 0x11223344, 0x55667788]],
    flagsClear: FLAG_ZF,
  },
  {
    text: 'lock cmpxchg8b [rdi]',
    bytes: [0xf0, 0x0f, 0xc7, 0x0f],
    before: OLD,
    after: { low: 2, high: 3 },
    set: [
      [RAX, 0x11223344, 77],
      [RDX, 0x55667788, 77],
      [RBX, 2, 77],
      [RCX, 3, 77],
    ],
    flagsSet: FLAG_ZF,
  },
  {
    text: 'lock xadd [rdi], rax',
    bytes: [0xf0, 0x48, 0x0f, 0xc1, 0x07],
    before: { low: 0xfffffffe | 0, high: 4 },
    after: { low: 0, high: 5 },
    set: [[RAX, 2, 0]],
    leaves: [[RAX, 0xfffffffe | 0, 4]],
  },
  {
    text: 'adc qword [rdi], 1: CF is added too',
    bytes: [0x48, 0x83, 0x17, 0x01],
    before: { low: 0xfffffffe | 0, high: 0 },
    after: { low: 0, high: 1 },
    flagsClear: FLAG_CF | FLAG_ZF,
  },
  {
    text: 'sbb dword [rdi], 1: CF is taken away too',
    bytes: [0x83, 0x1f, 0x01],
    before: { low: 0x10000, high: 7 },
    after: { low: 0xfffe, high: 7 },
    flagsClear: FLAG_CF,
  },
  {
    text: 'dec dword [rdi+4]: CF stays',
    bytes: [0xff, 0x4f, 0x04],
    before: { low: 0, high: 0x80000000 | 0 },
    after: { low: 0, high: 0x7fffffff },
    flagsSet: FLAG_OF | FLAG_CF,
    flagsClear: FLAG_SF,
  },
  {
    text: 'lock bts qword [rdi], 65: counts within the operand',
    bytes: [0xf0, 0x48, 0x0f, 0xba, 0x2f, 65],
    before: { low: 0x1000, high: 0 },
    after: { low: 0x1002, high: 0 },
    flagsClear: FLAG_CF,
  },
  {
    text: 'bts [rdi-2], ax with bit 17',
    bytes: [0x66, 0x0f, 0xab, 0x47, 0xfe],
    before: { low: 0x1000, high: 0 },
    after: { low: 0x1002, high: 0 },
    set: [[RAX, 0x10011, 0]],
    flagsClear: FLAG_CF,
  },
  {
    text: 'mov [rdi+no index], rax',
    bytes: [0x48, 0x89, 0x04, 0x27],
    before: OLD,
    after: { low: 2, high: 3 },
    set: [
      [RAX, 2, 3],
      [RSP, 8, 0],
    ],
  },
  {
    text: 'lock cmpxchg [rdi], ecx, equal: the accumulator stays',
    bytes: [0xf0, 0x0f, 0xb1, 0x0f],
    before: OLD,
    after: { low: 8, high: OLD.high },
    set: [
      [RAX, 0x11223344, 77],
      [RCX, 8, 9],
    ],
    leaves: [[RAX, 0x11223344, 77]],
    flagsSet: FLAG_ZF,
  },
  {
    text: 'lock cmpxchg [rdi], ecx, different: the accumulator loses its upper half',
    bytes: [0xf0, 0x0f, 0xb1, 0x0f],
    before: OLD,
    after: OLD,
    set: [[RAX, 1, 77]],
    leaves: [[RAX, 0x11223344, 0]],
    flagsClear: FLAG_ZF,
  },
  {
    text: 'lock cmpxchg8b [rdi], different: EDX and EAX learn the entry',
    bytes: [0xf0, 0x0f, 0xc7, 0x0f],
    before: OLD,
    after: OLD,
    set: [
      [RAX, 0x11223344, 77],
      [RDX, 0x55667789, 77],
    ],
    leaves: [
      [RAX, 0x11223344, 0],
      [RDX, 0x55667788, 0],
    ],
    flagsClear: FLAG_ZF,
  },
  {
    text: 'repnz stosq, for the last time',
    bytes: [0xf2, 0x48, 0xab],
    before: OLD,
    after: { low: 4, high: 6 },
    set: [
      [RAX, 4, 6],
      [RCX, 1, 0],
    ],
    leaves: [[RCX, 0, 0]],
  },
  {
    text: 'stosq',
    bytes: [0x48, 0xab],
    before: OLD,
    after: { low: 4, high: 6 },
    set: [[RAX, 4, 6]],
  },
];

for (const row of rows) {
  test(`emulates ${row.text}`, () => {
    const store = new Store().prepare(row.before);
    const { state } = store;
    state.setSegmentBase(FS, store.gva - 0x100, 0);
    state.setReg(R10, 0x100, 0);
    state.rflags = (row.flagsClear ?? 0) | FLAG_CF;
    for (const [register, low, high] of row.set ?? []) state.setReg(register, low, high);
    assert.equal(store.run(row.bytes), true);
    assert.deepEqual(store.entry, row.after);
    for (const [register, low, high] of row.leaves ?? []) {
      assert.deepEqual([state.regLow(register), state.regHigh(register)], [low, high]);
    }
    assert.equal(state.rflags & (row.flagsSet ?? 0), row.flagsSet ?? 0);
    assert.equal(state.rflags & (row.flagsClear ?? 0), 0);
  });
}

test('an address relative to RIP counts from the end of the instruction', () => {
  const store = new Store().prepare(OLD);
  // The code page is the one behind the target's.
  const end = GUEST_BASE + (store.slot + 1) * 4096 + 10;
  const displacement = Int32Array.of(store.gva - end);
  const bytes = [...new Uint8Array(displacement.buffer)];
  assert.equal(store.run([0xc7, 0x05, ...bytes, 0x10, 0, 0, 0]), true); // mov dword [rip+d], 16
  assert.deepEqual(store.entry, { low: 0x10, high: OLD.high });
});

test('movs reads its source, and both pointers step by the direction flag', () => {
  const store = new Store().prepare(OLD);
  const source = store.guest.page();
  store.guest.vcpu.guest.write64(source.gva, 0x2222, 0x3333);
  store.state.setRegNumber(RSI, source.gva);
  store.state.rflags = FLAG_DF;
  assert.equal(store.run([0x48, 0xa5]), true);
  assert.deepEqual(store.entry, { low: 0x2222, high: 0x3333 });
  assert.equal(store.state.reg(RSI), source.gva - 8);
  assert.equal(store.state.reg(RDI), store.gva - 8);
});

test('movs through FS adds its base, and is left to the guest where its source is not all there', () => {
  const store = new Store().prepare(OLD);
  const source = store.guest.page();
  store.guest.vcpu.guest.write64(source.gva + 4088, 0x2222, 0x3333);
  assert.equal(store.guest.map(source.gva + 4096, NONE), 0);
  store.guest.run();
  store.state.setSegmentBase(FS, source.gva, 0);
  store.state.setRegNumber(RSI, 4088);
  assert.equal(store.run([0x64, 0x48, 0xa5]), true);
  assert.deepEqual(store.entry, { low: 0x2222, high: 0x3333 });
  store.state.setRegNumber(RSI, 4092);
  store.state.setRegNumber(RDI, store.gva);
  assert.equal(store.run([0x64, 0x48, 0xa5]), false);
  assert.equal(store.state.reg(RSI), 4092);
});

test('mov stores to an address in the instruction', () => {
  const store = new Store().prepare(OLD);
  store.state.setReg(RAX, 4, 6);
  const address = new Uint8Array(8);
  new DataView(address.buffer).setBigInt64(0, BigInt(store.gva), true);
  assert.equal(store.run([0x48, 0xa3, ...address]), true); // movabs [gva], rax
  assert.deepEqual(store.entry, { low: 4, high: 6 });
});

test('rep stos does one iteration at a time, and ends with the last', () => {
  const store = new Store().prepare(OLD);
  store.state.setReg(RAX, 0, 0);
  store.state.setRegNumber(RCX, 2);
  assert.equal(store.runUnfinished([0xf3, 0x48, 0xab]), true);
  assert.equal(store.state.reg(RCX), 1);
  assert.equal(store.state.reg(RDI), store.gva + 8);
  store.state.setRegNumber(RDI, store.gva);
  assert.equal(store.run([0xf3, 0x48, 0xab]), true);
  assert.equal(store.state.reg(RCX), 0);
  // All 64 bits of the count matter.
  store.state.setRegNumber(RDI, store.gva);
  store.state.setReg(RCX, 1, 1);
  assert.equal(store.runUnfinished([0xf3, 0x48, 0xab]), true);
});

test('RF holds breakpoints off the store, all its iterations, and nothing behind it', () => {
  const store = new Store().prepare(OLD);
  store.state.setReg(RAX, 0, 0);
  store.state.setRegNumber(RCX, 2);
  store.state.rflags |= FLAG_RF;
  assert.equal(store.runUnfinished([0xf3, 0x48, 0xab]), true); // rep stosq
  assert.equal(store.state.rflags & FLAG_RF, FLAG_RF);
  store.state.setRegNumber(RDI, store.gva);
  assert.equal(store.run([0xf3, 0x48, 0xab]), true);
  assert.equal(store.state.rflags & FLAG_RF, 0);
});

test('instructions that are no such stores are left to the guest', () => {
  const store = new Store();
  const others: [string, number[]][] = [
    ['mov rax, [rdi]', [0x48, 0x8b, 0x07]],
    ['cmp [rdi], rax', [0x48, 0x39, 0x07]],
    ['cmp byte [rdi], 1', [0x80, 0x3f, 0x01]],
    ['test byte [rdi], 1', [0xf6, 0x07, 0x01]],
    ['mov rax, rcx', [0x48, 0x89, 0xc8]],
    ['push', [0x50]],
    ['bt [rdi], eax', [0x0f, 0xa3, 0x07]],
    ['bt qword [rdi], 1', [0x48, 0x0f, 0xba, 0x27, 0x01]],
    ['a form of mov that does not exist', [0xc7, 0x0f, 0, 0, 0, 0]],
    ['push qword [rdi]', [0xff, 0x37]],
    ['cmpxchg16b', [0x48, 0x0f, 0xc7, 0x0f]],
    ['movaps', [0x0f, 0x29, 0x07]],
  ];
  for (const [text, bytes] of others) assert.equal(store.run(bytes), false, text);
  // Another address than the one that faulted.
  assert.equal(store.run([0x48, 0x89, 0x03]), false, 'mov [rbx], rax');
});

test('an instruction cut off by an unmapped page is left to the guest', () => {
  const store = new Store();
  const { guest } = store;
  const last = guest.page();
  assert.equal(guest.map(last.gva + 4096, NONE), 0);
  guest.run();
  guest.vcpu.guest.write8(last.gva + 4094, 0x48);
  guest.vcpu.guest.write8(last.gva + 4095, 0x89);
  store.state.rip = last.gva + 4094;
  assert.equal(guest.domain.mm.handlePageFault(0, store.gva, FAULT), false);
});
