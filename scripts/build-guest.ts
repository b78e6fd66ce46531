/**
 * Builds the guest's side: the kernel of src/guest/kernel as an x86-64 ELF, from its sources through WebAssembly and our
 * translator, no other compiler involved. The result is `src/guest/kernel.generated.ts`, one base64 string, so that it
 * loads alike in Node and in a browser. Skipped when that is newer than every input; `--force` builds anyway.
 *
 * User programs (each file of src/guest/user that exports `main`) become ELF files that the kernel's image carries.
 */
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildKernel } from '../src/guest/testing/build.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const output = join(root, 'src/guest/kernel.generated.ts');
const INPUTS = ['src/guest', 'src/abi', 'src/translator', 'scripts/build-guest.ts', 'package-lock.json'];

async function filesBelow(path: string): Promise<string[]> {
  const full = join(root, path);
  if (!(await stat(full)).isDirectory()) return [full];
  const names = await readdir(full, { recursive: true });
  return names
    .filter((name) => /\.ts$/.test(name) && !/\.(test|generated)\.ts$/.test(name))
    .map((name) => join(full, name));
}

async function isFresh(): Promise<boolean> {
  const made = await stat(output).catch(() => undefined);
  if (made === undefined) return false;
  const inputs = (await Promise.all(INPUTS.map(filesBelow))).flat();
  const times = await Promise.all(inputs.map(async (file) => (await stat(file)).mtimeMs));
  return times.every((time) => time < made.mtimeMs);
}

if (process.argv.includes('--force') || !(await isFresh())) {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const kernel = await buildKernel(version);
  await writeFile(
    output,
    '/** The kernel of src/guest/kernel, an x86-64 ELF with Xen notes: made by scripts/build-guest.ts. */\n' +
      `export const KERNEL_ELF: string =\n  '${Buffer.from(kernel).toString('base64')}';\n`,
  );
  console.log(`${output}: ${kernel.length} bytes of ELF`);
}
