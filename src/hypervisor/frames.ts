/**
 * Which machine frames are free.
 *
 * Always the lowest free frame first: the same requests in the same order give the same frames, so two runs of a
 * deterministic guest see the same machine addresses. Frame 0 is never given out, so 0 can mean "none".
 *
 * A frame is all zeros when it is given out. One that was used before is scrubbed then and not when it is freed, as Xen puts
 * it off: what an ended domain leaves can still be looked at, and memory that nobody wants any more costs nothing.
 */
import type { Mfn } from '../machine/memory.ts';

export class OutOfFramesError extends Error {
  override readonly name = 'OutOfFramesError';
}

/** What `tryAllocate` returns when nothing is left. */
export const NO_FRAME: Mfn = 0;

export class FrameAllocator {
  /** Bit set = free. */
  private readonly bits: Uint32Array;
  /** Bit set = to be scrubbed before it is given out. */
  private readonly dirty: Uint32Array;
  private readonly scrub: (mfn: Mfn) => void;
  private readonly frames: number;
  private freeFrames: number;
  /** No word below this one has a free frame. */
  private firstWord = 0;

  /** `frames` is the number of machine frames in all, which are zeros; `scrub` makes one so again. */
  constructor(frames: number, scrub: (mfn: Mfn) => void) {
    this.frames = frames;
    this.scrub = scrub;
    this.dirty = new Uint32Array(Math.ceil(frames / 32));
    this.bits = new Uint32Array(Math.ceil(frames / 32));
    this.freeFrames = 0;
    for (let mfn = 1; mfn < frames; mfn++) {
      this.bits[mfn >>> 5]! |= 1 << (mfn & 31);
      this.freeFrames++;
    }
  }

  /** Frames that are free. */
  get available(): number {
    return this.freeFrames;
  }

  /** The lowest free frame, or NO_FRAME. */
  tryAllocate(): Mfn {
    const { bits } = this;
    for (let word = this.firstWord; word < bits.length; word++) {
      const free = bits[word]!;
      if (free === 0) continue;
      this.firstWord = word;
      const mfn = word * 32 + 31 - Math.clz32(free & -free);
      this.take(mfn);
      return mfn;
    }
    this.firstWord = bits.length;
    return NO_FRAME;
  }

  /** `count` frames, lowest first, not necessarily neighbours. All or none: raises OutOfFramesError. */
  allocate(count: number): Uint32Array {
    if (count > this.freeFrames) {
      throw new OutOfFramesError(`${count} machine frames wanted, but only ${this.freeFrames} are free`);
    }
    const mfns = new Uint32Array(count);
    for (let i = 0; i < count; i++) mfns[i] = this.tryAllocate();
    return mfns;
  }

  /** The first of `count` neighbouring frames, the first one at a multiple of `align`, or NO_FRAME. */
  tryAllocateContiguous(count: number, align = 1): Mfn {
    let start = Math.max(align, Math.ceil((this.firstWord * 32) / align) * align);
    search: while (start + count <= this.frames) {
      for (let i = count - 1; i >= 0; i--) {
        if (!this.isFree(start + i)) {
          start = Math.ceil((start + i + 1) / align) * align;
          continue search;
        }
      }
      for (let i = 0; i < count; i++) this.take(start + i);
      return start;
    }
    return NO_FRAME;
  }

  /** Gives a frame back. A frame that is free already is a mistake of this program. */
  free(mfn: Mfn): void {
    if (mfn <= 0 || mfn >= this.frames || this.isFree(mfn)) {
      throw new RangeError(`expected an allocated frame to free, found frame ${mfn}`);
    }
    this.bits[mfn >>> 5]! |= 1 << (mfn & 31);
    this.dirty[mfn >>> 5]! |= 1 << (mfn & 31);
    this.freeFrames++;
    this.firstWord = Math.min(this.firstWord, mfn >>> 5);
  }

  isFree(mfn: Mfn): boolean {
    return ((this.bits[mfn >>> 5]! >>> (mfn & 31)) & 1) !== 0;
  }

  private take(mfn: Mfn): void {
    const word = mfn >>> 5;
    const bit = 1 << (mfn & 31);
    this.bits[word]! &= ~bit;
    this.freeFrames--;
    if ((this.dirty[word]! & bit) === 0) return;
    this.dirty[word]! &= ~bit;
    this.scrub(mfn);
  }
}
