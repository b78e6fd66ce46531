/** The kernels of the tests, built from `programs`. */
import { buildKernelFrom, buildProgram } from '../../guest/testing/build.ts';

const PROGRAMS = 'src/translator/testing/programs';

/** Tries the machine above Xen. */
export function buildXenKernel(): Promise<Uint8Array> {
  return buildKernelFrom(`${PROGRAMS}/xen-kernel.ts`, {
    name: 'self-test',
    version: '1',
    files: [{ name: 'hello', bytes: Uint8Array.of(7, 8, 9) }],
  });
}

/** Tries it in ring 0, with a program for ring 3 aboard. */
export async function buildNativeKernel(): Promise<Uint8Array> {
  return buildKernelFrom(`${PROGRAMS}/native-kernel.ts`, {
    name: 'self-test',
    version: '1',
    files: [{ name: 'user', bytes: await buildProgram(`${PROGRAMS}/user.ts`) }],
  });
}
