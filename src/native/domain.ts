/**
 * A bare machine as a domain: memory from physical address 0 on, one processor and a board. Any number of them can run on a
 * host beside other domains: a page walk reaches the domain's own frames alone, whatever its tables say.
 */
import { Domain } from '../hypervisor/domain.ts';
import { NO_FRAME, OutOfFramesError } from '../hypervisor/frames.ts';
import type { Host } from '../hypervisor/host.ts';
import { type Maddr, type Mfn, PAGE_SIZE } from '../machine/memory.ts';
import { Board } from './board.ts';
import { NativeVcpu } from './vcpu.ts';

/** Large pages of the guest are contiguous in the machine either way; this keeps them aligned, too. */
const ALIGNMENT_FRAMES = 512;

export interface NativeDomainOptions {
  readonly name: string;
  /** Frames of memory. */
  readonly frames: number;
  /** Milliseconds since 1970 at the host's start. */
  readonly wallClockMs: number;
  /** What the guest prints on its serial port. */
  readonly onOutput: (bytes: Uint8Array) => void;
  /** The serial port takes input again after it had refused some. */
  readonly onDrain: () => void;
  /** What it writes to port 0xe9: whole lines. */
  readonly onEmergencyOutput: (line: Uint8Array) => void;
}

export class NativeDomain extends Domain {
  override readonly vcpus: readonly NativeVcpu[];
  readonly board: Board;
  readonly frames: number;
  private readonly firstFrame: Mfn;

  /** Raises OutOfFramesError if there is not so much memory in one piece. */
  constructor(host: Host, options: NativeDomainOptions) {
    super(host, host.takeDomainId(), options.name);
    const { frames } = options;
    this.frames = frames;
    this.firstFrame = host.frames.tryAllocateContiguous(frames, ALIGNMENT_FRAMES);
    if (this.firstFrame === NO_FRAME) {
      throw new OutOfFramesError(`${frames} neighbouring machine frames wanted, but there are not so many`);
    }
    host.memory.fill(this.firstByte, 0, frames * PAGE_SIZE);
    this.board = new Board({
      clock: host.clock,
      timers: host.timers,
      wallClockMs: options.wallClockMs,
      onInterrupt: () => this.vcpus[0]!.wake(),
      onOutput: options.onOutput,
      onDrain: options.onDrain,
      switches: {
        powerOff: () => this.stop('poweroff'),
        reset: () => this.stop('reboot'),
        emergencyOutput: options.onEmergencyOutput,
      },
    });
    this.vcpus = [new NativeVcpu(this, 0)];
    host.addDomain(this);
  }

  /** Machine address of physical address 0. */
  get firstByte(): Maddr {
    return this.firstFrame * PAGE_SIZE;
  }

  private stop(reason: 'poweroff' | 'reboot'): void {
    this.board.flush();
    this.shutdown(reason);
  }

  protected override release(): void {
    const { host, board, vcpus, firstFrame, frames } = this;
    board.release();
    for (const vcpu of vcpus) host.releaseVcpuState(vcpu.state);
    // Nothing that the processor remembers of these frames may outlive them.
    host.processor.noteTableChange();
    for (let i = 0; i < frames; i++) host.frames.free(firstFrame + i);
  }
}
