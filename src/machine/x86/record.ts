/**
 * A decoded instruction: 32 bytes in the code cache that a handler reads its operands from.
 *
 * Register operands are byte offsets into the vCPU's register file, so AH is simply RAX + 1 and "no base register" is
 * the register that is always zero. Everything is relative to the page that the instruction lies in: the same record
 * serves a frame mapped at two addresses.
 */
/** u16: index of the handler. */
export const REC_HANDLER = 0;
/** u16: offset of the instruction in its page. */
export const REC_OFFSET = 2;
/** u8: length in bytes. */
export const REC_LENGTH = 4;
/** u8: register offset of ModRM.reg (or of the opcode's register). */
export const REC_REG = 5;
/** u8: register offset of ModRM.rm as a register, or of the base of a memory operand. */
export const REC_RM = 6;
/** u8: register offset of the index. */
export const REC_INDEX = 7;
/** i32: displacement. For RIP-relative operands it counts from the start of the page. */
export const REC_DISPLACEMENT = 8;
/** u8: log2 of the scale. */
export const REC_SCALE = 12;
/** u8: byte offset of the segment's slot in CPU_SEG_SLOTS. */
export const REC_SEGMENT = 13;
/** u8: byte offset of the offset mask in CPU_OFFSET_MASKS. */
export const REC_MASK = 14;
/** u8: instructions from here to the end of the run, this one included. */
export const REC_RUN = 15;
/** i64: immediate, extended as the instruction wants it; for a near branch, the target relative to the page. */
export const REC_IMMEDIATE = 16;
/** u32: record of a branch's target, 0 while unknown. */
export const REC_LINK = 24;
/** u16: ModRM.reg as a plain number (control registers and the like), or a second immediate. */
export const REC_EXTRA = 28;
/** u16: how often control came here by a way that compiled code can begin at. */
export const REC_HEAT = 30;

export const RECORD_SIZE = 32;
export const RECORD_SHIFT = 5;

/** A run holds at most this many instructions. */
export const RUN_LIMIT = 200;

/** Handlers that stand for no instruction; they come first in the handler numbering. */
export const PSEUDO_STOP = 0; // leave: decoding must go on at this record's offset
export const PSEUDO_LINK = 1; // fall through to the record in REC_LINK
export const PSEUDO_NEXT_PAGE = 2; // fall through to this record's offset, which lies in the next page
export const PSEUDO_STRADDLE = 3; // go on if the next page is still the code page whose table REC_DISPLACEMENT names
export const PSEUDO_UNDEFINED = 4; // raise #UD
export const PSEUDO_TOO_LONG = 5; // raise #GP(0): more than 15 bytes
export const PSEUDO_COMPILED = 6; // compiled code begins here; the instruction's own handler is in its heat words
export const PSEUDO_COUNT = 7;
