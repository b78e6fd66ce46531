/**
 * Generates the interpreter's module for the default host into `dist/`, out of what has just been compiled there: see
 * `src/machine/x86/prebuilt.ts`.
 */
import { writeFile } from 'node:fs/promises';
import { MachineMemory } from '../dist/machine/memory.js';
import { HEAT_LIMITS } from '../dist/machine/x86/engine.js';
import { instructionSet } from '../dist/machine/x86/instructions/index.js';
import { buildInterpreter } from '../dist/machine/x86/interpreter.js';
import { exportedSignatures, supportModuleBytes } from '../dist/machine/x86/support-imports.js';
import { VariantTable } from '../dist/machine/x86/variants.js';

const { heat } = new MachineMemory({ frames: 1 });
const heatLimit = HEAT_LIMITS.auto;
const variants = new VariantTable(instructionSet());
// The least memory: the module fits every size.
const bytes = buildInterpreter(variants, exportedSignatures(supportModuleBytes()), 1, heat, heatLimit);
const module = Buffer.from(bytes).toString('base64');
await writeFile(
  new URL('../dist/machine/x86/prebuilt-module.js', import.meta.url),
  `export const PREBUILT = ${JSON.stringify({ heat, heatLimit, module })};\n`,
);
