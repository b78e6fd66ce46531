/** The FXSAVE image of a saved vCPU, into the engine's own form of the same state (Intel SDM 1, 10.5.1). */
import {
  CPU_FPU_CONTROL,
  CPU_FPU_DP,
  CPU_FPU_EMPTY,
  CPU_FPU_IP,
  CPU_FPU_OPCODE,
  CPU_FPU_STATUS,
  CPU_FPU_TOP,
  CPU_MXCSR,
  CPU_X87,
  CPU_XMM,
} from '../machine/layout.ts';
import type { VcpuState } from '../machine/x86/state.ts';

const STACK = 32;
const XMM = 160;
const XMM_BYTES = 256;
const TOP_SHIFT = 11;
const TOP_MASK = 7 << TOP_SHIFT;
/** Bits of MXCSR that exist without DAZ being asked for: all but the reserved upper half. */
const MXCSR_MASK = 0xffff;

/** Loads a 512-byte image. Reserved bits of MXCSR are dropped rather than faulted on. */
export function loadFxsave(state: VcpuState, image: Uint8Array): void {
  const { u8, view } = state.memory;
  const from = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const { base } = state;
  const status = from.getUint16(2, true);
  const top = (status & TOP_MASK) >> TOP_SHIFT;
  view.setUint16(base + CPU_FPU_CONTROL, from.getUint16(0, true), true);
  view.setUint16(base + CPU_FPU_STATUS, status & ~TOP_MASK, true);
  view.setUint32(base + CPU_FPU_TOP, top, true);
  // The image's tag byte has a bit set for each register in use, by physical number.
  view.setUint8(base + CPU_FPU_EMPTY, ~from.getUint8(4) & 0xff);
  view.setUint16(base + CPU_FPU_OPCODE, from.getUint16(6, true), true);
  u8.set(image.subarray(8, 16), base + CPU_FPU_IP);
  u8.set(image.subarray(16, 24), base + CPU_FPU_DP);
  view.setUint32(base + CPU_MXCSR, from.getUint32(24, true) & MXCSR_MASK, true);
  for (let i = 0; i < 8; i++) {
    const physical = (top + i) & 7;
    u8.set(image.subarray(STACK + i * 16, STACK + i * 16 + 10), base + CPU_X87 + physical * 16);
  }
  u8.set(image.subarray(XMM, XMM + XMM_BYTES), base + CPU_XMM);
}
