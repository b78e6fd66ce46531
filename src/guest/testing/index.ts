/**
 * Guest sources as plain WebAssembly in a test: `loadGuest` compiles, supplies a machine and gives the exports.
 *
 *     const { exports, machine } = await loadGuest('src/guest/xen/p2m.ts', { hypercall: () => 0n });
 *     exports.setIdentity(…);
 *     machine.read(address, 8);
 *
 * In an export's signature an i64 or u64 is a bigint, signed; `usize`, u32 and i32 are numbers, signed.
 */
import { type CompileOptions, compileForTest } from './compile.ts';
import { TestMachine, type TestMachineOptions } from './machine.ts';

export { TEST_DATA_BASE, TEST_MEMORY_BYTES } from './compile.ts';
export { MachineFault, TestMachine, type TestMachineOptions } from './machine.ts';

export type GuestFunction = (...operands: readonly (number | bigint)[]) => number | bigint | undefined;

export interface TestGuest {
  /** The functions that the source exports. */
  readonly exports: Readonly<Record<string, GuestFunction>>;
  readonly machine: TestMachine;
  /** The guest's memory; look again after nothing, for it never grows. */
  readonly bytes: Uint8Array;
}

/** Compiles a guest source (a path from the project's folder) and instantiates it with a machine of its own. */
export async function loadGuest(
  entry: string,
  options: TestMachineOptions & CompileOptions = {},
): Promise<TestGuest> {
  const module = await WebAssembly.compile((await compileForTest(entry, options)) as Uint8Array<ArrayBuffer>);
  const machine = new TestMachine(options);
  const { exports } = await WebAssembly.instantiate(module, machine.importsFor(module));
  machine.memory = exports.memory as WebAssembly.Memory;
  machine.table = exports.table as WebAssembly.Table | undefined;
  return {
    exports: exports as unknown as Record<string, GuestFunction>,
    machine,
    bytes: new Uint8Array(machine.memory.buffer),
  };
}
