/** A local APIC that does nothing: a kernel that asks anyway hears 0, and what it writes is forgotten. */

/** apic.read */
export function xenApicRead(_register: u32): u32 {
  return 0;
}

/** apic.write */
export function xenApicWrite(_register: u32, _value: u32): void {}

/** apic.icr_read */
export function xenApicIcrRead(): u64 {
  return 0;
}

/** apic.icr_write */
export function xenApicIcrWrite(_low: u32, _destination: u32): void {}

/** apic.wait_icr_idle */
export function xenApicWaitIcrIdle(): void {}

/** apic.safe_wait_icr_idle */
export function xenApicSafeWaitIcrIdle(): u32 {
  return 0;
}
