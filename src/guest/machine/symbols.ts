/** Names of functions at run time, for a panic that says where it happened. */
import { symbolsEnd, symbolsStart } from './image';
import { native } from './memory';

@unmanaged
export class Symbol {
  /** Where the function begins. */
  address: usize;
  /** Its name in ASCII: where, and how many bytes. */
  name: usize;
  nameBytes: u32;
}

/** The last symbol at or before a machine address, or null for one outside the image. */
export function symbolAt(address: u64): Symbol | null {
  const size = offsetof<Symbol>();
  let low: usize = 0;
  let high: usize = (symbolsEnd() - symbolsStart()) / size;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const symbol = changetype<Symbol>(symbolsStart() + middle * size);
    if (native(symbol.address) <= address) low = middle + 1;
    else high = middle;
  }
  return low == 0 ? null : changetype<Symbol>(symbolsStart() + (low - 1) * size);
}
