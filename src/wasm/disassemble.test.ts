import assert from 'node:assert/strict';
import { test } from 'node:test';
import binaryen from 'assemblyscript/binaryen';
import { ByteWriter } from './bytes.ts';
import { DisassemblyError, disassemble, type Signatures, text } from './disassemble.ts';
import { add, call, eqz, F64, f64, I32, I64, i32, i64, load64, select, V128, v128 } from './expression.ts';
import { FunctionBuilder } from './function.ts';
import { allOpcodes, type Opcode } from './opcodes.ts';

const signatures: Signatures = {
  function: (index) => ({ name: `f${index}`, operands: 1, results: 1 }),
  type: () => ({ operands: 1, results: 2 }),
};

function lines(build: (f: FunctionBuilder) => void): string[] {
  const f = new FunctionBuilder(0, [I32, I64], []);
  build(f);
  const names = { local: (index: number) => (index === 0 ? 'first' : undefined) };
  return disassemble(f.finish(), signatures).statements.map(
    ({ depth, node }) => '  '.repeat(depth) + text(node, names),
  );
}

test('a function is shown statement by statement, operands inside', () => {
  assert.deepEqual(
    lines((f) => {
      const [a, b] = [f.parameter(0), f.parameter(1)];
      f.set(b, add(load64(a, 0x1000), i64(-3)));
      f.loop((again) => {
        f.if(
          eqz(a),
          () => f.br(again),
          () => f.store32(i32(0), select(a, i32(1), i32(2)), 8),
        );
      });
      f.run(call({ index: 7, results: [I32] }, a));
      f.callIndirectInto([a, a], { type: 0, table: 1 }, i32(5), a);
      f.return();
    }),
    [
      '(local.set 1 (i64.add (i64.load offset=0x1000 (local.get $first)) (i64.const -3)))',
      '(loop)',
      '  (if (i32.eqz (local.get $first)))',
      '    (br 1)',
      '  (else)',
      '    (i32.store offset=0x8 (i32.const 0) (select (i32.const 1) (i32.const 2) (local.get $first)))',
      '  (end)',
      '(end)',
      '(drop (call $f7 (local.get $first)))',
      '(call_indirect 1 (type 0) (local.get $first) (i32.const 5))',
      '(local.set $first (result 1))',
      '(local.set $first (result 0))',
      '(return)',
    ],
  );
});

test('each statement knows where its code begins', () => {
  const f = new FunctionBuilder(0, [I32], []);
  const places: number[] = [];
  const local = f.local(F64);
  for (const value of [1, 300, 70000]) {
    places.push(f.codeLength);
    f.set(f.parameter(0), i32(value));
  }
  places.push(f.codeLength);
  f.set(local, f64(0.5));
  const body = disassemble(f.finish(), signatures);
  assert.deepEqual(
    body.statements.map(({ at }) => at),
    places,
  );
  assert.equal(body.locals, 1);
});

test('constants of all types are shown', () => {
  const f = new FunctionBuilder(0, [], []);
  f.set(f.local(V128), v128(Uint8Array.from({ length: 16 }, (_, i) => i)));
  f.set(f.local(F64), f64(-0.25));
  const [vector, float] = disassemble(f.finish(), signatures).statements;
  assert.equal(text(vector!.node), '(local.set 0 (v128.const 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15))');
  assert.equal(text(float!.node), '(local.set 1 (f64.const -0.25))');
});

test('what is no body is refused', () => {
  for (const bytes of [
    [],
    [3, 0],
    [2, 0, 0x41],
    [3, 0, 0x6a, 0x0b],
    [3, 0, 0xff, 0x0b],
    [3, 0, 0x02, 0x40],
  ]) {
    assert.throws(() => disassemble(Uint8Array.from(bytes), signatures), DisassemblyError, bytes.join());
  }
});

// -------------------------------------------------------------- against Binaryen

