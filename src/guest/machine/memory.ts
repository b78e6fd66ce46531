/**
 * Memory: where the module's own memory lies, and how to reach everything else.
 *
 * An address of the module (`usize`, 32 bits) is a machine address cut to its low half: the image and the kernel's direct
 * map lie in the topmost 2 GiB, so 0x80100000 means 0xffffffff80100000. `load<T>(pointer)` and fields of `@unmanaged`
 * classes reach those. What lies elsewhere (Xen's tables, a user's pages) is reached here, by its full address (`u64`),
 * in one instruction each. On a 32-bit machine the upper half of an address is ignored.
 *
 * The accesses named `probe…` may fault and survive: the trap handler must ask `fixException` (exception-table.ts).
 */

/** The machine address of a place in the module's memory. */
export function native(pointer: usize): u64 {
  return <u64>(<i64>(<i32>pointer));
}

@external("machine", "load8") export declare function load8(address: u64): u32;
@external("machine", "load16") export declare function load16(address: u64): u32;
@external("machine", "load32") export declare function load32(address: u64): u32;
@external("machine", "load64") export declare function load64(address: u64): u64;
@external("machine", "store8") export declare function store8(address: u64, value: u32): void;
@external("machine", "store16") export declare function store16(address: u64, value: u32): void;
@external("machine", "store32") export declare function store32(address: u64, value: u32): void;
@external("machine", "store64") export declare function store64(address: u64, value: u64): void;

/** Reads from an address that may not be mapped. Gives 0 and the value at `into`, or 1 after a fault. */
@external("machine", "probeLoad32") export declare function probeLoad32(address: u64, into: usize): i32;
@external("machine", "probeLoad64") export declare function probeLoad64(address: u64, into: usize): i32;
/** Writes to an address that may not be writable. Gives 0, or 1 after a fault. */
@external("machine", "probeStore64") export declare function probeStore64(address: u64, value: u64): i32;
/** Copies upwards where either side may fault. Gives how many bytes were not copied: 0 is success. */
@external("machine", "probeCopy") export declare function probeCopy(to: u64, from: u64, bytes: u64): u64;

/** Copies upwards, byte by byte in effect (`rep movsb`). Inside the module's memory `memory.copy` does. */
@external("machine", "copy") export declare function copy(to: u64, from: u64, bytes: u64): void;
/** Fills with a byte (`rep stosb`). Inside the module's memory `memory.fill` does. */
@external("machine", "fill") export declare function fill(to: u64, value: u32, bytes: u64): void;

/** LOCK CMPXCHG: stores `desired` if `expected` is there. Gives what was there. */
@external("machine", "compareExchange64")
export declare function compareExchange64(address: u64, expected: u64, desired: u64): u64;
@external("machine", "compareExchange32")
export declare function compareExchange32(address: u64, expected: u32, desired: u32): u32;
/** XCHG: stores a value and gives what was there. */
@external("machine", "exchange8") export declare function exchange8(address: u64, value: u32): u32;
@external("machine", "exchange32") export declare function exchange32(address: u64, value: u32): u32;
@external("machine", "exchange64") export declare function exchange64(address: u64, value: u64): u64;
/** LOCK OR and LOCK AND on a byte. */
@external("machine", "lockOr8") export declare function lockOr8(address: u64, value: u32): void;
@external("machine", "lockAnd8") export declare function lockAnd8(address: u64, value: u32): void;
/** LOCK BTS, BTR: sets or clears bit `bit` of the bit string at `address`. Gives what it was, 0 or 1. */
@external("machine", "lockSetBit") export declare function lockSetBit(address: u64, bit: u32): u32;
@external("machine", "lockClearBit") export declare function lockClearBit(address: u64, bit: u32): u32;
/** INC: adds 1 to a u64 of the module's memory, and no interrupt comes between. */
@external("machine", "increment64") export declare function increment64(pointer: usize): void;
/** MFENCE: no access moves across it. */
@external("machine", "fence") export declare function fence(): void;
