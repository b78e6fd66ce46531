/**
 * Writes src/guest/abi/structures.ts: the structures of the Xen interface as constants for AssemblyScript, from the one
 * description in src/abi/xen/structures. The numbers need no such step, for their files are AssemblyScript already.
 *
 *     node --import tsx scripts/guest-abi.ts             writes
 *     node --import tsx scripts/guest-abi.ts --check     says whether the file is as it should be
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Structure } from '../src/abi/xen/layout.ts';
import * as structures from '../src/abi/xen/structures/index.ts';

export const GUEST_STRUCTURES = new URL('../src/guest/abi/structures.ts', import.meta.url);

const HEAD = `/**
 * The structures of the Xen interface as sizes and offsets in bytes: made by scripts/guest-abi.ts from src/abi/xen, where
 * the fields are explained. \`SIZEOF_a\` is the size of structure \`a\`, \`a_b\` the offset of its field \`b\`, nested names
 * joined. Where the two widths differ, WORD_BITS (a compile-time constant, 32 or 64) decides.
 */
`;

/** The text of the file, the same for the same descriptions. */
export function guestStructures(): string {
  const lines: string[] = [];
  for (const type of Object.values(structures)) {
    if (!('kind' in type) || type.name === '') continue;
    lines.push('', ...linesOf(type as Structure<string, string>));
  }
  return `${HEAD}${lines.join('\n')}\n`;
}

function linesOf({ name, x32, x64 }: Structure<string, string>): string[] {
  const fields = new Set([...x64.fields.keys(), ...x32.fields.keys()]);
  return [
    constant(`SIZEOF_${name}`, x64.size, x32.size),
    ...[...fields]
      .filter((field) => !/(?:^|_)_?pad\d?$/.test(field))
      .map((field) => constant(`${name}_${field}`, x64.offset[field], x32.offset[field])),
  ];
}

function constant(name: string, wide: number | undefined, narrow: number | undefined): string {
  const declaration = `export const ${name}: usize =`;
  if (wide === undefined) return `/** 32 bits only. */\n${declaration} ${narrow};`;
  if (narrow === undefined) return `/** 64 bits only. */\n${declaration} ${wide};`;
  return `${declaration} ${wide === narrow ? wide : `WORD_BITS === 64 ? ${wide} : ${narrow}`};`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const wanted = guestStructures();
  if (!process.argv.includes('--check')) writeFileSync(GUEST_STRUCTURES, wanted);
  else if (readFileSync(GUEST_STRUCTURES, 'utf8') !== wanted) {
    console.error('src/guest/abi/structures.ts is out of date: run node --import tsx scripts/guest-abi.ts');
    process.exitCode = 1;
  }
}
