/**
 * Where everything lives in the one WebAssembly memory of a host.
 *
 * This file is compiled twice: as TypeScript, for the engine and the hypervisor, and as AssemblyScript, for the
 * support functions in `assembly/`. It therefore holds nothing but integer constants.
 *
 *     0x00000  scratch page: address 0 means "fault"; bounce buffers for accesses that cross a page
 *     0x01000  state of the active vCPU (CPU_*)
 *     0x02000  static data of the support functions
 *     0x40000  engine words and tables
 *     0x100000 TLB banks
 *     0x800000 code cache (its size is chosen at start), then the per-frame tables, then the guest frames
 */

export const SCRATCH = 0x40;
/** An address below this limit that comes back from a probe is a bounce buffer, not guest memory. */
export const SCRATCH_LIMIT = 0x1000;
export const SUPPORT_DATA = 0x2000;

// ------------------------------------------------------------------ state of a vCPU, relative to CPU

export const CPU = 0x1000;
export const CPU_SIZE = 0x800;

/** Sixteen 64-bit general registers, in encoding order: rax rcx rdx rbx rsp rbp rsi rdi r8 … r15. */
export const CPU_REGS = 0x000;
/** A register that always reads zero: the base or index of an operand that has none. */
export const REG_ZERO = 0x080;
/** Virtual address of the page that instructions are being executed from: the base of a RIP-relative operand. */
export const REG_PAGE = 0x088;

/** Arithmetic flags, lazily: see `x86/flags.ts`. i64 sign-extended result; i64 carry-out vector; i32 meta. */
export const CPU_FLAG_RESULT = 0x090;
export const CPU_FLAG_CARRY = 0x098;
export const CPU_FLAG_META = 0x0a0;
/** RFLAGS without CF PF AF ZF SF OF; bit 1 is always set. */
export const CPU_FLAGS_OTHER = 0x0a4;
/** i64; exact whenever the run loop is outside WebAssembly. */
export const CPU_RIP = 0x0a8;

/**
 * How compiled code leaves the arithmetic flags, in bits 10–12 of CPU_FLAG_META; everybody else sees kind 0. Operands are
 * zero-extended from the operand size. CPU_FLAG_RESULT and CPU_FLAG_CARRY then hold:
 *
 *     add          a + b, b
 *     subtract     a, b                  of a − b
 *     logic        the result, nothing   no carries at all
 *     increment    a + 1, CF
 *     decrement    a − 1, CF
 */
export const META_KIND_ADD = 0x400;
export const META_KIND_SUBTRACT = 0x800;
export const META_KIND_LOGIC = 0xc00;
export const META_KIND_INCREMENT = 0x1000;
export const META_KIND_DECREMENT = 0x1400;
export const META_KIND_MASK = 0x1c00;

/** Address spaces of operands: eight slots of { i64 base; i64 mask of the linear address }. Slot 0 is flat 64-bit. */
export const CPU_SEG_SLOTS = 0x0b0;
export const SEG_SLOT_SIZE = 16;
/** Slot of a segment register = 1 + its number (ES CS SS DS FS GS). */
export const SEG_SLOT_FLAT = 0;
/** Masks of the offset by address size: { 64-bit, 32-bit, 16-bit }, three i64. */
export const CPU_OFFSET_MASKS = 0x130;

/**
 * Bits of CPU_MODE. Decoded code belongs to one mode. Checked code looks at segment limits and rights, and at alignment,
 * on every access; other code is for segments that let everything pass. CHECKED_FS and CHECKED_GS: of unchecked code,
 * what accesses memory through that segment is checked all the same.
 */
export const MODE_LONG = 1;
export const MODE_CHECKED = 2;
export const MODE_CODE16 = 4;
export const MODE_CHECKED_FS = 8;
export const MODE_CHECKED_GS = 16;

