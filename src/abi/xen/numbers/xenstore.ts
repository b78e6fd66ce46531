/**
 * xenstore's wire protocol and the states of a xenbus device (Xen 4.17, public/io/xs_wire.h,
 * public/io/xenbus.h).
 */

// xsd_sockmsg.type

/** Debugging and control of the daemon; XS_DEBUG is its old name. */
export const XS_CONTROL = 0;
export const XS_DIRECTORY = 1;
export const XS_READ = 2;
export const XS_GET_PERMS = 3;
export const XS_WATCH = 4;
export const XS_UNWATCH = 5;
export const XS_TRANSACTION_START = 6;
export const XS_TRANSACTION_END = 7;
export const XS_INTRODUCE = 8;
export const XS_RELEASE = 9;
export const XS_GET_DOMAIN_PATH = 10;
export const XS_WRITE = 11;
export const XS_MKDIR = 12;
export const XS_RM = 13;
export const XS_SET_PERMS = 14;
/** Server to client, unasked: path and token of a watch that fired. */
export const XS_WATCH_EVENT = 15;
/** Server to client: the payload is the name of an errno, such as "ENOENT". */
export const XS_ERROR = 16;
export const XS_IS_DOMAIN_INTRODUCED = 17;
export const XS_RESUME = 18;
export const XS_SET_TARGET = 19;
/** 20 was XS_RESTRICT. */
export const XS_RESET_WATCHES = 21;
export const XS_DIRECTORY_PART = 22;
/** One more than the last. */
export const XS_TYPE_COUNT = 23;
export const XS_INVALID = 0xffff;

/** Bytes of each of the two rings of xenstore_domain_interface. */
export const XENSTORE_RING_SIZE = 1024;
/** Bytes of a message behind its header. */
export const XENSTORE_PAYLOAD_MAX = 4096;
/** Bytes, without the NUL. */
export const XENSTORE_ABS_PATH_MAX = 3072;
export const XENSTORE_REL_PATH_MAX = 2048;

// xenstore_domain_interface.server_features

export const XENSTORE_SERVER_FEATURE_RECONNECTION = 1;
export const XENSTORE_SERVER_FEATURE_ERROR = 2;

// xenstore_domain_interface.connection

export const XENSTORE_CONNECTED = 0;
/** Set by the guest, who waits for XENSTORE_CONNECTED. */
export const XENSTORE_RECONNECT = 1;

// xenstore_domain_interface.error

export const XENSTORE_ERROR_NONE = 0;
export const XENSTORE_ERROR_COMM = 1;
export const XENSTORE_ERROR_RINGIDX = 2;
export const XENSTORE_ERROR_PROTO = 3;

// The `state` node of a device, in decimal

export const XenbusStateUnknown = 0;
export const XenbusStateInitialising = 1;
/** Backend: the frontend's details are awaited. */
export const XenbusStateInitWait = 2;
/** Frontend: rings and event channels are in place. */
export const XenbusStateInitialised = 3;
export const XenbusStateConnected = 4;
export const XenbusStateClosing = 5;
export const XenbusStateClosed = 6;
export const XenbusStateReconfiguring = 7;
export const XenbusStateReconfigured = 8;
