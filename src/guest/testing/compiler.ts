/**
 * Runs the AssemblyScript compiler on guest sources, and keeps what it made in `node_modules/.cache` under a hash of
 * everything that could change it: a test, and the next build, then find it there.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const cache = join(root, 'node_modules/.cache/ringone-guest');
/** Guest sources import these, and each other. */
const SOURCES = ['src/guest', 'src/abi'];

/**
 * No runtime, no abort with a message, names kept. The table is exported, or the optimiser would take functions that only
 * operations and new stacks call for functions that nobody calls.
 */
const COMMON_FLAGS = ['--runtime', 'stub', '--debug', '--exportTable', '--use', 'abort='];

export interface Compilation {
  /** Source files from the project's folder; what they export is the module's exports. */
  readonly entries: readonly string[];
  /** The machine word, WORD_BITS in sources. */
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
  const file = join(cache, `${await fingerprint(entries, words)}.wasm`);
  const kept = await readFile(file).catch(() => undefined);
  if (kept !== undefined) return kept;
  const made = await runCompiler(entries, words);
  await mkdir(cache, { recursive: true });
  // Tests run side by side: nobody may see half a file.
  const unfinished = `${file}.${process.pid}.${performance.now()}`;
  await writeFile(unfinished, made);
  await rename(unfinished, file);
  return made;
}

async function runCompiler(entries: readonly string[], words: readonly string[]): Promise<Uint8Array> {
  const { default: asc } = await import('assemblyscript/asc');
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main([...words, '--baseDir', root, '--outFile', 'guest.wasm'], {
    writeFile: (_name: string, contents: string | Uint8Array) => {
      if (typeof contents !== 'string') binary = contents;
    },
  });
  if (error !== null || binary === undefined) {
    throw new Error(`${entries.join(', ')} does not compile: ${error?.message}\n${stderr.toString()}`);
  }
  return binary;
}

/** A hash of the compiler's version, its arguments and all sources that it might read. */
async function fingerprint(entries: readonly string[], words: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  const compiler = await readFile(join(root, 'node_modules/assemblyscript/package.json'), 'utf8');
  hash.update(JSON.parse(compiler).version).update(words.join('\0'));
  const found = await Promise.all(
    SOURCES.map(async (folder) =>
      (await readdir(join(root, folder), { recursive: true })).map((name) => join(folder, name)),
    ),
  );
  const sources = found.flat().filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  const all = new Set([...sources, ...entries.map((entry) => relative(root, join(root, entry)))]);
  for (const name of [...all].sort()) hash.update(name).update(await readFile(join(root, name)));
  return hash.digest('hex').slice(0, 32);
}
