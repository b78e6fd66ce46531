/**
 * What the hypervisor says of itself (Xen 4.17, public/version.h): xen_version(cmd, pointer).
 */

/** No argument: returns major << 16 | minor. Also called for nothing but the pending events it delivers. */
export const XENVER_version = 0;
/** char[16] */
export const XENVER_extraversion = 1;
/** xen_compile_info */
export const XENVER_compile_info = 2;
/** char[1024] */
export const XENVER_capabilities = 3;
/** char[64] */
export const XENVER_changeset = 4;
/** xen_platform_parameters */
export const XENVER_platform_parameters = 5;
/** xen_feature_info */
export const XENVER_get_features = 6;
/** No argument: returns the page size in bytes. */
export const XENVER_pagesize = 7;
/** xen_domain_handle_t: the 16 bytes of the domain's UUID. */
export const XENVER_guest_handle = 8;
/** char[1024] */
export const XENVER_commandline = 9;
/** xen_build_id */
export const XENVER_build_id = 10;

export const XEN_EXTRAVERSION_LEN = 16;
export const XEN_CAPABILITIES_INFO_LEN = 1024;
export const XEN_CHANGESET_INFO_LEN = 64;