/** The type that an operand or result has by an instruction's name. */
function lane(name: string): string {
  const [shape] = name.split('.');
  return /x/.test(shape!) ? 'v128' : shape!;
}

/** Types of the operands of an instruction, first to last. */
function operandTypes({ name, operands }: Opcode): string[] {
  const [type, action = ''] = name.split('.');
  const vector = lane(name) === 'v128';
  if (name.startsWith('memory.')) return new Array<string>(operands).fill('i32');
  if (action.startsWith('load') || action.startsWith('store')) {
    return action.endsWith('_lane') || action.startsWith('store')
      ? ['i32', vector ? 'v128' : type!].slice(0, operands)
      : ['i32'];
  }
  if (action === 'splat') return [/i(8|16|32)/.test(type!) ? 'i32' : type!.split('x')[0]!];
  if (action === 'replace_lane') return ['v128', /i(8|16|32)/.test(type!) ? 'i32' : type!.split('x')[0]!];
  if (vector) return /\.sh[lr]/.test(name) ? ['v128', 'i32'] : new Array<string>(operands).fill('v128');
  const from = /_([if]\d\d)(_[su])?$/.exec(action)?.[1];
  return new Array<string>(operands).fill(from ?? type!);
}

const CONSTANTS: Readonly<Record<string, readonly number[]>> = {
  i32: [0x41, 0],
  i64: [0x42, 0],
  f32: [0x43, 0, 0, 0, 0],
  f64: [0x44, 0, 0, 0, 0, 0, 0, 0, 0],
  v128: [0xfd, 12, ...new Array<number>(16).fill(0)],
};

/** A function's body that has the instruction alone, with operands of zero. */
function bodyWith(code: number, opcode: Opcode): Uint8Array {
  const out = new ByteWriter();
  out.byte(0);
  for (const type of operandTypes(opcode)) out.append(Uint8Array.from(CONSTANTS[type]!));
  if (code < 0x10000) out.byte(code);
  else {
    out.byte(code >>> 16);
    out.unsigned(code & 0xffff);
  }
  const { immediate } = opcode;
  if (immediate === 'bytes') out.append(new Uint8Array(16));
  else if (immediate === 'memory lane') out.append(new Uint8Array(3));
  else if (immediate === 'memory' || immediate === 'two zeros') out.append(new Uint8Array(2));
  else if (immediate !== 'none') out.byte(0);
  if (opcode.result) out.byte(0x1a);
  out.byte(0x0b);
  const body = new ByteWriter();
  body.unsigned(out.length);
  body.append(out.take());
  return body.take();
}

/** A module of one function with that body, a memory and no locals. */
function moduleWith(body: Uint8Array): Uint8Array {
  const out = new ByteWriter();
  out.append(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  out.append(Uint8Array.of(1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 5, 3, 1, 0, 1));
  out.byte(10);
  out.unsigned(body.length + 1);
  out.byte(1);
  out.append(body);
  return out.take();
}

test('every instruction has the name and the operands that Binaryen reads it with', () => {
  let compared = 0;
  for (const [code, opcode] of allOpcodes()) {
    const { name } = opcode;
    // These need locals, globals or types; the tests above have them.
    if (/^(local|global|nop|drop|select)/.test(name)) continue;
    const body = bodyWith(code, opcode);
    const binary = moduleWith(body);
    assert.ok(WebAssembly.validate(binary as BufferSource), `${name}: its operands do not fit`);
    const module = binaryen.readBinary(binary);
    const printed = module.emitText();
    module.dispose();
    const known = printed.match(/\(([a-z0-9]+(?:\.|x)[a-z0-9_.]+)/g)!.map((found) => found.slice(1));
    assert.ok(known.includes(name), `${name}: Binaryen says ${known.join(' ')}`);
    const [statement] = disassemble(body, signatures).statements;
    const shown = text(statement!.node);
    assert.ok(shown.startsWith(opcode.result ? `(drop (${name}` : `(${name}`), shown);
    compared++;
  }
  assert.ok(compared > 380, `${compared}`);
});
