/**
 * The paravirtual operations: everything that a kernel cannot do by itself because it depends on what the kernel runs on.
 * A kernel calls these and nothing below them; the back end that recognizes its surroundings at boot (`../xen`, `../native`)
 * puts its own functions behind each name, and may later put instructions in the calls' place (`patch.ts`).
 *
 * They come in tables, as Linux had them in the days of pv_info, pv_init_ops, pv_time_ops, pv_cpu_ops, pv_irq_ops,
 * pv_apic_ops and pv_mmu_ops, and carry Linux's names where it has one. `info.ts` is the first, which has no functions.
 *
 * Pointers are addresses of this module; a `u64` address is the machine's. Page-table entries are raw, as they stand in a
 * table; `makePte` and `pteVal` convert (mmu, below).
 */

// ---------------------------------------------------------------------------------------------------------------- init

/** Fills in up to `room` entries of a memory map (XENMEM_memory_map's form) at `map`. Returns how many there are. */
@external("operation", "init.memory_setup") export declare function memorySetup(map: usize, room: u32): u32;
/** What the back end does once memory, traps and interrupts work. */
@external("operation", "init.arch_setup") export declare function archSetup(): void;
/**
 * Writes code for the operation of `slot` to `buffer`, to stand at machine address `address`, where there are `bytes` bytes.
 * Returns how many it wrote; 0: the call has to stay.
 */
@external("operation", "init.patch")
export declare function patchOperation(slot: usize, buffer: usize, address: u64, bytes: u32, clobbers: u32): u32;

// ---------------------------------------------------------------------------------------------------------------- irq
// The hot four. Their state is RFLAGS as far as it concerns interrupts: bit 9 set means that they come.

@external("operation.room16", "irq.save_fl") export declare function saveFlags(): u64;
@external("operation.room32", "irq.restore_fl") export declare function restoreFlags(flags: u64): void;
@external("operation.room8", "irq.irq_disable") export declare function disableInterrupts(): void;
@external("operation.room24", "irq.irq_enable") export declare function enableInterrupts(): void;
/** Sets up the delivery of interrupts, all still masked one by one. */
@external("operation", "irq.init_IRQ") export declare function initInterrupts(): void;
/** Enables interrupts and waits for one; none can be slept through. */
@external("operation", "irq.safe_halt") export declare function safeHalt(): void;
/** Stops this processor for good: interrupts are disabled first. */
@external("operation", "irq.halt") export declare function haltProcessor(): void;

// ---------------------------------------------------------------------------------------------------------------- time

/** Finds the clock and binds its interrupt to what `onTimer` (handlers.ts) registered. */
@external("operation", "time.time_init") export declare function timeInit(): void;
/** Nanoseconds since some moment before boot; never goes back. */
@external("operation", "time.sched_clock") export declare function schedClock(): u64;
/** Nanoseconds since 1970. */
@external("operation", "time.get_wallclock") export declare function getWallclock(): u64;
/** Returns 0, or -1 where the clock is not ours to set. */
@external("operation", "time.set_wallclock") export declare function setWallclock(nanoseconds: u64): i32;
@external("operation", "time.get_tsc_khz") export declare function getTscKhz(): u32;
/** One timer interrupt `nanoseconds` from now. A new one replaces it. */
@external("operation", "time.set_next_event") export declare function setNextEvent(nanoseconds: u64): void;
/** No timer interrupt. */
@external("operation", "time.shutdown") export declare function stopTimer(): void;

// ---------------------------------------------------------------------------------------------------------------- cpu

/** CPUID, without what a kernel must not find here. Writes eax, ebx, ecx, edx, 16 bytes, at `into`. */
@external("operation", "cpu.cpuid") export declare function cpuid(leaf: u32, subleaf: u32, into: usize): void;
@external("operation", "cpu.read_cr0") export declare function readCr0(): u64;
@external("operation", "cpu.write_cr0") export declare function writeCr0(value: u64): void;
/** Clears CR0.TS. */
@external("operation", "cpu.clts") export declare function clts(): void;
@external("operation", "cpu.read_cr4") export declare function readCr4(): u64;
@external("operation", "cpu.write_cr4") export declare function writeCr4(value: u64): void;
@external("operation", "cpu.get_debugreg") export declare function getDebugRegister(index: u32): u64;
@external("operation", "cpu.set_debugreg") export declare function setDebugRegister(index: u32, value: u64): void;
@external("operation", "cpu.read_msr") export declare function readMsr(register: u32): u64;
@external("operation", "cpu.write_msr") export declare function writeMsr(register: u32, value: u64): void;
@external("operation", "cpu.read_tsc") export declare function readTsc(): u64;
@external("operation", "cpu.wbinvd") export declare function writeBackCaches(): void;
@external("operation", "cpu.io_delay") export declare function ioDelay(): void;

