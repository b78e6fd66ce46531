/**
 * Compiles the support functions (AssemblyScript, `src/machine/assembly/`) into `src/machine/support.generated.ts`:
 * one base64 string, so that the engine loads them alike in Node and in a browser. Skipped when the output is newer
 * than every input; `--force` compiles anyway.
 *
 * The module imports its memory (`env.memory`). Its static data starts at SUPPORT_DATA of `layout.ts` and must end
 * below ENGINE; it allocates nothing at run time, which is checked here by what of AssemblyScript's it imports.
 */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const sources = join(root, 'src/machine/assembly');
const entry = 'src/machine/assembly/index.ts';
const layout = join(root, 'src/machine/layout.ts');
const output = join(root, 'src/machine/support.generated.ts');

async function inputs() {
  const found = await readdir(sources, { recursive: true });
  const compiled = found.filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  return [...compiled.map((name) => join(sources, name)), layout, fileURLToPath(import.meta.url)];
}

async function isFresh() {
  const made = await stat(output).catch(() => undefined);
  if (made === undefined) return false;
  const times = await Promise.all((await inputs()).map(async (file) => (await stat(file)).mtimeMs));
  return times.every((time) => time < made.mtimeMs);
}

/** The value of an integer constant of layout.ts: the one place that knows where the data may lie. */
async function layoutConstant(name) {
  const match = new RegExp(`export const ${name} = (0x[0-9a-f]+|\\d+);`).exec(await readFile(layout, 'utf8'));
  if (!match) throw new Error(`${layout}: expected an integer constant ${name}, found none`);
  return Number(match[1]);
}

/** Compiles the support module and returns its bytes. Throws with the compiler's messages when it does not compile. */
async function compileSupport() {
  const folder = await mkdtemp(join(tmpdir(), 'ringone-support-'));
  try {
    const file = join(folder, 'support.wasm');
    const base = await layoutConstant('SUPPORT_DATA');
    // Asking for exactly the pages below ENGINE makes the compiler refuse static data that would reach it.
    const pages = (await layoutConstant('ENGINE')) / 65536;
    const memory = ['--importMemory', '--memoryBase', String(base), '--initialMemory', String(pages)];
    const options = ['--runtime', 'stub', '--noAssert', ...memory, '-O3'];
    const { error, stderr } = await asc.main([entry, ...options, '--baseDir', root, '--outFile', file]);
    if (error) throw new Error(`${entry} does not compile: ${error.message}\n${stderr}`);
    return await readFile(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function check(bytes) {
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
  const runtime = imports.find((i) => i.module === 'env' && i.name !== 'memory');
  if (runtime) {
    throw new Error(
      `${entry}: expected to import only env.memory, found env.${runtime.name} (an allocation?)`,
    );
  }
}

if (process.argv.includes('--force') || !(await isFresh())) {
  const bytes = await compileSupport();
  await check(bytes);
  await writeFile(
    output,
    '/** The support functions of the machine, compiled: made by scripts/build-support.mjs from assembly/. */\n' +
      `export const SUPPORT_WASM =\n  '${bytes.toString('base64')}';\n`,
  );
  console.log(`${output}: ${bytes.length} bytes of WebAssembly`);
}
