import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MachineMemory } from '../src/machine/memory.ts';
import { HEAT_LIMITS } from '../src/machine/x86/engine.ts';
import { instructionSet } from '../src/machine/x86/instructions/index.ts';
import { buildInterpreter } from '../src/machine/x86/interpreter.ts';
import { exportedSignatures, supportModuleBytes } from '../src/machine/x86/support-imports.ts';
import { VariantTable } from '../src/machine/x86/variants.ts';

test("the package's interpreter is what the sources generate for a default host", async () => {
  const built = new URL('../dist/machine/x86/prebuilt.js', import.meta.url).href;
  const { prebuiltInterpreter } = (await import(built)) as {
    prebuiltInterpreter(heat: number, heatLimit: number): Uint8Array | undefined;
  };
  const { heat } = new MachineMemory({ frames: 1 });
  const variants = new VariantTable(instructionSet());
  const signatures = exportedSignatures(supportModuleBytes());
  const wanted = buildInterpreter(variants, signatures, 1, heat, HEAT_LIMITS.auto);
  const found = prebuiltInterpreter(heat, HEAT_LIMITS.auto);
  assert.ok(found !== undefined, 'no module in dist: "npm run build" makes it');
  assert.ok(Buffer.from(wanted).equals(found));
  assert.equal(prebuiltInterpreter(heat, HEAT_LIMITS.auto + 1), undefined);
  assert.equal(prebuiltInterpreter(heat + 16, HEAT_LIMITS.auto), undefined);
});
