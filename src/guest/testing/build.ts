/** Builds guests as files that a machine loads: kernels and programs, from sources to ELF. */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type EmbeddedFile,
  KERNEL_BASE,
  KERNEL_DATA_BASE,
  type KernelOptions,
  PROGRAM_DATA_BASE,
  translateKernel,
  translateProgram,
} from '../../translator/translate.ts';
import { compileSources } from './compiler.ts';

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
/** Compiled beside every guest, so that the translator knows where its static data ends. */
const IMAGE_END = 'src/guest/machine/image-end.ts';
const USER_PROGRAMS = 'src/guest/user';
const KERNEL_ENTRY = 'src/guest/kernel/main.ts';
/** What a module says of its memory bounds its static data; nothing is allocated. */
const KERNEL_MEMORY_BYTES = 2 ** 32;
const PROGRAM_MEMORY_BYTES = 2 ** 24;

/** The module of a kernel's entry file, compiled for the addresses that it will have. */
export function compileKernel(entry: string): Promise<Uint8Array> {
  return compileSources({
    entries: [entry, IMAGE_END],
    wordBits: 64,
    kernelBase: KERNEL_BASE,
    dataBase: KERNEL_DATA_BASE,
    memoryBytes: KERNEL_MEMORY_BYTES,
    flags: ['-O3'],
  });
}

/**
 * A kernel as ELF, from its entry file. Unless it is told, it starts wherever that exports `xenStart`, `nativeStart` or
 * `pvhStart`.
 */
export async function buildKernelFrom(
  entry: string,
  options: Omit<KernelOptions, 'target'>,
): Promise<Uint8Array> {
  const module = await compileKernel(entry);
  const exported = exportsOf(module);
  const start = (name: string) => (exported.has(name) ? name : undefined);
  const { xenStart, nativeStart, pvhStart } = options;
  const told = xenStart !== undefined || nativeStart !== undefined || pvhStart !== undefined;
  const starts = told
    ? { xenStart, nativeStart, pvhStart }
    : { xenStart: start('xenStart'), nativeStart: start('nativeStart'), pvhStart: start('pvhStart') };
  return translateKernel(module, { ...options, ...starts, target: 'x86-64' });
}

function exportsOf(module: Uint8Array): Set<string> {
  const exported = WebAssembly.Module.exports(new WebAssembly.Module(module as Uint8Array<ArrayBuffer>));
  return new Set(exported.map(({ name }) => name));
}

/** The module of a program, compiled for the addresses that it will have. */
export function compileProgram(entry: string): Promise<Uint8Array> {
  return compileSources({
    entries: [entry, IMAGE_END],
    wordBits: 64,
    kernelBase: 0,
    dataBase: PROGRAM_DATA_BASE,
    memoryBytes: PROGRAM_MEMORY_BYTES,
    flags: ['-O3'],
  });
}

/** A static program as ELF, from a source that exports `main(stack: u64)`. */
export async function buildProgram(entry: string): Promise<Uint8Array> {
  return translateProgram(await compileProgram(entry), { target: 'x86-64', start: 'main' });
}

/** The project's own kernel with its user programs: each file of src/guest/user that exports `main`. */
export async function buildKernel(version: string): Promise<Uint8Array> {
  return buildKernelFrom(KERNEL_ENTRY, {
    name: 'ringone',
    version,
    files: await buildUserPrograms(),
  });
}

async function buildUserPrograms(): Promise<EmbeddedFile[]> {
  const names = await readdir(join(root, USER_PROGRAMS)).catch(() => []);
  const files: EmbeddedFile[] = [];
  for (const name of names.filter((name) => /^[^.]+\.ts$/.test(name)).sort()) {
    const module = await compileProgram(join(USER_PROGRAMS, name));
    if (!exportsOf(module).has('main')) continue;
    const bytes = translateProgram(module, { target: 'x86-64', start: 'main' });
    files.push({ name: basename(name, '.ts'), bytes });
  }
  return files;
}
