/** Commands about memory and the tables that map it. */
import { dataEnd, dataStart, imageEnd, imageStart, textEnd, textStart } from '../../machine/image';
import { native } from '../../machine/memory';
import { isReserved } from '../../paravirt/info';
import { pteVal } from '../../paravirt/operations';
import { ADDRESS, DIRTY, entryIn, LARGE, PRESENT, pageBehind, USER, WRITE } from '../entries';
import { freePages, mappingTables, totalPages } from '../pages';
import { Space } from '../spaces';
import { findTask } from '../tasks';
import { print, printHex, printNumberTo, put, spaceTo } from '../text';
import { numberArgument, wordCount } from './words';

const NONE: u64 = ~(<u64>0);
let kernelRoot: usize = 0;

/** The root of the kernel's own tables, for `pgtable`. */
export function setRoot(root: usize): void {
  kernelRoot = root;
}

function amount(what: string, bytes: u64): void {
  print(what);
  printNumberTo(bytes / 1024, 26);
  print(' KiB\n');
}

export function free(): void {
  amount('memory', <u64>totalPages * 4096);
  amount('  free', <u64>freePages * 4096);
  amount('  used', <u64>(totalPages - freePages) * 4096);
  amount('    to map memory', <u64>mappingTables * 4096);
  amount('image', <u64>(imageEnd() - imageStart()));
  amount('  data', <u64>(dataEnd() - dataStart()));
  amount('  code', <u64>(textEnd() - textStart()));
}

/** `pgtable`, `pgtable ADDRESS`, `pgtable TASK ADDRESS`. */
export function pageTable(): void {
  let root = kernelRoot;
  let address = native(imageStart());
  if (wordCount > 2) {
    const task = findTask(<u32>numberArgument(1, 10));
    if (task === null) {
      print('pgtable: expected the number of a task\n');
      return;
    }
    if (task.space !== 0) root = changetype<Space>(task.space).root;
  }
  if (wordCount > 1) address = numberArgument(wordCount - 1, 16);
  if (address === NONE || isReserved(address)) {
    print("pgtable: expected an address that is not the hypervisor's\n");
    return;
  }
  walk(root, address);
}

/** A line for each level: index, the entry as it stands in the table, the frame of ours that it means, what it allows. */
function walk(root: usize, address: u64): void {
  let table = root;
  for (let level: u64 = 4; level > 0; level--) {
    const at = entryIn(table, address, level);
    const entry = load<u64>(at);
    print('level ');
    put(<u32>(0x30 + level));
    printNumberTo((at & 4095) / 8, 12);
    spaceTo(14);
    printHex(entry);
    if ((entry & PRESENT) === 0) {
      print(' nothing\n');
      return;
    }
    spaceTo(32);
    print('frame ');
    printHex((pteVal(entry) & ADDRESS) >> 12);
    print((entry & WRITE) !== 0 ? ' writable' : ' read-only');
    if ((entry & USER) !== 0) print(' user');
    if ((entry & DIRTY) !== 0) print(' dirty');
    if ((entry & LARGE) !== 0 && level > 1) print(' large');
    print('\n');
    if ((entry & LARGE) !== 0 && level > 1) return;
    table = pageBehind(entry);
  }
}
