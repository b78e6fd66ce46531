/** A page that a guest shares with the toolstack, in the machine's memory. */
import { type MachineMemory, type Maddr, type Mfn, PAGE_SIZE } from '../machine/memory.ts';
import type { SharedPage } from './shared-page.ts';

export class MachinePage implements SharedPage {
  private readonly memory: MachineMemory;
  private readonly start: Maddr;

  constructor(memory: MachineMemory, mfn: Mfn) {
    this.memory = memory;
    this.start = mfn * PAGE_SIZE;
  }
  read32(offset: number): number {
    return this.memory.read32(this.start + offset);
  }
  write32(offset: number, value: number): void {
    this.memory.write32(this.start + offset, value);
  }
  readBytes(offset: number, into: Uint8Array): void {
    this.memory.readBytes(this.start + offset, into);
  }
  writeBytes(offset: number, from: Uint8Array): void {
    this.memory.writeBytes(this.start + offset, from);
  }
}
