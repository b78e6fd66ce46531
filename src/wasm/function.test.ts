import assert from 'node:assert/strict';
import { test } from 'node:test';
import { add, eqz, I32, i32 } from './expression.ts';
import { FunctionBuilder } from './function.ts';
import { ModuleBuilder } from './module.ts';

const IF = 0x04;

/** Skips the size that a body begins with: hints count from behind it. */
function afterSize(body: Uint8Array): Uint8Array {
  return body.subarray(body.findIndex((byte) => byte < 0x80) + 1);
}

test('the hints of a function name the branches that were said to be unlikely', () => {
  const f = new FunctionBuilder(0, [I32], [I32]);
  const extra = f.local(I32);
  f.if(f.parameter(0), () => f.set(extra, i32(1)));
  f.ifUnlikely(eqz(f.parameter(0)), () => f.set(extra, i32(2)));
  f.ifUnlikely(i32(1), () => f.set(extra, add(extra, i32(300))));
  f.ifUnlikely(f.parameter(0), () => f.return(i32(7)));
  f.return(extra);
  const body = afterSize(f.finish());
  const branches = [...body.keys()].filter((at) => body[at] === IF && body[at + 1] === 0x40);
  // The first is an ordinary one, and a constant condition leaves no branch.
  assert.deepEqual(f.hints(), branches.slice(1));
});

test('a module with hints is a valid module', async () => {
  const f = new FunctionBuilder(0, [I32], []);
  f.ifUnlikely(f.parameter(0), () => f.unreachable());
  const module = new ModuleBuilder(1);
  module.export('run', module.finished(module.signature([I32], []), f.finish(), f.hints()));
  const bytes = module.finish();
  const sections = WebAssembly.Module.customSections(
    new WebAssembly.Module(bytes),
    'metadata.code.branch_hint',
  );
  // One function, number 0, one hint, its place, one byte, "unlikely".
  assert.deepEqual(
    sections.map((section) => [...new Uint8Array(section)]),
    [[1, 0, 1, f.hints()[0], 1, 0]],
  );
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const { instance } = await WebAssembly.instantiate(bytes, { env: { memory } });
  (instance.exports.run as (condition: number) => void)(0);
});
