/**
 * The rings of the two devices that every domain has: the PV console (Xen 4.17, public/io/console.h) and
 * xenstore (public/io/xs_wire.h). Indices run freely; their low bits index the ring. Each is written by one
 * side alone.
 */
import { array, struct, u8, u32 } from '../layout.ts';

/** The console page. */
export const xencons_interface = struct('xencons_interface', {
  /** Towards the guest. */
  in: array(u8, 1024),
  /** From the guest. */
  out: array(u8, 2048),
  /** Guest. */
  in_cons: u32,
  /** Backend. */
  in_prod: u32,
  /** Backend. */
  out_cons: u32,
  /** Guest. */
  out_prod: u32,
});

/** The xenstore page: two byte streams of messages. */
export const xenstore_domain_interface = struct('xenstore_domain_interface', {
  /** From the guest. */
  req: array(u8, 1024),
  /** Towards the guest: replies and watch events. */
  rsp: array(u8, 1024),
  /** xenstored. */
  req_cons: u32,
  /** Guest. */
  req_prod: u32,
  /** Guest. */
  rsp_cons: u32,
  /** xenstored. */
  rsp_prod: u32,
  /** XENSTORE_SERVER_FEATURE_*, written by xenstored. */
  server_features: u32,
  /** XENSTORE_CONNECTED or XENSTORE_RECONNECT. */
  connection: u32,
  /** XENSTORE_ERROR_*, written by xenstored. */
  error: u32,
});

/** The header of a message. */
export const xsd_sockmsg = struct('xsd_sockmsg', {
  /** XS_*. */
  type: u32,
  /** The reply repeats it. */
  req_id: u32,
  /** Transaction; 0: none. */
  tx_id: u32,
  /** Bytes behind the header. */
  len: u32,
});
