import assert from 'node:assert/strict';
import { test } from 'node:test';
import { add, eqz, I32, i32, type ValueType } from './expression.ts';
import { FunctionBuilder } from './function.ts';
import { type Callee, linkCalls } from './linking.ts';
import { ModuleBuilder } from './module.ts';

const IF = 0x04;
const PAIR: readonly ValueType[] = [I32, I32];
const AWAY = 900;
const HOME = 901;
/** Numbers that take one byte and several, as an entry and as a callee. */
const ENTRIES = [3, 200];

/** Calls entry n of the table with its first parameter, adds what comes back; leaves by a tail call if that is odd. */
function caller(): FunctionBuilder {
  const f = new FunctionBuilder(0, PAIR, PAIR);
  const [sum, number] = [f.local(I32), f.local(I32)];
  f.ifUnlikely(eqz(f.parameter(0)), () => f.return(i32(0), i32(0)));
  f.callIndirectInto(
    [sum, number],
    { type: 0, table: 0, callee: HOME },
    f.parameter(1),
    f.parameter(0),
    i32(5),
  );
  f.ifUnlikely(number, () => {
    f.returnCallIndirect({ type: 0, table: 0, callee: -HOME }, f.parameter(1), add(sum, i32(1)), i32(0));
  });
  f.callIndirectInto([sum, number], { type: 0, table: 0, callee: AWAY }, f.parameter(1), sum, number);
  f.return(sum, i32(77));
  return f;
}

/** Instantiates a caller, function 0; 1 and 2 are the callees, which stand at `ENTRIES` of the table. */
function run(
  f: FunctionBuilder,
  find: (callee: number) => Callee | undefined,
): (a: number, b: number) => number[] {
  const module = new ModuleBuilder(1);
  module.signature(PAIR, PAIR);
  module.importTable('engine', 'table', 0);
  const { body, hints } = linkCalls({ body: f.finish(), hints: f.hints() }, f.callSites(), find);
  module.export('run', module.finished(0, body, hints));
  for (const [i, entry] of ENTRIES.entries()) {
    const callee = module.function(PAIR, PAIR);
    callee.return(add(callee.parameter(0), i32(100 * (i + 1))), i32(i));
    module.place(0, entry, [callee]);
  }
  const table = new WebAssembly.Table({ initial: 256, element: 'anyfunc' });
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), {
    engine: { table },
    env: { memory },
  });
  return instance.exports.run as (a: number, b: number) => number[];
}

test('a call that was made direct leads where the table leads, whatever the entry', () => {
  const plain = run(caller(), () => undefined);
  for (const [i, entry] of ENTRIES.entries()) {
    const callee = { entry, index: i + 1 };
    for (const known of [[HOME], [-HOME], [AWAY], [HOME, -HOME, AWAY]]) {
      const linked = run(caller(), (name) => (known.includes(name) ? callee : undefined));
      for (const called of ENTRIES) {
        for (const a of [0, 1, 50]) assert.deepEqual(linked(a, called), plain(a, called), `${known} ${a}`);
      }
    }
  }
});

test('a direct call is direct: it does not ask the table', () => {
  // The table leads to the second where the link says the first.
  const linked = run(caller(), (name) => (name === HOME ? { entry: ENTRIES[1]!, index: 1 } : undefined));
  const plain = run(caller(), () => undefined);
  assert.notDeepEqual(linked(50, ENTRIES[1]!), plain(50, ENTRIES[1]!));
  assert.deepEqual(linked(50, ENTRIES[0]!), plain(50, ENTRIES[0]!));
});

test('hints move with what they stand for, and the way through the table gets one', () => {
  const f = caller();
  const before = { body: f.finish(), hints: f.hints() };
  assert.equal(linkCalls(before, f.callSites(), () => undefined).body, before.body);
  const { body, hints } = linkCalls(before, f.callSites(), () => ({ entry: ENTRIES[1]!, index: 2 }));
  assert.equal(hints.length, before.hints.length + 3);
  const code = body.subarray(body.findIndex((byte) => byte < 0x80) + 1);
  const branches = [...code.keys()].filter((at) => code[at] === IF && code[at + 1] === 0x40);
  assert.deepEqual(hints, branches);
});
