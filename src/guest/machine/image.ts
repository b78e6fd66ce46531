/**
 * Places of the image that only its layout knows, as addresses of the module. (`native` of memory.ts makes a machine
 * address of one.) The order in memory is the order here; every part starts on a page of its own.
 */

/** Everything from here to `imageEnd` belongs to the image. */
@external("image", "start") export declare function imageStart(): usize;
/** Static data of the guest's sources. */
@external("image", "data_start") export declare function dataStart(): usize;
@external("image", "data_end") export declare function dataEnd(): usize;
/** Code. */
@external("image", "text_start") export declare function textStart(): usize;
@external("image", "text_end") export declare function textEnd(): usize;
/** One PatchSite (operations.ts) for each call through the operation table. */
@external("image", "patch_sites_start") export declare function patchSitesStart(): usize;
@external("image", "patch_sites_end") export declare function patchSitesEnd(): usize;
/** Pairs of u32, ascending: an instruction that may fault, and where to go on if it does. */
@external("image", "exceptions_start") export declare function exceptionsStart(): usize;
@external("image", "exceptions_end") export declare function exceptionsEnd(): usize;
/** One EmbeddedFile for each file that the build put in. */
@external("image", "files_start") export declare function filesStart(): usize;
@external("image", "files_end") export declare function filesEnd(): usize;
/** One Symbol (symbols.ts) for each function, by address. */
@external("image", "symbols_start") export declare function symbolsStart(): usize;
@external("image", "symbols_end") export declare function symbolsEnd(): usize;
/** The operation table: one machine word for each operation. */
@external("image", "operations_start") export declare function operationsStart(): usize;
@external("image", "operations_end") export declare function operationsEnd(): usize;
/** One machine word: the stack pointer that entry.nativeSystemCall loads, a machine address. To be set at every switch of tasks. */
@external("image", "kernel_stack_top") export declare function kernelStackTop(): usize;
/** Two machine words: CS and SS of users, which entry.nativeSystemCall puts into the frame. To be set once. */
@external("image", "user_selectors") export declare function userSelectors(): usize;
/** The stack on which the first function runs: 16 KiB up to `bootStackTop`. */
@external("image", "boot_stack_bottom") export declare function bootStackBottom(): usize;
@external("image", "boot_stack_top") export declare function bootStackTop(): usize;
@external("image", "end") export declare function imageEnd(): usize;

/** A file carried in the image, such as a user program. */
@unmanaged
export class EmbeddedFile {
  /** Its name in ASCII: where, and how many bytes. */
  name: usize;
  nameBytes: u32;
  /** Its contents, from an 8-byte boundary. */
  data: usize;
  dataBytes: u32;
}
