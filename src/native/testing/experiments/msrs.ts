/** Numbers of model-specific registers. */
export const EFER = 0xc0000080;
export const STAR = 0xc0000081;
export const LSTAR = 0xc0000082;
export const CSTAR = 0xc0000083;
export const SFMASK = 0xc0000084;
export const FS_BASE = 0xc0000100;
export const GS_BASE = 0xc0000101;
export const KERNEL_GS_BASE = 0xc0000102;
export const TSC_AUX = 0xc0000103;
