/** flush_tlb_others: an entry that the TLB still has after its table says something else, and has no more afterwards. */
import { physicalOf, takePage } from '../../kernel/selftest/memory';
import { check, checkEqual } from '../../kernel/selftest/output';
import { table, testAdoptedTables } from '../../kernel/selftest/tables';
import { load64 } from '../../machine/memory';
import { flushTlbOthers, flushTlbSingle, makePte, setPte } from '../operations';

/** The self-test's table is that of these 2 MiB; it leaves this entry alone. */
const ENTRY: usize = 500;
const PLACE: u64 = 0xffffffffb0000000 + 500 * 4096;
const FLAGS: u64 = 0x63;
const ALL: u64 = ~(<u64>0);
/** A TLB may forget at any time, so once is not enough. */
const ROUNDS = 50;

export function testOtherTlbs(): void {
  testAdoptedTables();
  testFlush('flush_tlb_others: one page', PLACE);
  testFlush('flush_tlb_others: everything', ALL);
}

function testFlush(name: string, address: u64): void {
  const first = takePage();
  const second = takePage();
  store<u64>(first, 1);
  store<u64>(second, 2);
  const at = table + ENTRY * 8;
  let stale: u64 = 0;
  let wrong: u64 = 0;
  for (let i = 0; i < ROUNDS; i++) {
    setPte(at, makePte(physicalOf(first) | FLAGS));
    flushTlbSingle(PLACE);
    if (load64(PLACE) !== 1) wrong++;
    setPte(at, makePte(physicalOf(second) | FLAGS));
    if (load64(PLACE) === 1) stale++;
    flushTlbOthers(0, address);
    if (load64(PLACE) !== 2) wrong++;
  }
  check('the TLB keeps what an entry said', stale > 0);
  checkEqual(name, wrong, 0);
  setPte(at, 0);
  flushTlbSingle(PLACE);
}
