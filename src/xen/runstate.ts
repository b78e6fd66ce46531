/**
 * Where a vCPU's life goes: running, runnable but waiting for the processor, blocked, or offline.
 *
 * Xen counts nanoseconds in each state and, if the guest registered an area of its own memory, keeps a copy there; the
 * guest computes stolen time from it. (Xen 4.17, xen/common/sched/core.c: vcpu_runstate_change; arch/x86/domain.c:
 * update_runstate_area; public/vcpu.h.)
 */
import { RUNSTATE_offline } from '../abi/xen/numbers/vcpu.ts';
import { vcpu_runstate_info } from '../abi/xen/structures/sched.ts';

const TWO_32 = 4294967296;

export class Runstate {
  /** RUNSTATE_*. */
  state: number = RUNSTATE_offline;
  private entryNs: number;
  /** Nanoseconds in each state, up to `entryNs`. */
  private readonly timesNs = [0, 0, 0, 0];

  constructor(nowNs: number) {
    this.entryNs = nowNs;
  }

  /** Enters a state; does nothing if it is the present one. */
  change(state: number, nowNs: number): void {
    if (state === this.state) return;
    this.settle(nowNs);
    this.state = state;
  }

  /** Nanoseconds spent in RUNSTATE_`state` so far. */
  timeNs(state: number, nowNs: number): number {
    return this.timesNs[state]! + (state === this.state ? nowNs - this.entryNs : 0);
  }

  /**
   * A vcpu_runstate_info in the layout of the guest. The area holds the times up to the last change of state; with
   * `nowNs`, VCPUOP_get_runstate_info's answer, they run up to now.
   */
  encode(is64: boolean, nowNs?: number): Uint8Array {
    const { size, offset } = vcpu_runstate_info[is64 ? 'x64' : 'x32'];
    const view = new DataView(new ArrayBuffer(size));
    view.setInt32(offset.state, this.state, true);
    setNs(view, offset.state_entry_time, this.entryNs);
    this.timesNs.forEach((ns, state) => {
      setNs(view, offset.time + state * 8, nowNs === undefined ? ns : this.timeNs(state, nowNs));
    });
    return new Uint8Array(view.buffer);
  }

  private settle(nowNs: number): void {
    const delta = nowNs - this.entryNs;
    if (delta <= 0) return;
    this.timesNs[this.state]! += delta;
    this.entryNs = nowNs;
  }
}

function setNs(view: DataView, offset: number, ns: number): void {
  view.setUint32(offset, ns >>> 0, true);
  view.setUint32(offset + 4, Math.floor(ns / TWO_32) >>> 0, true);
}
