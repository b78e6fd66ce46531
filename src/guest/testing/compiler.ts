/**
 * Runs the AssemblyScript compiler on guest sources, and keeps what it made in `node_modules/.cache` under a hash of
 * everything that could change it: a test, and the next build, then find it there.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const cache = join(root, 'node_modules/.cache/ringone-guest');
/**
 * No runtime, no abort with a message, names kept. The table is exported, or the optimiser would take functions that only
 * operations and new stacks call for functions that nobody calls.
 */
const COMMON_FLAGS = ['--runtime', 'stub', '--debug', '--exportTable', '--use', 'abort='];

export interface Compilation {
  /** Source files from the project's folder; what they export is the module's exports. */
  readonly entries: readonly string[];
  /** The machine word, WORD_BITS in sources; Word is the integer type of that size. */
  readonly wordBits: 32 | 64;
  /** KERNEL_BASE in sources. */
  readonly kernelBase: number;
  /** Where static data begins. */
  readonly dataBase: number;
  /** Bytes of the module's memory, a multiple of 64 KiB: static data must lie below. */
  readonly memoryBytes: number;
  readonly flags: readonly string[];
}

/** The module of guest sources. Throws with the compiler's messages where they do not compile. */
export async function compileSources(compilation: Compilation): Promise<Uint8Array> {
  const { entries, wordBits, kernelBase, dataBase, memoryBytes, flags } = compilation;
  const words = [
    ...entries,
    ...COMMON_FLAGS,
    ...['--use', `WORD_BITS=${wordBits}`, '--use', `Word=u${wordBits}`, '--use', `KERNEL_BASE=${kernelBase}`],
    ...['--memoryBase', String(dataBase), '--initialMemory', String(memoryBytes / 65536)],
    ...flags,
  ];
  const compiler = await readFile(join(root, 'node_modules/assemblyscript/package.json'), 'utf8');
  const key = digest([JSON.parse(compiler).version, ...words]);
  // The manifest says which files were read last time: what they hold now decides which module is the right one.
  const manifest = join(cache, `${key}.json`);
  const read = await readFile(manifest, 'utf8').catch(() => undefined);
  if (read !== undefined) {
    const kept = await moduleFile(key, JSON.parse(read))
      .then((file) => readFile(file))
      .catch(() => undefined);
    if (kept !== undefined) return kept;
  }
  const { binary, files } = await runCompiler(entries, words);
  await mkdir(cache, { recursive: true });
  await writeWhole(await moduleFile(key, files), binary);
  await writeWhole(manifest, JSON.stringify(files));
  return binary;
}

/** Where the module is kept that the compiler makes of these files as they are. */
async function moduleFile(key: string, files: readonly string[]): Promise<string> {
  const contents = await Promise.all(files.map((file) => readFile(join(root, file), 'utf8')));
  return join(cache, `${digest([key, ...contents])}.wasm`);
}

/** Tests run side by side: nobody may see half a file. */
async function writeWhole(file: string, contents: string | Uint8Array): Promise<void> {
  const unfinished = `${file}.${process.pid}.${performance.now()}`;
  await writeFile(unfinished, contents);
  await rename(unfinished, file);
}

function digest(parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest('hex').slice(0, 32);
}

async function runCompiler(
  entries: readonly string[],
  words: readonly string[],
): Promise<{ binary: Uint8Array; files: string[] }> {
  const { default: asc } = await import('assemblyscript/asc');
  const files = new Set<string>();
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main([...words, '--baseDir', root, '--outFile', 'guest.wasm'], {
    readFile: async (name: string) => {
      const text = await readFile(join(root, name), 'utf8').catch(() => null);
      if (text !== null) files.add(name);
      return text;
    },
    writeFile: (_name: string, contents: string | Uint8Array) => {
      if (typeof contents !== 'string') binary = contents;
    },
  });
  if (error !== null || binary === undefined) {
    throw new Error(`${entries.join(', ')} does not compile: ${error?.message}\n${stderr.toString()}`);
  }
  return { binary, files: [...files].sort() };
}
