/** Faults in compiled code, found by running random programs through both tiers: `test/fuzz/differential`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PAGE_RW, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
const KINDS = ['interpreter', 'compiler'] as const;

test('an absent page 0 faults, whatever the offset: no empty entry of the TLB stands for it', async () => {
  for (const kind of KINDS) {
    const m = await TestMachine.create(kind);
    m.mapNew(CODE, PAGE_RW);
    for (const code of ['8b 00', '89 00', '48 01 00', '66 ff 00', 'f3 0f 7e 00']) {
      m.code(CODE, `${code} cc`);
      for (const offset of [0, 1, 2, 3, 4, 7, 0x19, 0x801, 0xff1]) {
        m.cpu.setRegNumber(0, offset);
        const { vector, address } = m.run(CODE);
        assert.deepEqual({ vector, address }, { vector: 14, address: offset }, `${kind}: ${code}`);
      }
    }
  }
});
