/**
 * The host's side of the test page: a module worker that has the library and no document. It is told one
 * thing to do, and says what came of it in messages to the page.
 */
import { builtinGuest, Host } from 'ringone';
import { type Inputs, type Observation, observe } from './observe.ts';

/**
 * `talk` runs the built-in guest in real time; `observe` runs a kernel that the server has, as Node does in
 * the test.
 */
export type Order =
  | { readonly order: 'talk'; readonly commandLine: string; readonly memoryMib: number }
  | { readonly order: 'observe'; readonly inputs: Omit<Inputs, 'kernel' | 'ramdisk'> & Files }
  | { readonly order: 'type'; readonly text: string };

/** Paths on the server. */
interface Files {
  readonly kernel: string;
  readonly ramdisk?: string;
}

export type Report =
  | { readonly printed: string }
  | { readonly ended: Ended }
  | { readonly observed: Observation }
  | { readonly failed: string };

export interface Ended {
  readonly reason: string;
  /** Of all WebAssembly memories that were made, when the guest had ended. */
  readonly memoryMib: number;
}

const memories: WebAssembly.Memory[] = [];
WebAssembly.Memory = class extends WebAssembly.Memory {
  constructor(size: WebAssembly.MemoryDescriptor) {
    super(size);
    memories.push(this);
  }
};

let keyboard: WritableStreamDefaultWriter<Uint8Array> | undefined;

function report(message: Report): void {
  postMessage(message);
}

async function talk(commandLine: string, memoryMib: number): Promise<void> {
  const host = await Host.create({ memoryMib });
  const domain = await host.createDomain({ kernel: await builtinGuest(), commandLine, memoryMib });
  keyboard = domain.console.writable.getWriter();
  const running = host.run();
  const reader = domain.console.readable.pipeThrough(new TextDecoderStream()).getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read())
    report({ printed: next.value });
  const { reason } = await domain.exited;
  await running;
  const bytes = memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  report({ ended: { reason, memoryMib: bytes / 2 ** 20 } });
}

async function fetched(path: string): Promise<Uint8Array> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function follow(order: Order): Promise<void> {
  if (order.order === 'type') await keyboard!.write(new TextEncoder().encode(order.text));
  else if (order.order === 'talk') await talk(order.commandLine, order.memoryMib);
  else {
    const { kernel, ramdisk, ...rest } = order.inputs;
    const files = { kernel: await fetched(kernel), ramdisk: ramdisk && (await fetched(ramdisk)) };
    report({
      observed: await observe({ ...rest, kernel: files.kernel, ramdisk: files.ramdisk || undefined }),
    });
  }
}

addEventListener('message', ({ data }: MessageEvent<Order>) => {
  follow(data).catch((error: Error) => report({ failed: error.stack ?? error.message }));
});
