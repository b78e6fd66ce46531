/** time and cpu: clocks, CPUID, control and debug registers, descriptor tables. */
import { loadFs } from '../../machine/processor';
import { kernelRpl, ON_XEN, platform } from '../../paravirt/info';
import {
  apicIcrRead,
  apicIcrWrite,
  apicRead,
  apicSafeWaitIcrIdle,
  apicWaitIcrIdle,
  apicWrite,
  clts,
  cpuid,
  getDebugRegister,
  getTscKhz,
  getWallclock,
  ioDelay,
  loadGdt,
  loadTaskRegister,
  loadTls,
  readCr0,
  readCr2,
  readCr4,
  readMsr,
  readTsc,
  schedClock,
  setDebugRegister,
  setIoplMask,
  setLdt,
  setWallclock,
  writeBackCaches,
  writeCr0,
  writeCr2,
  writeCr4,
  writeFsBase,
  writeGdtEntry,
  writeLdtEntry,
  writeMsr,
} from '../../paravirt/operations';
import { DESCRIPTOR_DPL_SHIFT, GDT_TLS_FIRST } from '../../paravirt/segments';
import { takePage } from './memory';
import { check, checkEqual } from './output';

const YEAR_2023: u64 = 1672531200000000000;
/** A flat segment of data, DPL 0, and what Xen makes of it. */
const DATA: u64 = 0x00cf92000000ffff;
const registers: usize = memory.data(16, 8);
const tls: usize = memory.data(24, 8);

export function testClocks(): void {
  const first = schedClock();
  const tsc = readTsc();
  let last = first;
  let backwards = false;
  for (let i = 0; i < 1000; i++) {
    const now = schedClock();
    if (now < last) backwards = true;
    last = now;
  }
  check('sched_clock never goes back', !backwards);
  check('sched_clock moves', last > first);
  const nanoseconds = schedClock() - first;
  const ticks = readTsc() - tsc;
  const khz = <u64>getTscKhz();
  check('get_tsc_khz', khz > 1000);
  // Both were read one after the other, so the second ran a little longer.
  const expected = (ticks * 1000000) / khz;
  check('sched_clock and read_tsc agree', nanoseconds >= expected / 2 && nanoseconds <= expected * 2);
  check('get_wallclock', getWallclock() > YEAR_2023);
  if (platform === ON_XEN) checkEqual('set_wallclock is not ours', <u64>(<i64>setWallclock(0)), ~(<u64>0));
}

function cpuidEdx(leaf: u32): u32 {
  cpuid(leaf, 0, registers);
  return load<u32>(registers, 12);
}

export function testRegisters(): void {
  cpuid(0, 0, registers);
  check('cpuid tells a vendor', load<u32>(registers, 4) !== 0 && load<u32>(registers) >= 1);
  const features = cpuidEdx(1);
  if (platform === ON_XEN) {
    checkEqual('cpuid hides APIC and ACPI', features & ((1 << 9) | (1 << 22)), 0);
    checkEqual('cpuid hides large and global pages', features & ((1 << 3) | (1 << 13)), 0);
  }
  check('cpuid leaves what there is', (features & 1) !== 0 && (features & (1 << 26)) !== 0);
  check('cr0: protected, paging', (readCr0() & 0x80000001) === 0x80000001);
  writeCr0(readCr0() | 8);
  checkEqual('write_cr0 sets TS', readCr0() & 8, 8);
  clts();
  checkEqual('clts', readCr0() & 8, 0);
  const cr4 = readCr4();
  check('cr4: PAE', (cr4 & 0x20) !== 0);
  writeCr4(cr4 | 0x80);
  if (platform === ON_XEN) checkEqual('write_cr4 leaves global pages off', readCr4() & 0x80, cr4 & 0x80);
  writeCr4(cr4);
  setDebugRegister(0, 0x1234);
  checkEqual('debug registers', getDebugRegister(0), 0x1234);
  setDebugRegister(0, 0);
  writeFsBase(0x123456789000);
  checkEqual('write_fs_base, read_msr', readMsr(0xc0000100), 0x123456789000);
  writeFsBase(0);
  writeMsr(0xc0000100, 0x2000);
  checkEqual('write_msr', readMsr(0xc0000100), 0x2000);
  writeFsBase(0);
  writeCr2(0x1234);
  checkEqual('write_cr2, read_cr2', readCr2(), 0x1234);
  writeBackCaches();
  ioDelay();
  apicIcrWrite(0, 0);
  apicWaitIcrIdle();
  setIoplMask(0x1000);
  setIoplMask(0);
  loadTaskRegister();
  apicWrite(0x300, 5);
  checkEqual(
    'an APIC that does nothing',
    <u64>apicRead(0x20) | apicIcrRead() | <u64>apicSafeWaitIcrIdle(),
    0,
  );
}

function atKernelRing(descriptor: u64): u64 {
  return descriptor | ((<u64>kernelRpl) << DESCRIPTOR_DPL_SHIFT);
}

let gdt: usize = 0;
/** An entry of the GDT that belongs to no back end. */
const OURS: u32 = 15;
const ACCESSED: u64 = 0x10000000000;

/** A descriptor without the bit that the processor sets. */
function descriptor(table: usize, index: u32): u64 {
  return load<u64>(table + index * 8) & ~ACCESSED;
}

export function testSegments(): void {
  gdt = takePage();
  store<u64>(gdt + OURS * 8, DATA);
  loadGdt(gdt, OURS + 1);
  checkEqual('load_gdt brings descriptors to our ring', descriptor(gdt, OURS), atKernelRing(DATA));
  writeGdtEntry(gdt, OURS, 0);
  checkEqual('write_gdt_entry takes one away', descriptor(gdt, OURS), 0);
  writeGdtEntry(gdt, OURS, DATA);
  checkEqual('write_gdt_entry', descriptor(gdt, OURS), atKernelRing(DATA));
  loadFs((OURS << 3) | kernelRpl);
  check('a selector of it can be loaded', true);
  loadFs(0);
  store<u64>(tls, DATA);
  store<u64>(tls, DATA, 16);
  loadTls(tls);
  checkEqual('load_tls: the first', descriptor(gdt, GDT_TLS_FIRST), atKernelRing(DATA));
  checkEqual('load_tls: the second is none', descriptor(gdt, GDT_TLS_FIRST + 1), 0);
  checkEqual('load_tls: the third', descriptor(gdt, GDT_TLS_FIRST + 2), atKernelRing(DATA));
  const ldt = takePage();
  store<u64>(ldt, DATA);
  setLdt(ldt, 8);
  loadFs(4 | kernelRpl);
  check('set_ldt: a selector of it can be loaded', true);
  loadFs(0);
  writeLdtEntry(ldt, 1, DATA);
  checkEqual('write_ldt_entry', descriptor(ldt, 1), atKernelRing(DATA));
  setLdt(0, 0);
}
