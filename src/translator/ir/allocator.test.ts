/** Places of registers, checked against liveness that is worked out once more, instruction by instruction. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { randomModule } from '../testing/random-module.ts';
import { decodeModule } from '../wasm/module.ts';
import { registerFile } from '../x86/register-file.ts';
import { targetOf } from '../x86/target.ts';
import { type Allocation, allocate } from './allocator.ts';
import { FunctionBuilder } from './builder.ts';
import { importMeaning } from './imports.ts';
import {
  endOperands,
  type IrFunction,
  type Operand,
  operandsOf,
  resultOf,
  successors,
} from './instruction.ts';
import { analyseLiveness } from './liveness.ts';
import { simplify } from './simplify.ts';

const SEEDS = 12;
const target = targetOf('x86-64', 'kernel');
const file = registerFile(target);

function functionsOf(seed: number): IrFunction[] {
  const module = decodeModule(randomModule({ seed, dataBase: 0x80100000, host: 'xen' }));
  const context = {
    module,
    symbols: [...module.imports, ...module.functions].map((_, i) => `f${i}`),
    meanings: module.imports.map(importMeaning),
    globalAddresses: module.globals.map((_, i) => 8 * i),
    memoryPages: 0,
  };
  return module.functions.map((_, i) =>
    simplify(new FunctionBuilder(context, module.imports.length + i).build()),
  );
}

/** Registers that are live at the end of each block, by the plainest method. */
function liveOuts({ blocks }: IrFunction): Set<number>[] {
  const ins = blocks.map((): Set<number> => new Set());
  const outs = blocks.map((): Set<number> => new Set());
  for (let before = -1, now = 0; before !== now; ) {
    before = now;
    now = 0;
    for (const block of blocks) {
      for (const next of successors(block.end)) for (const id of ins[next.index]!) outs[block.index]!.add(id);
      const live = new Set(outs[block.index]);
      use(live, endOperands(block.end));
      for (const instruction of [...block.instructions].reverse()) {
        const result = resultOf(instruction);
        if (result !== undefined) live.delete(result.id);
        use(live, operandsOf(instruction));
      }
      ins[block.index] = live;
      now += live.size;
    }
  }
  return outs;
}

function use(live: Set<number>, operands: readonly Operand[]): void {
  for (const operand of operands) if (operand.kind === 'register') live.add(operand.id);
}

/** A location as a word, to compare. */
function wordOf({ locations }: Allocation, id: number): string {
  const location = locations[id];
  assert.ok(location !== undefined, `register ${id} is live and nowhere`);
  return location.kind === 'register' ? `r${location.register}` : `slot ${location.slot}`;
}

function assertApart(allocation: Allocation, live: ReadonlySet<number>): void {
  const words = [...live].map((id) => wordOf(allocation, id));
  assert.equal(new Set(words).size, words.length, words.join(', '));
}

it('no two registers that live at once share a place, and none is where an instruction destroys it', () => {
  let slots = 0;
  let copies = 0;
  let shared = 0;
  for (let seed = 0; seed < SEEDS; seed++) {
    for (const ir of functionsOf(seed)) {
      const allocation = allocate(ir, analyseLiveness(ir), file);
      slots = Math.max(slots, allocation.slots);
      const outs = liveOuts(ir);
      for (const block of ir.blocks) {
        const live = new Set(outs[block.index]);
        assertApart(allocation, live);
        use(live, endOperands(block.end));
        for (const instruction of [...block.instructions].reverse()) {
          const result = resultOf(instruction);
          if (result !== undefined) live.delete(result.id);
          const lost = file.clobbers(instruction).map((register) => `r${register}`);
          for (const id of live) assert.ok(!lost.includes(wordOf(allocation, id)), instruction.op);
          use(live, operandsOf(instruction));
          assertApart(allocation, live);
          if (instruction.op !== 'copy' || instruction.from.kind !== 'register') continue;
          copies++;
          if (wordOf(allocation, instruction.from.id) === wordOf(allocation, instruction.to.id)) shared++;
        }
      }
    }
  }
  assert.ok(slots > 5, 'some values find no machine register');
  assert.ok(shared > copies / 3, `${shared} of ${copies} copies cost nothing`);
});
