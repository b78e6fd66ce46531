/** Batching against a machine that writes hypercalls down, and answers each call of a multicall. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadGuest } from '../testing/index.ts';

const LAZY_NONE = 0;
const LAZY_MMU = 1;
const LAZY_CPU = 2;
const MULTICALL = 13n;

/** A hypercall as it was made; one within a multicall stands in the list of that. */
type Made = readonly bigint[] | { readonly multicall: readonly (readonly bigint[])[] };

async function guestWith(wordBits: 32 | 64, answer: (number: bigint) => bigint = () => 0n) {
  const made: Made[] = [];
  const bytes = wordBits / 8;
  const { exports, machine } = await loadGuest('src/guest/xen/testing/multicall.ts', {
    wordBits,
    hypercall: (number, operands) => {
      if (BigInt(number) !== MULTICALL) {
        made.push([BigInt(number), ...operands]);
        return answer(BigInt(number));
      }
      const multicall = Array.from({ length: Number(operands[1]) }, (_, i) => {
        const entry = operands[0]! + BigInt(i * 8 * bytes);
        const words = [0, 2, 3, 4, 5, 6].map((word) => machine.read(entry + BigInt(word * bytes), bytes));
        machine.write(entry + BigInt(bytes), bytes, answer(words[0]!));
        return words;
      });
      made.push({ multicall });
      return 0;
    },
  });
  const heard = () =>
    Array.from({ length: Number(exports.heardCount!()) }, (_, i) => exports.heardAt!(i) as bigint);
  const ask = (value: number, mode = LAZY_MMU) => {
    exports.mcBatch!();
    exports.MULTI_fpu_taskswitch!(exports.mcEntry!(0)!, value);
    exports.mcIssue!(mode);
  };
  return { exports, machine, made, heard, ask };
}

const numbers = (made: readonly Made[]) =>
  made.map((call) =>
    'multicall' in call ? call.multicall.map(([, first]) => Number(first)) : Number(call[1]),
  );

