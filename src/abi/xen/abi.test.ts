/**
 * The descriptions of the Xen interface against what a C compiler says of its public headers.
 *
 * `vectors/*.json` hold gcc's answers for both widths; `vectors/generate.mjs` asks the questions. A number or
 * field that is wrong, or that nobody has verified, fails here.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  type Abi,
  array,
  LayoutError,
  only32,
  type Structure,
  struct,
  u8,
  u16,
  u32,
  u64,
  ulong,
  union,
} from './layout.ts';
import * as numbers from './numbers/index.ts';
import * as structures from './structures/index.ts';
import { FieldError, memoryOf, StructureView } from './view.ts';

type Numbers = Readonly<Record<string, number>>;
interface Answer {
  readonly size: number;
  readonly align: number;
  /** By C path: offset, width, and 1 if it is a signed integer. */
  readonly fields: Readonly<Record<string, readonly number[]>>;
}

const read = (file: string): unknown =>
  JSON.parse(readFileSync(new URL(`./vectors/${file}`, import.meta.url), 'utf8'));
const gccNumbers = read('constants.json') as Record<Abi | 'both', Numbers>;
const gccLayouts = read('structures.json') as Record<Abi, Record<string, Answer>>;

const { x86_32, x86_64, ...common } = numbers;
const described: readonly Structure[] = Object.values(structures).filter((type) => 'kind' in type);
const ABIS: readonly Abi[] = ['x32', 'x64'];

/** Macros of our families that are deliberately not exported, each with the reason. */
const NOT_EXPORTED = new Map([
  ['XENPF_settime', 'another name of XENPF_settime64 or XENPF_settime32, by interface version'],
  ['PHYSDEVOP_pirq_eoi_gmfn', 'another name of its version 1 or 2, by interface version'],
  ['XENOPROF_last_op', 'another name of the last of them'],
]);

for (const [title, ours, theirs] of [
  ['both widths', common, gccNumbers.both],
  ['a 32-bit guest', x86_32, { ...gccNumbers.both, ...gccNumbers.x32 }],
  ['a 64-bit guest', x86_64, { ...gccNumbers.both, ...gccNumbers.x64 }],
] as const) {
  test(`every number for ${title} is what the C headers say`, () => {
    for (const [name, value] of Object.entries(ours as Numbers)) assert.equal(value, theirs[name], name);
  });
}

test('every number that the C headers define in the covered families is exported', () => {
  const { both, x32, x64 } = gccNumbers;
  for (const [theirs, ours] of [
    [both, { ...common, ...x86_32, ...x86_64 }],
    [x32, x86_32],
    [x64, x86_64],
  ] as const) {
    const missing = Object.keys(theirs).filter((name) => !(name in ours) && !NOT_EXPORTED.has(name));
    assert.deepEqual(missing, []);
  }
});

for (const abi of ABIS) {
  test(`every structure has the ${abi} layout that the C compiler gives it`, () => {
    const known = gccLayouts[abi];
    for (const { name, [abi]: layout } of described) {
      if (layout.fields.size === 0) continue;
      const fields: Record<string, readonly number[]> = {};
      for (const { path, offset, width, signed } of layout.fields.values()) {
        fields[path] = signed ? [offset, width, 1] : [offset, width];
      }
      assert.deepEqual({ size: layout.size, align: layout.align, fields }, known[name], name);
    }
  });

  test(`every ${abi} layout in the data has a description`, () => {
    const names = described.filter((type) => type[abi].fields.size > 0).map((type) => type.name);
    assert.deepEqual(names.sort(), Object.keys(gccLayouts[abi]).sort());
  });
}

