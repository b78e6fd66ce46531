/**
 * Which process a Linux kernel is running: `comm` of the current task, read from the guest's memory.
 *
 * Where it stands is found out from the kernel's image. The per-CPU word that points to the task is `current_task`, from 6.2 on the
 * first word of `pcpu_hot`; the place of `comm` in a task is where the image's first task, `init_task`, has its name: "swapper".
 */
import type { Gva } from '../../machine/memory.ts';
import type { QuietMemory } from '../../machine/x86/quiet-memory.ts';
import type { KernelImage, SymbolTable } from '../images/index.ts';

const COMM_BYTES = 16;
const FIRST_COMM = 'swapper\0';
/** A task is not larger. */
const TASK_BYTES = 16384;

export class CurrentTask {
  private readonly pointer: Gva;
  private readonly comm: number;

  private constructor(pointer: Gva, comm: number) {
    this.pointer = pointer;
    this.comm = comm;
  }

  /** Undefined if the image does not say where a task's name is. */
  static of({ segments }: Pick<KernelImage, 'segments'>, symbols: SymbolTable): CurrentTask | undefined {
    const pointer = symbols.addressOf('current_task') ?? symbols.addressOf('pcpu_hot');
    const task = symbols.addressOf('init_task');
    if (pointer === undefined || task === undefined) return undefined;
    const holder = segments.find(({ virtual, bytes }) => task >= virtual && task < virtual + bytes.length);
    if (holder === undefined) return undefined;
    const at = task - holder.virtual;
    const comm = latin1(holder.bytes.subarray(at, at + TASK_BYTES)).indexOf(FIRST_COMM);
    return comm < 0 ? undefined : new CurrentTask(pointer, comm);
  }

  /** The name of the process; undefined where it cannot be read. `gsBase` is the kernel's. */
  name(memory: QuietMemory, gsBase: Gva): string | undefined {
    const bytes = new Uint8Array(COMM_BYTES);
    if (!memory.read(memory.word(gsBase + this.pointer) + this.comm, bytes)) return undefined;
    const text = latin1(bytes);
    const end = text.indexOf('\0');
    return end < 1 ? undefined : text.slice(0, end);
  }
}

function latin1(bytes: Uint8Array): string {
  return new TextDecoder('latin1').decode(bytes);
}
