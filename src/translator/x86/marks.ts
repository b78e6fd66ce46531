/** What compiled code notes about places in it, for the tables of the image. */

export type CodeMark =
  /** A call through the operation table; `bytes` with its padding, `clobbers` a bit for each register. */
  | { readonly kind: 'patchSite'; readonly slot: string; readonly bytes: number; readonly clobbers: number }
  /** An instruction that may fault, and the place to go on at then; the two share a name within one piece of code. */
  | { readonly kind: 'mayFault'; readonly name: string }
  | { readonly kind: 'fixup'; readonly name: string }
  /** A name for this place in the symbol table. */
  | { readonly kind: 'symbol'; readonly name: string };
