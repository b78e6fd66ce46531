import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadGuest, MachineFault } from './index.ts';

const SOURCE = 'src/guest/testing/sample/sample.ts';

test('a guest runs as WebAssembly, on memory near and far', async () => {
  const { exports, machine } = await loadGuest(SOURCE);
  machine.map(0xffff800000000000n);
  machine.write(0xffff800000000ff8n, 8, 0x1122334455667788n);
  assert.equal(exports.readFar!(0xffff800000000ff8n), 0x1122334455667788n);
  assert.throws(() => exports.readFar!(0xffff800000001000n), MachineFault);
  assert.equal(exports.probeFar!(0xffff800000001000n), 1);
  assert.equal(exports.probeFar!(0xffff800000000ff8n), 0);
  assert.equal(exports.lastProbed!(), 0x1122334455667788n);
});

test('operations go through their slots, and one that was never set says so', async () => {
  const { exports, machine } = await loadGuest(SOURCE);
  assert.throws(() => exports.callOperation!(20), /operation sample\.add to be set/);
  exports.fillTable!();
  assert.equal(exports.callOperation!(20), 21);
  assert.notEqual(machine.read(BigInt(machine.slotOf('sample.add')), 4), 0n);
});

test('hypercalls and privileged instructions reach the test', async () => {
  const seen: unknown[] = [];
  const { exports, machine } = await loadGuest(SOURCE, {
    hypercall: (number, operands) => {
      seen.push([number, ...operands]);
      return -38n;
    },
  });
  assert.equal(exports.ask!(7n), -38n);
  assert.deepEqual(seen, [[29, 7n, 0xffffffffffffffffn]]);
  exports.mask!();
  assert.deepEqual(machine.executed, ['cli']);
  assert.equal(machine.flags, 0n);
});

test('the word size is a constant of the build', async () => {
  for (const wordBits of [32, 64] as const) {
    const { exports } = await loadGuest(SOURCE, { wordBits });
    assert.equal(exports.wordBytes!(), wordBits / 8);
  }
});
