/** The built-in guest: the kernel of `src/guest/kernel`, made from its sources when the package was built. */

/** Its image: an ELF for Xen (64-bit PV) and, as `abi: 'native'`, for the bare machine. It is loaded when it is asked for. */
export async function builtinGuest(): Promise<Uint8Array> {
  const { KERNEL_ELF } = await import('./kernel.generated.ts');
  return Uint8Array.from(atob(KERNEL_ELF), (character) => character.charCodeAt(0));
}
