/**
 * Small hypercalls about the processor's own registers: fpu_taskswitch, set_debugreg and get_debugreg.
 * (Xen 4.17, arch/x86/pv/misc-hypercalls.c.)
 */
import {
  __HYPERVISOR_fpu_taskswitch,
  __HYPERVISOR_get_debugreg,
  __HYPERVISOR_set_debugreg,
  XEN_ENODEV,
} from '../../abi/xen/numbers/index.ts';
import { debugRegisterHigh, debugRegisterIndex, debugRegisterLow, writeDebugRegister } from '../control.ts';
import type { HypercallFamily } from './dispatch.ts';

export const handlers: HypercallFamily = {
  /** fpu_taskswitch(set): CR0.TS. */
  [__HYPERVISOR_fpu_taskswitch]: (vcpu, args) => {
    vcpu.taskSwitched = args.i32(0) !== 0;
    return 0;
  },
  /** set_debugreg(number, value) */
  [__HYPERVISOR_set_debugreg]: (vcpu, args) =>
    writeDebugRegister(vcpu, args.i32(0), args.low[1]!, args.high[1]!),
  /** get_debugreg(number): the value, or -ENODEV. */
  [__HYPERVISOR_get_debugreg]: (vcpu, args) => {
    const index = debugRegisterIndex(vcpu, args.i32(0));
    if (index < 0) return -XEN_ENODEV;
    return debugRegisterHigh(vcpu, index) * 4294967296 + (debugRegisterLow(vcpu, index) >>> 0);
  },
};
