/**
 * Page-table entries as requests, in both word sizes: what reaches Xen for an entry of a page that it watches, alone and in
 * the lazy mode. What Xen makes of it is tested by a kernel, in test/guest-operations.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as abi from '../../abi/xen/structures/index.ts';
import { loadGuest } from '../testing/index.ts';

const PAGE = 4096;
const LIST = PAGE * 200;
const TABLE = PAGE * 300;
const FRAMES = 1024;
const mfnOf = (pfn: number) => 0x2000 + pfn;
/** The machine address of a place in the guest's memory. */
const maddr = (at: number) => (BigInt(mfnOf(Math.floor(at / PAGE))) << 12n) + BigInt(at % PAGE);
const FLUSH_LOCAL = 6n;

async function guestWithTable(wordBits: 32 | 64) {
  const bytes = wordBits / 8;
  const layout = wordBits === 64 ? ('x64' as const) : ('x32' as const);
  /** Hypercalls as lists: updates as [at, value], extended operations as [command, first]. */
  const seen: unknown[] = [];
  const { exports, machine } = await loadGuest('src/guest/xen/testing/backend.ts', {
    wordBits,
    hypercall: (number, operands) => {
      if (number === 13) {
        const { offset, size } = abi.multicall_entry[layout];
        seen.push(
          Array.from({ length: Number(operands[1]) }, (_, i) => {
            const entry = operands[0]! + BigInt(i * size);
            const argument = (n: number) => machine.read(entry + BigInt(offset.args + n * bytes), bytes);
            return decode(Number(machine.read(entry, bytes)), [argument(0), argument(1), argument(2)]);
          }),
        );
      } else seen.push(decode(number, operands));
      return 0;
    },
  });
  const decode = (number: number, [list, count, third]: readonly bigint[]): unknown => {
    if (number === 14) return ['va', list, count];
    if (number !== 1 && number !== 26) return [number, list, count, third];
    const { size } = number === 1 ? abi.mmu_update[layout] : abi.mmuext_op[layout];
    return Array.from({ length: Number(count) }, (_, i) => {
      const at = list! + BigInt(i * size);
      if (number === 1) return [machine.read(at, 8), machine.read(at + 8n, 8)];
      const { cmd, arg1 } = abi.mmuext_op[layout].offset;
      return [machine.read(at + BigInt(cmd), 4), machine.read(at + BigInt(arg1), bytes)];
    });
  };
  const word = (value: number) => (wordBits === 64 ? BigInt(value) : value);
  for (let pfn = 0; pfn < FRAMES; pfn++) machine.write(BigInt(LIST + pfn * bytes), bytes, BigInt(mfnOf(pfn)));
  exports.reserveBrk!(20 * PAGE);
  exports.openBrk!(PAGE * 400);
  exports.buildPhysToMachine!(LIST, word(FRAMES));
  exports.setupTablePages!(word(FRAMES));
  exports.markTable!(TABLE, 1);
  return { exports, machine, seen };
}

for (const wordBits of [64, 32] as const) {
  const width = `${wordBits} bits`;

  test(`an entry of an ordinary page is a store, one of a watched page a request (${width})`, async () => {
    const { exports, machine, seen } = await guestWithTable(wordBits);
    exports.xenSetPte!(TABLE + PAGE, 0x1234067n);
    assert.equal(machine.read(BigInt(TABLE + PAGE), 8), 0x1234067n);
    assert.deepEqual(seen, []);
    exports.xenSetPte!(TABLE + 8, 0x1122334455667067n);
    exports.xenSetPmd!(TABLE + 16, 5n);
    assert.deepEqual(seen, [[[maddr(TABLE + 8), 0x1122334455667067n]], [[maddr(TABLE + 16), 5n]]]);
    assert.equal(machine.read(BigInt(TABLE + 8), 8), 0n, 'it is Xen who writes');
    exports.markTable!(TABLE, 0);
    exports.xenSetPte!(TABLE + 8, 7n);
    assert.equal(machine.read(BigInt(TABLE + 8), 8), 7n);
  });

  test(`in the lazy mode entries are a list, and what is flushed between them keeps its place (${width})`, async () => {
    const { exports, seen } = await guestWithTable(wordBits);
    exports.xenEnterLazyMmu!();
    for (let i = 0; i < 3; i++) exports.xenSetPte!(TABLE + i * 8, BigInt(i));
    exports.xenFlushTlb!();
    exports.xenFlushTlbSingle!(0x5000n);
    exports.xenSetPte!(TABLE + 24, 3n);
    assert.deepEqual(seen, []);
    exports.xenLeaveLazyMmu!();
    const update = (i: number) => [maddr(TABLE + i * 8), BigInt(i)];
    assert.deepEqual(seen, [
      [
        [update(0), update(1), update(2)],
        [
          [FLUSH_LOCAL, 0n],
          [7n, 0x5000n],
        ],
        [update(3)],
      ],
    ]);
  });

  test(`an entry that is taken away at once was set before, lazy mode or not (${width})`, async () => {
    const { exports, seen } = await guestWithTable(wordBits);
    exports.xenEnterLazyMmu!();
    exports.xenSetPte!(TABLE, 0x5063n);
    exports.xenGetAndClearPte!(TABLE);
    assert.deepEqual(seen, [[[maddr(TABLE), 0x5063n]]]);
    exports.xenLeaveLazyMmu!();
    assert.equal(seen.length, 1);
  });

  test(`64 updates are one request, and the 65th begins another (${width})`, async () => {
    const { exports, seen } = await guestWithTable(wordBits);
    exports.xenEnterLazyMmu!();
    for (let i = 0; i < 65; i++) exports.xenSetPte!(TABLE + i * 8, BigInt(i));
    exports.xenLeaveLazyMmu!();
    assert.deepEqual(
      seen.map((list) => (list as unknown[]).length),
      [64, 1],
    );
  });

  test(`a change of rights keeps what the processor sets meanwhile (${width})`, async () => {
    const { exports, machine, seen } = await guestWithTable(wordBits);
    machine.write(BigInt(TABLE), 8, 0x5063n);
    assert.equal(exports.xenStartProtectionChange!(0, 0n, TABLE), 0x5063n);
    exports.xenCommitProtectionChange!(0, 0n, TABLE, 0x5061n);
    // The low two bits of the address say how: 2, preserving accessed and dirty.
    assert.deepEqual(seen, [[[maddr(TABLE) + 2n, 0x5061n]]]);
    assert.equal(exports.xenGetAndClearPte!(TABLE), 0x5063n);
    assert.equal(machine.read(BigInt(TABLE), 8), 0n);
  });

  test(`while tables are set up, what is read-only stays so, and the rest changes (${width})`, async () => {
    const { exports, machine, seen } = await guestWithTable(wordBits);
    for (const [present, wanted, set] of [
      [0x5061n, 0x5063n, 0x5061n],
      [0x5061n, 0x5065n, 0x5065n],
      [0x5063n, 0x6063n, 0x6063n],
      [0n, 0x5063n, 0x5063n],
    ] as const) {
      machine.write(BigInt(TABLE), 8, present);
      exports.xenSetPteInit!(TABLE, wanted);
      assert.deepEqual(seen.splice(0), [[[maddr(TABLE), set]]]);
    }
  });
}
