/**
 * The system calls that the small kernel answers and its programs make: Linux's numbers on x86-64, by the names of its
 * asm/unistd_64.h. (docs/guest.md has the list.)
 */
export const __NR_read: u32 = 0;
export const __NR_write: u32 = 1;
export const __NR_mmap: u32 = 9;
export const __NR_munmap: u32 = 11;
export const __NR_sched_yield: u32 = 24;
export const __NR_nanosleep: u32 = 35;
export const __NR_getpid: u32 = 39;
export const __NR_fork: u32 = 57;
export const __NR_execve: u32 = 59;
export const __NR_exit: u32 = 60;
export const __NR_wait4: u32 = 61;
export const __NR_clock_gettime: u32 = 228;

/** mmap's flags MAP_PRIVATE and MAP_ANONYMOUS: the only kind of mapping there is. */
export const MAP_PRIVATE_ANONYMOUS: u64 = 0x22;