for (const wordBits of [64, 32] as const) {
  const width = `${wordBits} bits`;

  test(`outside a lazy mode each request is made at once, as itself (${width})`, async () => {
    const { made, ask } = await guestWith(wordBits);
    ask(1);
    ask(2);
    assert.deepEqual(numbers(made), [1, 2]);
  });

  test(`in its mode a request waits for the end of it, and then all are one multicall, in order (${width})`, async () => {
    const { exports, made, ask } = await guestWith(wordBits);
    exports.enterLazyMmuMode!();
    for (let i = 1; i <= 5; i++) ask(i);
    assert.deepEqual(made, []);
    exports.mcFlush!();
    exports.leaveLazyMmuMode!();
    assert.deepEqual(numbers(made), [[1, 2, 3, 4, 5]]);
    exports.mcFlush!();
    assert.equal(made.length, 1, 'an empty batch is not made');
  });

  test(`the mode that is on must be the request's own, or what was kept is made first (${width})`, async () => {
    const { exports, made, ask } = await guestWith(wordBits);
    exports.enterLazyMmuMode!();
    ask(1);
    ask(2, LAZY_CPU);
    assert.deepEqual(numbers(made), [[1, 2]]);
  });

  test(`an interrupt handler's request does not wait (${width})`, async () => {
    const { exports, made, ask } = await guestWith(wordBits);
    exports.enterLazyMmuMode!();
    ask(1);
    exports.enterInterrupt!();
    assert.equal(exports.lazyMode!(), LAZY_NONE);
    ask(2);
    exports.leaveInterrupt!();
    assert.equal(exports.lazyMode!(), LAZY_MMU);
    ask(3);
    assert.deepEqual(numbers(made), [[1, 2]]);
  });

  test(`a batch that is full is made, and another begins (${width})`, async () => {
    const { exports, made, ask } = await guestWith(wordBits);
    exports.enterLazyMmuMode!();
    for (let i = 0; i < 40; i++) ask(i);
    exports.mcFlush!();
    assert.deepEqual(
      numbers(made).map((list) => (list as number[]).length),
      [32, 8],
    );
    // Its arguments' room is another limit.
    made.length = 0;
    for (let i = 0; i < 5; i++) exports.MULTI_fpu_taskswitch!(exports.mcEntry!(300)!, i);
    exports.mcFlush!();
    assert.deepEqual(numbers(made), [
      [0, 1, 2],
      [3, 4],
    ]);
  });

  test(`a call grows while the next request is of its kind and there is room (${width})`, async () => {
    const { exports } = await guestWith(wordBits);
    const first = exports.mcEntry!(16)!;
    exports.MULTI_mmu_update!(first, exports.mcArguments!()!, 1, 0, 0x7ff0);
    const room = Number(exports.mcArguments!());
    assert.equal(exports.mcExtend!(26, 16), 0);
    for (let i = 1; i < 64; i++) {
      assert.equal(exports.mcExtend!(1, 16), first);
      assert.equal(exports.mcArguments!(), room + i * 16);
    }
    assert.equal(exports.mcExtend!(1, 16), 0, 'the room is used up');
  });

  test(`a call alone is made with all its arguments, and each call's room is aligned (${width})`, async () => {
    const { exports, made } = await guestWith(wordBits);
    const word = (value: number) => (wordBits === 64 ? BigInt(value) : value);
    exports.mcBatch!();
    const entry = exports.mcEntry!(0)!;
    exports.MULTI_update_va_mapping_otherdomain!(entry, 0x5000n, 0x700006001n, word(2), 9);
    exports.mcIssue!(LAZY_MMU);
    const given = wordBits === 64 ? [0x5000n, 0x700006001n, 2n, 9n] : [0x5000n, 0x6001n, 7n, 2n, 9n];
    assert.deepEqual((made[0] as bigint[]).slice(0, 1 + given.length), [22n, ...given]);
    exports.enterLazyMmuMode!();
    for (const bytes of [12, 3, 8]) {
      exports.MULTI_fpu_taskswitch!(exports.mcEntry!(bytes)!, 1);
      assert.equal(Number(exports.mcArguments!()) % 8, 0);
    }
  });

  test(`what Xen refuses is reported entry by entry, and the rest was made (${width})`, async () => {
    const { exports, heard, ask } = await guestWith(wordBits, (number) => (number === 5n ? -22n : 0n));
    assert.throws(() => ask(1), WebAssembly.RuntimeError, 'nobody listens');
    exports.listenToRefusals!();
    exports.enterLazyMmuMode!();
    exports.mcBatch!();
    exports.MULTI_stack_switch!(exports.mcEntry!(0)!, 1, 2n);
    exports.mcIssue!(LAZY_MMU);
    ask(7);
    exports.mcFlush!();
    assert.deepEqual(heard(), [(5n << 48n) | (1n << 32n) | (2n << 16n) | 22n]);
    assert.equal((exports.callsRefused as unknown as WebAssembly.Global).value, 2n);
  });

  test(`callbacks come after the batch, in order, and may ask for more (${width})`, async () => {
    const { exports, made, heard, ask } = await guestWith(wordBits);
    exports.enterLazyMmuMode!();
    ask(1);
    exports.callBack!(11, 0);
    exports.callBack!(12, 1);
    ask(2);
    assert.deepEqual([numbers(made), heard()], [[], []]);
    exports.mcFlush!();
    assert.deepEqual([numbers(made), heard()], [[[1, 2]], [11n, 12n]]);
    exports.mcFlush!();
    assert.deepEqual(numbers(made), [[1, 2], 12]);
  });

  test(`a callback may make a request of its own, in the middle of another (${width})`, async () => {
    const { exports, machine, made, ask } = await guestWith(wordBits);
    const page = 0x80000;
    exports.setSharedInfo!(page);
    const mask = () => machine.read(BigInt(page + 1), 1);
    const fill = () => {
      for (let i = 0; i < 32; i++) ask(i);
    };
    const full = [...Array(32).keys()];
    exports.enterLazyMmuMode!();
    fill();
    exports.callBackForRequest!(100);
    assert.equal(mask(), 0n);
    ask(32);
    assert.equal(mask(), 0n, 'interrupts are as they were');
    exports.mcFlush!();
    assert.deepEqual(numbers(made), [full, [100, 32]]);

    // Room that the callback took is not given away again,
    fill();
    exports.callBackForRequest!(101);
    exports.MULTI_fpu_taskswitch!(exports.mcEntry!(8)!, 33);
    const room = Number(exports.mcArguments!()) - 600;
    assert.equal(machine.read(BigInt(room), 8), 101n);
    // and where both do not fit, what the callback asked for is made first.
    exports.callBackForRequest!(102);
    exports.MULTI_fpu_taskswitch!(exports.mcEntry!(600)!, 34);
    assert.equal(exports.mcArguments!(), room);
    exports.mcFlush!();
    assert.deepEqual(numbers(made).slice(2), [full, [101, 33], 102, 34]);
  });

  test(`as many callbacks as there is room for may each ask for one more (${width})`, async () => {
    const { exports, heard } = await guestWith(wordBits);
    for (let i = 0; i < 32; i++) exports.callBackOnceMore!(i);
    exports.callBack!(99, 0);
    exports.mcFlush!();
    const first = [...Array(32).keys()];
    assert.deepEqual(heard().map(Number), [...first, ...first.map((i) => 200 + i), 99]);
  });

  test(`between request and issue interrupts are off, and afterwards as before (${width})`, async () => {
    const { exports, machine } = await guestWith(wordBits);
    const page = 0x80000;
    exports.setSharedInfo!(page);
    for (const mask of [0n, 1n]) {
      machine.write(BigInt(page + 1), 1, mask);
      exports.mcBatch!();
      assert.equal(machine.read(BigInt(page + 1), 1), 1n);
      exports.mcIssue!(LAZY_MMU);
      assert.equal(machine.read(BigInt(page + 1), 1), mask);
    }
  });
}

