/** A module that cannot become a kernel: it is malformed, uses floats, or imports what nobody supplies. One clear line. */
export class TranslationError extends Error {
  override readonly name = 'TranslationError';
}
