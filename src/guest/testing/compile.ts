/**
 * Compiles guest sources (AssemblyScript) to plain WebAssembly that a test can run in Node.
 *
 * Everything is as in a kernel's build except for where things lie: the module's memory stands in for the machine's, from
 * address 0 (KERNEL_BASE = 0). Results are kept in `node_modules/.cache`, named by a hash of all that could change them.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const cache = join(root, 'node_modules/.cache/ringone-guest');

/** Bytes of memory that a guest under test has. */
export const TEST_MEMORY_BYTES = 16 << 20;
/** Below this lies nothing of the guest's: its static data begins here. */
export const TEST_DATA_BASE = 0x10000;

export interface CompileOptions {
  /** The machine word, 64 unless told. */
  readonly wordBits?: 32 | 64 | undefined;
  /** Bytes of memory; a multiple of 64 KiB. */
  readonly memoryBytes?: number | undefined;
}

/** The module of a guest source with its imports; `entry` from the project's folder. Throws with the compiler's messages. */
export async function compileForTest(entry: string, options: CompileOptions = {}): Promise<Uint8Array> {
  const { wordBits = 64, memoryBytes = TEST_MEMORY_BYTES } = options;
  const flags = [
    ...['--runtime', 'stub', '-O2', '--debug', '--exportTable', '--use', 'abort='],
    ...['--use', `WORD_BITS=${wordBits}`, '--use', `Word=u${wordBits}`, '--use', 'KERNEL_BASE=0'],
    ...['--memoryBase', String(TEST_DATA_BASE), '--initialMemory', String(memoryBytes / 65536)],
  ];
  const file = join(cache, `${await fingerprint([entry, ...flags])}.wasm`);
  const kept = await readFile(file).catch(() => undefined);
  if (kept !== undefined) return kept;
  const made = await runCompiler(entry, flags);
  await mkdir(cache, { recursive: true });
  // Tests run side by side: nobody may see half a file.
  await writeFile(`${file}.${process.pid}`, made);
  await rename(`${file}.${process.pid}`, file);
  return made;
}

async function runCompiler(entry: string, flags: readonly string[]): Promise<Uint8Array> {
  const { default: asc } = await import('assemblyscript/asc');
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main([entry, ...flags, '--baseDir', root, '--outFile', 'guest.wasm'], {
    writeFile: (_name: string, contents: string | Uint8Array) => {
      if (typeof contents !== 'string') binary = contents;
    },
  });
  if (error !== null || binary === undefined) {
    throw new Error(`${entry} does not compile: ${error?.message}\n${stderr.toString()}`);
  }
  return binary;
}

/** A hash of the compiler's version, its arguments and all guest sources. */
async function fingerprint(words: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  const compiler = await readFile(join(root, 'node_modules/assemblyscript/package.json'), 'utf8');
  hash.update(JSON.parse(compiler).version).update(words.join('\0'));
  const names = await readdir(join(root, 'src/guest'), { recursive: true });
  const sources = names.filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts')).sort();
  if (!sources.some((name) => join('src/guest', name) === words[0])) hash.update(await readFile(words[0]!));
  for (const name of sources) hash.update(name).update(await readFile(join(root, 'src/guest', name)));
  return hash.digest('hex').slice(0, 32);
}
