/** Runs a kernel image on a bare machine to its end, through the library, and tells what it printed and how it ended. */
import type { DomainExit, DomainOptions, EngineName } from '../../toolstack/api.ts';
import { Host } from '../../toolstack/library.ts';

export interface Run {
  /** What came from the serial port. */
  readonly output: string;
  /** What came from port 0xe9. */
  readonly emergency: string;
  readonly exit: DomainExit;
  /** Instructions that the run took. */
  readonly instructions: number;
}

const hosts = new Map<EngineName, Promise<Host>>();
/** Room for two machines. */
const HOST_MIB = 96;
export const MEMORY_MIB = 32;

/** The hosts of the tests, one of each kind, are made once: that takes a while. */
export function hostOf(engine: EngineName): Promise<Host> {
  let host = hosts.get(engine);
  if (host === undefined) {
    host = Host.create({ memoryMib: HOST_MIB, clock: 'virtual', engine });
    hosts.set(engine, host);
  }
  return host;
}

export async function runMachine(
  kernel: Uint8Array,
  options: Partial<DomainOptions> & { readonly engine?: EngineName; readonly input?: string } = {},
): Promise<Run> {
  const { engine = 'interpreter', input, ...rest } = options;
  const host = await hostOf(engine);
  const before = host.statistics().instructions;
  const domain = await host.createDomain({ abi: 'native', memoryMib: MEMORY_MIB, kernel, ...rest });
  if (input !== undefined) {
    void domain.console.writable
      .getWriter()
      .write(new TextEncoder().encode(input))
      .catch(() => {});
  }
  const output = text(domain.console.readable);
  const emergency = text(domain.emergencyConsole);
  await host.run();
  const exit = await domain.exited;
  domain.destroy();
  return {
    output: await output,
    emergency: await emergency,
    exit,
    instructions: host.statistics().instructions - before,
  };
}

async function text(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  let all = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return all;
    all += decoder.decode(value, { stream: true });
  }
}
