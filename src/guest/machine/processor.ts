/**
 * The privileged and the peculiar instructions of the processor, by the manual's names, each alone.
 *
 * Above Xen most of them fault or do nothing; only the native back end and what Xen emulates on purpose use them.
 * (Intel SDM, volume 2.)
 */

@external("machine", "readCr0") export declare function readCr0(): u64;
@external("machine", "writeCr0") export declare function writeCr0(value: u64): void;
@external("machine", "readCr2") export declare function readCr2(): u64;
@external("machine", "writeCr2") export declare function writeCr2(value: u64): void;
@external("machine", "readCr3") export declare function readCr3(): u64;
@external("machine", "writeCr3") export declare function writeCr3(value: u64): void;
@external("machine", "readCr4") export declare function readCr4(): u64;
@external("machine", "writeCr4") export declare function writeCr4(value: u64): void;
/** CLTS: clears CR0.TS. */
@external("machine", "clts") export declare function clts(): void;
/** INVLPG: drops the translation of the page with this address. */
@external("machine", "invlpg") export declare function invlpg(address: u64): void;
@external("machine", "wbinvd") export declare function wbinvd(): void;

/** MOV from and to the debug registers that there are. */
@external("machine", "readDr0") export declare function readDr0(): u64;
@external("machine", "writeDr0") export declare function writeDr0(value: u64): void;
@external("machine", "readDr1") export declare function readDr1(): u64;
@external("machine", "writeDr1") export declare function writeDr1(value: u64): void;
@external("machine", "readDr2") export declare function readDr2(): u64;
@external("machine", "writeDr2") export declare function writeDr2(value: u64): void;
@external("machine", "readDr3") export declare function readDr3(): u64;
@external("machine", "writeDr3") export declare function writeDr3(value: u64): void;
@external("machine", "readDr6") export declare function readDr6(): u64;
@external("machine", "writeDr6") export declare function writeDr6(value: u64): void;
@external("machine", "readDr7") export declare function readDr7(): u64;
@external("machine", "writeDr7") export declare function writeDr7(value: u64): void;

/** LGDT, LIDT: the operand is a limit (16 bits) and a base (64 bits, 32 on a 32-bit machine) at `descriptor`. */
@external("machine", "lgdt") export declare function lgdt(descriptor: usize): void;
@external("machine", "lidt") export declare function lidt(descriptor: usize): void;
@external("machine", "ltr") export declare function ltr(selector: u32): void;
@external("machine", "lldt") export declare function lldt(selector: u32): void;
/** Loads CS by a far return to the next instruction. */
@external("machine", "loadCs") export declare function loadCs(selector: u32): void;
@external("machine", "loadSs") export declare function loadSs(selector: u32): void;
@external("machine", "loadDs") export declare function loadDs(selector: u32): void;
@external("machine", "loadEs") export declare function loadEs(selector: u32): void;
@external("machine", "loadFs") export declare function loadFs(selector: u32): void;
@external("machine", "loadGs") export declare function loadGs(selector: u32): void;
@external("machine", "readCs") export declare function readCs(): u32;
@external("machine", "readSs") export declare function readSs(): u32;
@external("machine", "swapgs") export declare function swapgs(): void;

@external("machine", "cli") export declare function cli(): void;
@external("machine", "sti") export declare function sti(): void;
@external("machine", "hlt") export declare function hlt(): void;
/** STI and HLT: no interrupt comes between the two, so none can be slept through. */
@external("machine", "stiHlt") export declare function stiHlt(): void;
@external("machine", "pause") export declare function pause(): void;
/** RFLAGS, by PUSHF and POPF. */
@external("machine", "readFlags") export declare function readFlags(): u64;
@external("machine", "writeFlags") export declare function writeFlags(value: u64): void;

@external("machine", "inb") export declare function inb(port: u32): u32;
@external("machine", "inw") export declare function inw(port: u32): u32;
@external("machine", "inl") export declare function inl(port: u32): u32;
@external("machine", "outb") export declare function outb(port: u32, value: u32): void;
@external("machine", "outw") export declare function outw(port: u32, value: u32): void;
@external("machine", "outl") export declare function outl(port: u32, value: u32): void;

@external("machine", "rdmsr") export declare function rdmsr(register: u32): u64;
@external("machine", "wrmsr") export declare function wrmsr(register: u32, value: u64): void;
@external("machine", "rdtsc") export declare function rdtsc(): u64;
/** CPUID. Writes eax, ebx, ecx, edx, 16 bytes, at `into`. */
@external("machine", "cpuid") export declare function cpuid(leaf: u32, subleaf: u32, into: usize): void;

/** FXSAVE64, FXRSTOR64: 512 bytes at a 16-byte aligned address. FNINIT. */
@external("machine", "fxsave") export declare function fxsave(area: usize): void;
@external("machine", "fxrstor") export declare function fxrstor(area: usize): void;
@external("machine", "fninit") export declare function fninit(): void;

/** INT3. */
@external("machine", "breakpoint") export declare function breakpoint(): void;
/** UD2. Nothing comes after it unless the trap handler steps over its two bytes. */
@external("machine", "undefinedInstruction") export declare function undefinedInstruction(): void;
/** INT with the number of a system call gate, as a test of one's own IDT. */
@external("machine", "int80") export declare function int80(): void;

/** The upper half of a product of two unsigned 64-bit numbers (MUL): pvclock's scaling wants it. */
@external("machine", "multiplyHigh") export declare function multiplyHigh(a: u64, b: u64): u64;
/** The 128-bit number high:low divided by `divisor` (DIV). #DE if the quotient does not fit 64 bits. */
@external("machine", "divideWide") export declare function divideWide(high: u64, low: u64, divisor: u64): u64;