/** Six segment registers { u32 selector; u32 attributes; u32 limit (bytes, inclusive); u32 flags; i64 base }. */
export const CPU_SEGMENTS = 0x150;
export const SEGMENT_SIZE = 24;
/** i64 each. */
export const CPU_CR0 = 0x1e0;
export const CPU_CR2 = 0x1e8;
export const CPU_CR3 = 0x1f0;
export const CPU_CR4 = 0x1f8;
export const CPU_EFER = 0x200;
export const CPU_DR = 0x208; // dr0..dr7, eight i64
/** The bits of DR7 that enable breakpoints. */
export const DR7_ENABLED = 0xff;
/** i64: value that RDTSC adds to the clock; see `clock`. */
export const CPU_TSC_OFFSET = 0x248;
/** i64: TSC_AUX, what RDTSCP leaves in ecx. */
export const CPU_TSC_AUX = 0x250;
/** i64: instructions retired by this vCPU. */
export const CPU_RETIRED = 0x258;

/** Why the engine returned: see `x86/exits.ts`. u32 kind; u32 vector; u32 error code; u32 instruction length. */
export const CPU_EXIT_KIND = 0x260;
export const CPU_EXIT_VECTOR = 0x264;
export const CPU_EXIT_ERROR = 0x268;
export const CPU_EXIT_LENGTH = 0x26c;
/** i64: faulting linear address of a #PF; also in CR2 only when the hypervisor puts it there. */
export const CPU_EXIT_ADDRESS = 0x270;

/** u32: 0 … 3. */
export const CPU_CPL = 0x278;
/** u32: 1 in 64-bit mode, 0 in compatibility (or legacy protected) mode. */
export const CPU_LONG = 0x27c;
/** u32: address of the active TLB bank. */
export const CPU_TLB_BANK = 0x280;
/** u32: decoded code was dropped since guest code was entered: compiled code must not be returned to. */
export const CPU_CODE_CHANGED = 0x284;
/** u32: host address and size of a page-crossing store that waits for `commitStore`. */
export const CPU_PENDING_STORE = 0x288; // u32 size, u32 first host address, u32 second host address, u32 bytes in first
/** u32: budget left, in instructions, while the engine runs. */
export const CPU_BUDGET = 0x298;
/** u32: bits that shape address translation: see PAGING_*. */
export const CPU_PAGING = 0x29c;
/** u32: retired instructions that `rep` iterations added within the running block. */
export const CPU_EXTRA_RETIRED = 0x2a0;
/** u32: a `rep` has iterations left: RIP stays at it. */
export const CPU_REPEAT_AGAIN = 0x2a4;
/** i64: under the virtual clock, what is added to CPU_RETIRED to give nanoseconds. */
export const CPU_CLOCK_BASE = 0x2a8;
/** u32: 1 under the virtual clock: RDTSC counts instructions; 0: it asks the engine's clock. */
export const CPU_CLOCK_VIRTUAL = 0x2b0;

/**
 * Four u8, one for each of SSE, MMX, x87, WAIT in this order: 0, or the exception (#UD or #NM) that CR0.EM, CR0.TS,
 * CR0.MP and CR4.OSFXSR have such instructions raise. Whoever writes CR0 or CR4 keeps it.
 */
export const CPU_FPU_BLOCKED = 0x2b4;
/** u32: address of the record at which the engine left. */
export const CPU_EXIT_RECORD = 0x2b8;
/** u32 each, the interpreter's own: instructions left when the present run was entered, and its first record. */
export const CPU_RUN_LEFT = 0x2bc;
export const CPU_RUN_START = 0x2c0;

/** u32: why compiled code came back, an `Exit`. */
export const CPU_LEAVE = 0x2c4;
/** u32: the record whose own instruction the interpreter must execute, although compiled code begins there; 0 = none. */
export const CPU_SKIPPED = 0x2cc;
/** u32: 1 while a budget is too short for compiled code: the interpreter then finishes it alone. */
export const CPU_FINISHING = 0x2c8;

/** u32 each: where page walks lead: the host address of the guest's physical address 0, and how many frames follow it. */
export const CPU_PHYSICAL_BASE = 0x2d0;
export const CPU_PHYSICAL_FRAMES = 0x2d4;
/** u32: an interrupt waits for RFLAGS.IF: the instruction that sets it ends the run. */
export const CPU_INTERRUPT_WAITS = 0x2d8;
/** i64: RIP behind the last STI that set RFLAGS.IF, or load of SS: no interrupt comes in between (Intel SDM 3A, 6.8.3). */
export const CPU_INTERRUPT_SHADOW = 0x2e0;