/** Descriptor tables: whole pages of the kernel, from a page boundary. `entries` of 8 bytes (16 for an IDT of 64 bits). */
@external("operation", "cpu.load_gdt") export declare function loadGdt(table: usize, entries: u32): void;
@external("operation", "cpu.write_gdt_entry")
export declare function writeGdtEntry(table: usize, index: u32, descriptor: u64): void;
@external("operation", "cpu.load_idt") export declare function loadIdt(table: usize, entries: u32): void;
/** A gate; `high` is its upper half, 0 for 32 bits. */
@external("operation", "cpu.write_idt_entry")
export declare function writeIdtEntry(table: usize, index: u32, low: u64, high: u64): void;
@external("operation", "cpu.set_ldt") export declare function setLdt(table: usize, entries: u32): void;
@external("operation", "cpu.write_ldt_entry")
export declare function writeLdtEntry(table: usize, index: u32, descriptor: u64): void;
/** Loads the task register. */
@external("operation", "cpu.load_tr_desc") export declare function loadTaskRegister(): void;
/** Puts the three descriptors at `tls` into the GDT's slots for them (segments.ts). */
@external("operation", "cpu.load_tls") export declare function loadTls(tls: usize): void;
/** Where the kernel's stack begins when a trap or a system call comes from user mode: to be set at each switch of tasks. */
@external("operation", "cpu.load_sp0") export declare function loadSp0(top: usize): void;
/** The base of the user's FS. */
@external("operation", "cpu.write_fs_base") export declare function writeFsBase(base: u64): void;
/**
 * Whether the user may use ports: the IOPL in RFLAGS' place (bits 12 and 13). The kernel puts it into the user's own flags,
 * too, which count on the bare machine.
 */
@external("operation", "cpu.set_iopl_mask") export declare function setIoplMask(mask: u32): void;
/** The address for vector `vector`'s gate: the entry that ends in `handleTrap` (handlers.ts). */
@external("operation", "cpu.trap_entry") export declare function trapEntry(vector: u32): u64;
/** Lets SYSCALL come to what `onSystemCall` (handlers.ts) registered. */
@external("operation", "cpu.enable_syscall") export declare function enableSystemCalls(): void;
/**
 * A switch of tasks: what is changed between these two may be told to the hypervisor at once, at the end. A kernel that
 * switches tasks in the middle of lazy updates keeps `leftLazyMmu()` with the one task in between, and gives
 * `setLeftLazyMmu` what it kept with the other (lazy.ts).
 */
@external("operation", "cpu.start_context_switch") export declare function startContextSwitch(): void;
@external("operation", "cpu.end_context_switch") export declare function endContextSwitch(): void;

// ---------------------------------------------------------------------------------------------------------------- apic

@external("operation", "apic.read") export declare function apicRead(register: u32): u32;
@external("operation", "apic.write") export declare function apicWrite(register: u32, value: u32): void;
@external("operation", "apic.icr_read") export declare function apicIcrRead(): u64;
@external("operation", "apic.icr_write") export declare function apicIcrWrite(low: u32, destination: u32): void;
@external("operation", "apic.wait_icr_idle") export declare function apicWaitIcrIdle(): void;
/** The same with an end to its patience. Returns 0 if it is idle. */
@external("operation", "apic.safe_wait_icr_idle") export declare function apicSafeWaitIcrIdle(): u32;

// ---------------------------------------------------------------------------------------------------------------- mmu

/** The address of the last page fault. */
@external("operation", "mmu.read_cr2") export declare function readCr2(): u64;
/** Changes it where it is kept in memory, as above Xen; the processor's own is left alone. */
@external("operation", "mmu.write_cr2") export declare function writeCr2(value: u64): void;
/** The physical address of the root table in use. */
@external("operation", "mmu.read_cr3") export declare function readCr3(): u64;
/** Loads an address space (address-space.ts), which drops what the TLB knows of the one before. */
@external("operation", "mmu.write_cr3") export declare function writeCr3(space: usize): void;

/** Before a space is loaded for the first time; after its tables were copied for a fork; before they are taken apart. */
@external("operation", "mmu.activate_mm") export declare function activateSpace(space: usize): void;
@external("operation", "mmu.dup_mmap") export declare function duplicatedSpace(space: usize): void;
@external("operation", "mmu.exit_mmap") export declare function exitSpace(space: usize): void;

@external("operation", "mmu.flush_tlb_user") export declare function flushTlbUser(): void;
@external("operation", "mmu.flush_tlb_kernel") export declare function flushTlbKernel(): void;
@external("operation", "mmu.flush_tlb_single") export declare function flushTlbSingle(address: u64): void;
/** On all processors that use `space`, this one too: one page, or all if `address` is all ones. */
@external("operation", "mmu.flush_tlb_others")
export declare function flushTlbOthers(space: usize, address: u64): void;

