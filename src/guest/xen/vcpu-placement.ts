/**
 * Moving a vCPU's vcpu_info out of the shared page, which has room for 32 of them. Xen copies what it has there, and from
 * then on uses the new place; it can be chosen once in a domain's life, and again after a resume. (VCPUOP_register_vcpu_info)
 */
import { VCPUOP_register_vcpu_info } from '../../abi/xen/numbers/vcpu.ts';
import {
  SIZEOF_vcpu_info,
  SIZEOF_vcpu_register_vcpu_info,
  vcpu_register_vcpu_info_mfn,
  vcpu_register_vcpu_info_offset,
  vcpu_register_vcpu_info_rsvd,
} from '../abi/structures';
import { xenDisableInterrupts, xenRestoreInterrupts, xenSaveInterrupts } from './event-mask';
import { HYPERVISOR_vcpu_op } from './hypercall';
import { virtToMfn } from './page';
import { nothingBefore, onSuspend } from './suspend-hooks';
import { PAGE_SIZE } from './types';
import { setVcpuInfo } from './vcpu-info';

const FIRST_VCPU: u32 = 0;
const argument: usize = memory.data(SIZEOF_vcpu_register_vcpu_info, 8);
let place: usize = 0;

/** Moves the vcpu_info of this vCPU to `at`, which lies in one page. Returns false if Xen does not want it there. */
export function placeVcpuInfo(at: usize): bool {
  const offset = at & (PAGE_SIZE - 1);
  if (offset + SIZEOF_vcpu_info > PAGE_SIZE) return false;
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  store<u64>(argument, <u64>virtToMfn(at), vcpu_register_vcpu_info_mfn);
  store<u32>(argument, <u32>offset, vcpu_register_vcpu_info_offset);
  store<u32>(argument, 0, vcpu_register_vcpu_info_rsvd);
  const placed = HYPERVISOR_vcpu_op(VCPUOP_register_vcpu_info, FIRST_VCPU, argument) === 0;
  if (placed) {
    setVcpuInfo(at);
    place = at;
    onSuspend(nothingBefore, placeAgain);
  }
  xenRestoreInterrupts(state);
  return placed;
}

function placeAgain(cancelled: bool): void {
  if (!cancelled && !placeVcpuInfo(place)) unreachable();
}
