/**
 * One run under the virtual clock, and everything that can be seen of it from outside. The same file runs in
 * Node and in a worker of a browser, so it knows the library and nothing else.
 */
import { type CrashReport, Host } from 'ringone';

export interface Inputs {
  readonly kernel: Uint8Array;
  readonly ramdisk?: Uint8Array | undefined;
  readonly commandLine: string;
  readonly memoryMib: number;
  /** What is typed before the guest's first instruction. */
  readonly typed: string;
}

export interface Observation {
  /** Every byte of both consoles, as the character of that number. */
  readonly console: string;
  readonly emergency: string;
  readonly reason: string;
  readonly report: CrashReport | undefined;
  readonly instructions: number;
  readonly hypercalls: Readonly<Record<string, number>>;
  /** A hash of all that the guest left in memory. */
  readonly memory: string;
  /** Instructions that compiled code executed: the one thing that may differ between runs that are alike. */
  readonly compiled: number;
}

export async function observe(inputs: Inputs): Promise<Observation> {
  const { kernel, ramdisk, commandLine, memoryMib, typed } = inputs;
  const host = await Host.create({ memoryMib, clock: 'virtual' });
  const domain = await host.createDomain({ kernel, ramdisk, commandLine, memoryMib });
  const consoles = Promise.all([text(domain.console.readable), text(domain.emergencyConsole)]);
  void domain.console.writable.getWriter().write(new TextEncoder().encode(typed));
  // The input is with the host once the streams had their turn; typed later, it would come at any instruction.
  await new Promise((resolve) => setTimeout(resolve));
  await host.run();
  const [console, emergency] = await consoles;
  const { reason, report } = await domain.exited;
  const { instructions, hypercalls, engine } = host.statistics();
  return {
    console,
    emergency,
    reason,
    report,
    instructions,
    hypercalls,
    memory: host.memoryHash(),
    compiled: engine.instructions.compiled,
  };
}

/** By a reader, for not every browser has streams to loop over. */
export async function text(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.getReader();
  for (let all = ''; ; ) {
    const { value, done } = await reader.read();
    if (done) return all;
    all += String.fromCharCode(...value);
  }
}
