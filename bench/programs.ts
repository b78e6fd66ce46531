/** The C programs of `bench/programs`, compiled for a guest's width by the gcc of this machine. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ProgramName } from './rows.ts';

export type Bits = 32 | 64;

const SOURCES = fileURLToPath(new URL('programs', import.meta.url));

/**
 * Position-dependent, without a C library, and with SSE2 in both widths. The compiler must not make a call to memset
 * of a loop, for there is none.
 */
const OPTIONS = [
  '-O2',
  '-msse2',
  '-mfpmath=sse',
  '-static',
  '-nostdlib',
  '-ffreestanding',
  '-fno-tree-loop-distribute-patterns',
  '-fno-stack-protector',
  '-fno-asynchronous-unwind-tables',
  '-fno-pie',
  '-no-pie',
];

/** The compiler's first line about itself, or undefined where there is none. */
export function compilerVersion(): string | undefined {
  const { status, stdout } = spawnSync('gcc', ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.split('\n')[0] : undefined;
}

/** Compiles a program into `directory` and returns its path, or why that failed. */
export function compileProgram(
  name: ProgramName,
  bits: Bits,
  directory: string,
): { readonly path: string } | { readonly problem: string } {
  const path = join(directory, name);
  const { status, stderr, error } = spawnSync(
    'gcc',
    [...OPTIONS, `-m${bits}`, '-o', path, join(SOURCES, `${name}.c`)],
    { encoding: 'utf8' },
  );
  if (error !== undefined) return { problem: 'no gcc on this machine' };
  return status === 0 ? { path } : { problem: `gcc -m${bits}: ${stderr.trim().split('\n').at(-1)}` };
}