test('the files of numbers hold integer constants alone, so that guest code can be compiled from them', () => {
  const folder = new URL('./numbers/', import.meta.url);
  for (const file of readdirSync(folder).filter((name) => name !== 'index.ts')) {
    const code = readFileSync(new URL(file, folder), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
    for (const line of code.split('\n').filter((text) => text !== '')) {
      assert.match(line, /^export const \w+ = -?(0x[0-9a-f]+|\d+);$/, file);
    }
  }
});

test('every structure is exported under the tag that C gives it', () => {
  for (const [exported, type] of Object.entries(structures)) {
    if ('kind' in type) assert.equal(type.name, exported);
  }
});

test('a 64-bit integer needs 4-byte alignment on i386 and 8-byte alignment on AMD64', () => {
  const pair = struct({ first: u32, second: u64 });
  assert.deepEqual([pair.x32.offset.second, pair.x32.size], [4, 12]);
  assert.deepEqual([pair.x64.offset.second, pair.x64.size], [8, 16]);
});

test('offsets reach into nested structures and unions by joined names', () => {
  const inner = struct({ low: u16, high: u16 });
  const outer = struct({ tag: u8, u: union({ pair: inner, whole: u32 }) });
  assert.equal(outer.x64.offset.u_pair_high, 6);
  assert.equal(outer.x64.offset.u_whole, 4);
  assert.equal(outer.x64.width.u_pair, 4);
});

test('a name that is no field, or no field under this ABI, is a compile error', () => {
  // @ts-expect-error: misspelt
  assert.equal(structures.vcpu_info.x64.offset.evtchn_upcall_pendign, undefined);
  // @ts-expect-error: the 32-bit structure keeps it elsewhere
  assert.equal(structures.shared_info.x32.offset.wc_sec_hi, undefined);
  // @ts-expect-error: an AMD64 register
  assert.equal(structures.vcpu_guest_context.x32.offset.user_regs_rip, undefined);
  // @ts-expect-error: and one of i386
  assert.equal(structures.vcpu_guest_context.x64.offset.user_regs_eip, undefined);
  const one = struct({ here: u8, there: only32(u8) });
  assert.deepEqual([one.x32.size, one.x64.size], [2, 1]);
});

test('two fields that would get the same joined name are refused', () => {
  assert.throws(() => struct('twice', { a: struct({ b: u8 }), a_b: u8 }), LayoutError);
});

test('a view reads back what it wrote, at the offsets of its ABI and without touching its neighbours', () => {
  const type = struct({ first: u8, word: ulong, last: u16 });
  for (const abi of ABIS) {
    const bytes = new Uint8Array(40).fill(0xaa);
    const layout = type[abi];
    const view = new StructureView<'first' | 'word' | 'last'>(
      layout,
      memoryOf(new DataView(bytes.buffer)),
      4,
    );
    view.set('first', 1);
    view.set('word', 0x12345678);
    view.set('last', 0x1ffff);
    assert.deepEqual([view.get('first'), view.get('word'), view.get('last')], [1, 0x12345678, 0xffff], abi);
    assert.equal(view.high('word'), 0);
    assert.equal(bytes[4 + layout.offset.last + 2], 0xaa);
    assert.equal(bytes[4 + layout.offset.first + 1], 0xaa);
  }
});

test('a view holds a canonical address as a signed number and all 64 bits as halves', () => {
  const bytes = new DataView(new ArrayBuffer(structures.start_info.x64.size));
  const view = new StructureView(structures.start_info.x64, memoryOf(bytes), 0);
  view.set('pt_base', -0x7f000000); // 0xffffffff81000000
  assert.deepEqual([view.low('pt_base'), view.high('pt_base')], [0x81000000, 0xffffffff]);
  assert.equal(view.get('pt_base'), -0x7f000000);
  view.setHalves('pt_base', 0xffffffff, 0x12);
  assert.equal(view.get('pt_base'), 0x12ffffffff);
});

test('a view sign-extends exactly the fields that C calls signed', () => {
  const bytes = new DataView(new ArrayBuffer(64));
  const time = new StructureView(structures.vcpu_time_info.x64, memoryOf(bytes), 0);
  time.set('tsc_shift', -1);
  time.set('flags', 0xff);
  assert.deepEqual([time.get('tsc_shift'), time.get('flags')], [-1, 0xff]);
});

test('a view refuses to read an array as if it were an integer', () => {
  const bytes = new DataView(new ArrayBuffer(structures.start_info.x64.size));
  const view = new StructureView(structures.start_info.x64, memoryOf(bytes), 0);
  assert.throws(() => view.get('magic'), FieldError);
  assert.equal(view.address('cmd_line'), structures.start_info.x64.offset.cmd_line);
  assert.equal(array(u8, 3).x64.size, 3);
});