/** The roots of a new space: `page` becomes its root, with the kernel's half filled in. Returns 0, or -1 without memory. */
@external("operation", "mmu.pgd_alloc") export declare function pgdAlloc(space: usize, page: usize): i32;
/** The space's root, which is in use no more, becomes an ordinary page again. */
@external("operation", "mmu.pgd_free") export declare function pgdFree(space: usize): void;
/** A page is about to be linked into a space's tables, as a table of level 1, 2 or 3. */
@external("operation", "mmu.alloc_pte") export declare function allocPte(space: usize, page: usize): void;
@external("operation", "mmu.alloc_pmd") export declare function allocPmd(space: usize, page: usize): void;
@external("operation", "mmu.alloc_pud") export declare function allocPud(space: usize, page: usize): void;
/** It was taken out, and may be anything from now on. */
@external("operation", "mmu.release_pte") export declare function releasePte(page: usize): void;
@external("operation", "mmu.release_pmd") export declare function releasePmd(page: usize): void;
@external("operation", "mmu.release_pud") export declare function releasePud(page: usize): void;

/** Sets the level-1 entry at `entry`. */
@external("operation", "mmu.set_pte") export declare function setPte(entry: usize, value: u64): void;
/** The same where the address is known, in the space that is loaded or in another. */
@external("operation", "mmu.set_pte_at")
export declare function setPteAt(space: usize, address: u64, entry: usize, value: u64): void;
@external("operation", "mmu.set_pmd") export declare function setPmd(entry: usize, value: u64): void;
@external("operation", "mmu.set_pud") export declare function setPud(entry: usize, value: u64): void;
/** Sets an entry of a space's root. */
@external("operation", "mmu.set_pgd")
export declare function setPgd(space: usize, entry: usize, value: u64): void;
/** Makes a level-1 entry 0 and returns what it was, with the accessed and dirty bits that came in last. */
@external("operation", "mmu.ptep_get_and_clear") export declare function getAndClearPte(entry: usize): u64;
/** Begins a change of an entry's rights: returns it; bits that the processor sets meanwhile are kept by the end. */
@external("operation", "mmu.ptep_modify_prot_start")
export declare function startProtectionChange(space: usize, address: u64, entry: usize): u64;
@external("operation", "mmu.ptep_modify_prot_commit")
export declare function commitProtectionChange(space: usize, address: u64, entry: usize, value: u64): void;

/** An entry of any level from (pseudo-)physical address and flags, and back. */
@external("operation", "mmu.make_pte") export declare function makePte(value: u64): u64;
@external("operation", "mmu.pte_val") export declare function pteVal(entry: u64): u64;

/**
 * The kernel takes over the tables that it was started with, and returns the root. Until the second of these it only adds:
 * an entry that exists is not made more permissive, whatever is set there, for some of these pages are the tables.
 */
@external("operation", "mmu.pagetable_setup_start") export declare function pagetableSetupStart(): usize;
@external("operation", "mmu.pagetable_setup_done") export declare function pagetableSetupDone(): void;
/** Maps the page at physical address `physical`, or at a device's machine address, at a fixed virtual one. */
@external("operation", "mmu.set_fixmap")
export declare function setFixmap(page: usize, physical: u64, flags: u64): void;

/** Updates between these two may be kept back and made together. No nesting (lazy.ts). */
@external("operation", "mmu.lazy_mode.enter") export declare function enterLazyMmu(): void;
@external("operation", "mmu.lazy_mode.leave") export declare function leaveLazyMmu(): void;
/** Within them: what was kept back is made now. */
@external("operation", "mmu.lazy_mode.flush") export declare function flushLazyMmu(): void;

// ------------------------------------------------------------------------------------------------- console and machine
// Linux keeps these elsewhere (hvc drivers, pm_power_off, machine_ops); a small kernel wants them in the same place.

/** Finds the console. What comes in is told to what `onConsoleInput` (handlers.ts) registered, once interrupts work. */
@external("operation", "console.setup") export declare function consoleSetup(): void;
/** Writes what there is room for at once. Returns how many bytes that was. */
@external("operation", "console.write") export declare function consoleWrite(text: usize, bytes: usize): usize;
/** Takes up to `bytes` bytes of what was typed. Returns how many there were. */
@external("operation", "console.read") export declare function consoleRead(into: usize, bytes: usize): usize;
/** None of these comes back. */
@external("operation", "machine.power_off") export declare function powerOff(): void;
@external("operation", "machine.restart") export declare function restart(): void;
@external("operation", "machine.crash") export declare function crash(): void;
