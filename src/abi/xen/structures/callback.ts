/** Arguments of callback_op and nmi_op (Xen 4.17, public/callback.h, public/nmi.h). */
import { perAbi, struct, u16, ulong } from '../layout.ts';

/** Selector and address on i386, the address alone on AMD64. */
export const xen_callback = perAbi(struct({ cs: ulong, eip: ulong }), ulong);

export const callback_register = struct('callback_register', {
  /** CALLBACKTYPE_*. */
  type: u16,
  /** CALLBACKF_*. */
  flags: u16,
  address: xen_callback,
});

export const callback_unregister = struct('callback_unregister', { type: u16, _unused: u16 });

/** The NMI handler of vCPU 0. */
export const xennmi_callback = struct('xennmi_callback', { handler_address: ulong, pad: ulong });