/** x87: control word, status word (without TOP), TOP, tag bits (1 = empty), opcode, last instruction and data pointers. */
export const CPU_FPU_CONTROL = 0x300; // u16
export const CPU_FPU_STATUS = 0x302; // u16, TOP kept apart
export const CPU_FPU_TOP = 0x304; // u32
export const CPU_FPU_EMPTY = 0x308; // u8: bit i set = physical register i is empty
export const CPU_FPU_OPCODE = 0x30c; // u16
export const CPU_FPU_IP = 0x310; // i64
export const CPU_FPU_DP = 0x318; // i64
/** u32 MXCSR. */
export const CPU_MXCSR = 0x320;
/** Eight physical x87 registers of 16 bytes { i64 significand; u16 sign and exponent }; MMX register i is significand i. */
export const CPU_X87 = 0x380;
/** Sixteen XMM registers of 16 bytes. */
export const CPU_XMM = 0x400;

/**
 * What an access through each of the eight slots of CPU_SEG_SLOTS must keep to: three i64, { first; readEnd; writeEnd }.
 * Offset o of n bytes is within the segment if first ≤ o, and o + n ≤ the end for its kind of access, all unsigned: 0
 * where the segment may not be read or written at all. Only checked code looks here.
 */
export const CPU_SEG_BOUNDS = 0x600;
export const SEG_BOUNDS_SIZE = 24;
/** u32: what the code at hand is decoded for, without alignment checks: bits of MODE_*. */
export const CPU_MODE = 0x6c0;
/** i32: where in a frame's words of ENGINE_CODE_PAGES the code at hand has its table, −1 for nowhere. */
export const CPU_CODE_SLOT = 0x6f0;
/** u32: all ones while accesses must be aligned (CR0.AM, RFLAGS.AC, CPL 3), else 0. Only checked code looks here. */
export const CPU_ALIGN = 0x6c4;
/** i64 each: base and limit of CS, and the width of an instruction pointer; in 64-bit mode 0 and all ones. */
export const CPU_CODE_BASE = 0x6c8;
export const CPU_CODE_LIMIT = 0x6d0;
export const CPU_CODE_MASK = 0x6d8;
/** i64 each, outside 64-bit mode: bits of rSP that are the stack pointer, and those that moving it leaves as they are. */
export const CPU_STACK_MASK = 0x6e0;
export const CPU_STACK_KEEP = 0x6e8;

/** 64 bytes that support functions use to hand over wide results (80-bit values, 128-bit products). */
export const CPU_WIDE = 0x500;

/** i64: where the caller of the present guest function waits in compiled code; no canonical address if nobody does. */
export const CPU_EXPECTED = 0x540;
/** i64 each: the return address of the last call that the interpreter made, and rsp after it; rsp is 0 for none. */
export const CPU_CALL_RETURN = 0x548;
export const CPU_CALL_RSP = 0x550;
/** u32: the record that the interpreter is to begin with, 0 for what CPU_RIP leads to. */
export const CPU_COLD_RECORD = 0x558;

// ------------------------------------------------------------------ engine words

export const ENGINE = 0x40000;
/** u32: host address of machine frame 0. */
export const ENGINE_FRAMES_BASE = ENGINE + 0x00;
/** u32: number of machine frames. */
export const ENGINE_FRAMES = ENGINE + 0x04;
/** u32: address of the code-line masks, one i64 per frame: bit i = 64-byte line i holds decoded code. */
export const ENGINE_CODE_LINES = ENGINE + 0x08;
/** Up to 64 code frames that stores have touched since the engine last looked: u32 count, then u32 mfn each. */
export const ENGINE_DIRTY_CODE = ENGINE + 0x10;
export const DIRTY_CODE_LIMIT = 64;
/** i64: instructions that the interpreter has retired, of all vCPUs; compiled code retires the others. */
export const ENGINE_INTERPRETED = ENGINE + 0x118;
/** i64 each, by depth of nesting: the return addresses that compiled code waits at. */
export const ENGINE_RETURNS = ENGINE + 0x400;
export const CALL_DEPTH = 200;
/**
 * Of breakpoints of data: u32, not 0 while an instruction is executed that meets some, which it else does not begin with;
 * u32, those it has met, as DR6 shows them.
 */
