/**
 * Takes the samples of a profile: asks where a vCPU stands, walks its stack, and finds names for what it finds.
 *
 * A stack begins with the process, where the kernel's image tells how to find its name (`linux.ts`), else with the domain. Then
 * come the user's frames, as far as frame pointers lead, and on top of them the kernel's, by its ORC tables or by frame pointers.
 * Kernel addresses get names from the kernel's symbols and from System.maps that were given; user addresses from programs that
 * were given, where the guest's code is theirs. A place without a name is shown by its page: `0x401000..fff`.
 *
 * Looking changes nothing: samples are taken between two instructions, and memory is read without a trace.
 */
import type { Domain, Vcpu } from '../../hypervisor/domain.ts';
import type { Sampler } from '../../hypervisor/sampler.ts';
import type { Gva } from '../../machine/memory.ts';
import { QuietMemory } from '../../machine/x86/quiet-memory.ts';
import { RBP, RSP } from '../../machine/x86/registers.ts';
import { hex } from '../hex.ts';
import type { KernelImage, SymbolTable } from '../images/index.ts';
import type { SymbolFile } from '../images/symbol-file.ts';
import { printable } from '../quoted.ts';
import { CallTree, type Frame } from './call-tree.ts';
import { callerByFramePointer } from './frame-pointers.ts';
import { CurrentTask } from './linux.ts';
import { OrcTables, type Place } from './orc.ts';

/** A prime: loops whose length divides it are rare. */
export const DEFAULT_INTERVAL = 100_003;
const MOST_FRAMES = 64;
const PAGE = 4096;
/** So many bytes of the guest's code must be a program's for its symbols to be used. */
const CODE_BYTES = 16;

/** What is known of a domain's kernel. */
interface Kernel {
  readonly symbols: SymbolTable;
  readonly orc: OrcTables | undefined;
  readonly task: CurrentTask | undefined;
}

export type KnownImage = Pick<KernelImage, 'segments' | 'symbols'>;

export class Profiler implements Sampler {
  readonly tree: CallTree;
  left: number;
  private readonly interval: number;
  private readonly files: readonly SymbolFile[];
  private readonly kernels = new Map<Domain, Kernel>();

  /** Takes a sample every `interval` instructions; `files` are read before the kernel's own symbols. */
  constructor(interval: number, files: readonly SymbolFile[]) {
    this.tree = new CallTree(interval);
    this.interval = interval;
    this.left = interval;
    this.files = files;
  }

  /** Tells what kernel a domain runs. */
  addDomain(domain: Domain, image: KnownImage): void {
    const maps = this.files.filter(({ symbols }) => symbols.addressOf('_text') !== undefined);
    const symbols = maps[0]?.symbols ?? image.symbols;
    this.kernels.set(domain, {
      symbols,
      orc: OrcTables.of(image, symbols),
      task: CurrentTask.of(image, symbols),
    });
  }

  sample(vcpu: Vcpu): void {
    this.left += this.interval;
    const kernel = this.kernels.get(vcpu.domain);
    const { state } = vcpu;
    const memory = new QuietMemory(state);
    const kernelMemory = vcpu.inKernel ? memory : new QuietMemory(state, vcpu.kernelRoot);
    const process = kernel?.task?.name(kernelMemory, vcpu.kernelGsBase);
    const frames: Frame[] = [];
    let place: Place | undefined = {
      rip: state.rip,
      rsp: state.reg(RSP),
      rbp: state.reg(RBP),
      exact: true,
      user: !vcpu.inKernel,
      register: (number) => state.reg(number),
    };
    while (place !== undefined && frames.length < MOST_FRAMES) {
      const { rip, exact, user } = place;
      // What follows a call that does not return belongs to somebody else.
      const address = exact ? rip : rip - 1;
      const name = user ? this.userName(address, memory) : kernel?.symbols.nearest(address)?.name;
      frames.push({ name: name === undefined ? pageText(address) : printable(name), kernel: !user });
      // The tables of a Linux kernel know nothing of its modules, which have no names either.
      if (user || kernel?.orc === undefined) place = callerByFramePointer(place, memory);
      else place = name === undefined ? undefined : kernel.orc.caller(place, memory);
    }
    frames.push({ name: process === undefined ? vcpu.domain.name : printable(process), kernel: false });
    this.tree.add(frames.reverse());
  }

  private userName(address: Gva, memory: QuietMemory): string | undefined {
    for (const { code, symbols } of this.files) {
      for (const { start, bytes } of code) {
        const at = address - start;
        if (at < 0 || at >= bytes.length) continue;
        const expected = bytes.subarray(at, at + CODE_BYTES);
        const found = new Uint8Array(expected.length);
        if (memory.read(address, found) && found.every((byte, i) => byte === expected[i])) {
          return symbols.nearest(address)?.name;
        }
      }
    }
    return undefined;
  }
}

function pageText(address: Gva): string {
  return `${hex(Math.floor(address / PAGE) * PAGE)}..fff`;
}
