/** Compiled beside every guest: tells the translator where static data ends, zeros included. No code is made of it. */
export function __image_data_end(): usize {
  return __heap_base;
}