export const ENGINE_NOTES_BREAKPOINTS = ENGINE + 0x124;
export const ENGINE_BREAKPOINTS_MET = ENGINE + 0x128;
/** In CPU_EXIT_VECTOR, no vector: the instruction would have met a breakpoint of data. */
export const BREAKPOINT_AHEAD = 0x100;
/** u32: address of the tables of decoded pages: for each frame { u32 in 64-bit mode; u32 for 32-bit programs }, 0 = none. */
export const ENGINE_CODE_PAGES = ENGINE + 0x120;
/** Scratch records for single steps and instructions that cross a page. */
export const STEP_RECORDS = ENGINE + 0x1000;
export const STEP_RECORDS_SIZE = 0x3000;

// ------------------------------------------------------------------ TLB

/**
 * A bank is direct-mapped by virtual page number. An entry is
 * { i64 read tag; i64 write tag; i64 execute tag; u32 addend; u32 code page }: a tag is the page's virtual address, or
 * TLB_EMPTY; host address = (low 32 bits of the virtual address) + addend.
 */
export const TLB_BANKS = 0x100000;
export const TLB_ENTRIES = 1024;
export const TLB_ENTRY_SIZE = 32;
export const TLB_BANK_SIZE = 0x8000;
export const TLB_BANK_COUNT = 128;
/** Offset in a bank of an address's entry: (low half of the address >>> TLB_INDEX_SHIFT) & TLB_INDEX_MASK. */
export const TLB_INDEX_SHIFT = 7;
export const TLB_INDEX_MASK = 0x7fe0;
/** Equals no page's address, also where the lowest bits of an address stand beside it, which tell whether it is aligned. */
export const TLB_EMPTY = 0x800;
export const TLB_READ = 0;
export const TLB_WRITE = 8;
export const TLB_EXECUTE = 16;
export const TLB_ADDEND = 24;
export const TLB_CODE = 28;

export const CODE_CACHE = 0x800000;

/**
 * The table of a decoded page: for each of its bytes the record of the instruction that begins there (u32), and further on
 * the number of the compiled function that does (u16); 0 = none.
 */
export const CODE_FUNCTIONS = 0x4000;
export const CODE_TABLE_SIZE = 0x6000;

/**
 * Sixteen bytes for each record of decoded code, at `heat base + (record >> HEAT_SHIFT)`: once compiled, the number of its
 * function (u32) and the handler that the record had (u16); how often that function was left because the TLB did not know an
 * address (u32).
 */
export const HEAT_SHIFT = 1;
export const HEAT_HANDLER = 4;
export const HEAT_MISSES = 8;

// ------------------------------------------------------------------ paging

/** Bits of CPU_PAGING. */
export const PAGING_WRITE_PROTECT = 1;
export const PAGING_NX = 2;
export const PAGING_LONG = 4;
export const PAGING_PAE = 8;
export const PAGING_ON = 16;
export const PAGING_SMEP = 32;
export const PAGING_SMAP = 64;

/** Bits of a page-table entry (Intel SDM 3A, 4.5). */
export const PTE_PRESENT = 0x001;
export const PTE_WRITE = 0x002;
export const PTE_USER = 0x004;
export const PTE_ACCESSED = 0x020;
export const PTE_DIRTY = 0x040;
export const PTE_PSE = 0x080;
export const PTE_GLOBAL = 0x100;

/** Bits of a #PF error code. */
export const PF_PRESENT = 1;
export const PF_WRITE = 2;
export const PF_USER = 4;
export const PF_RESERVED = 8;
export const PF_FETCH = 16;