test('lazy modes do not nest', async () => {
  const { exports } = await guestWith(64);
  const stops = (name: string, ...operands: number[]) =>
    assert.throws(() => exports[name]!(...operands), WebAssembly.RuntimeError, name);
  stops('leaveLazyMmuMode');
  stops('leaveLazyCpuMode', 0);
  exports.enterLazyMmuMode!();
  stops('enterLazyMmuMode');
  stops('leaveLazyCpuMode', 0);
  exports.leaveLazyMmuMode!();
  exports.enterLazyCpuMode!();
  assert.equal(exports.leftLazyMmu!(), 0);
  stops('enterLazyMmuMode');
  stops('enterLazyCpuMode');
  stops('leaveLazyMmuMode');
  exports.leaveLazyCpuMode!(0);
  assert.equal(exports.lazyMode!(), LAZY_NONE);
});

test('tasks may be switched in the middle of lazy updates, which go on when their task is back', async () => {
  const { exports } = await guestWith(64);
  exports.enterLazyMmuMode!();
  exports.enterLazyCpuMode!();
  assert.equal(exports.lazyMode!(), LAZY_CPU);
  assert.equal(exports.leftLazyMmu!(), 1);
  exports.leaveLazyCpuMode!(0);
  assert.equal(exports.lazyMode!(), LAZY_NONE);
  exports.enterLazyCpuMode!();
  assert.equal(exports.leftLazyMmu!(), 0, 'the one that is left now was not');
  exports.setLeftLazyMmu!(1);
  exports.leaveLazyCpuMode!(exports.leftLazyMmu!()!);
  assert.equal(exports.lazyMode!(), LAZY_MMU);
});
