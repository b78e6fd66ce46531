/** A disassembler for reports: iced-x86, loaded when there is something to show. */
import type { DisassembledInstruction, Disassembler } from '../toolstack/crash-text.ts';

export async function loadDisassembler(): Promise<Disassembler> {
  const { Code, Decoder, DecoderOptions, Formatter, FormatterSyntax } = await import('iced-x86');
  return (bytes, address) => {
    const decoder = new Decoder(64, bytes, DecoderOptions.None);
    const formatter = new Formatter(FormatterSyntax.Intel);
    formatter.hexPrefix = '0x';
    formatter.hexSuffix = '';
    formatter.uppercaseHex = false;
    formatter.spaceAfterOperandSeparator = true;
    // Version 1.21 tells small numbers by their low 32 bits, and would print 0xffff800000000000 as 0.
    formatter.smallHexNumbersInDecimal = false;
    decoder.ip = BigInt.asUintN(64, BigInt(address));
    const instructions: DisassembledInstruction[] = [];
    while (decoder.canDecode) {
      const instruction = decoder.decode();
      instructions.push({
        address: Number(BigInt.asIntN(64, instruction.ip)),
        length: instruction.length,
        text: formatter.format(instruction),
        invalid: instruction.code === Code.INVALID,
      });
      instruction.free();
    }
    decoder.free();
    formatter.free();
    return instructions;
  };
}
