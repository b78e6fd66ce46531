/**
 * Programs: ELF files that the image carries. Loading one is a matter of regions; its pages come when they are touched.
 *
 *     0x400000      the file's segments (translator's programs begin here)
 *     …             what mmap gives
 *     0x3fff0000    the stack, up to 0x3ffff000: at its top the arguments, as System V's ABI has them
 */
import { EmbeddedFile, filesEnd, filesStart } from '../machine/image';
import { resumeFrame, TRAP_FRAME_BYTES, TrapFrame } from '../machine/trap-frame';
import { userCs, userSs } from '../paravirt/info';
import { activateSpace } from '../paravirt/operations';
import { PAGE } from './entries';
import { addRegion, createSpace, destroySpace, kernelPlace, RESOLVED, resolveFault } from './spaces';
import { newTask, renameTask, setStart, Task } from './tasks';
import { textBytes } from './text';

const ELF_MAGIC: u32 = 0x464c457f;
const CLASS_64_LITTLE: u16 = 0x0102;
const MACHINE_X86_64: u16 = 62;
const HEADER_BYTES: u32 = 64;
const ENTRY: usize = 24;
const PROGRAM_HEADERS: usize = 32;
const PROGRAM_HEADER_COUNT: usize = 56;
const PROGRAM_HEADER_BYTES: u64 = 56;
const LOADED: u32 = 1;
const SEGMENT_WRITABLE: u32 = 2;

const STACK_TOP: u64 = 0x3ffff000;
const STACK_BYTES: u64 = 0xf000;
/** Bytes of all arguments together, and how many there can be: they fit the stack's first page. */
export const ARGUMENT_BYTES: usize = 1024;
export const MOST_ARGUMENTS: u32 = 32;
/** Interrupts enabled, and the bit that is always set. */
const USER_FLAGS: u64 = 0x202;

/** Of the program loaded last: where it begins, and its stack. */
let entry: u64 = 0;
let stack: u64 = 0;

/** A file of the image by its name, which ends with a zero. */
export function findProgram(name: usize): EmbeddedFile | null {
  const bytes = textBytes(name);
  for (let at = filesStart(); at < filesEnd(); at += offsetof<EmbeddedFile>()) {
    const file = changetype<EmbeddedFile>(at);
    if (<usize>file.nameBytes === bytes && memory.compare(file.name, name, bytes) === 0) return file;
  }
  return null;
}

/** A space with the program in it, and `count` arguments, which stand at `words` one behind the other. 0: it cannot be. */
function buildSpace(file: EmbeddedFile, words: usize, count: u32): usize {
  const space = createSpace();
  if (space === 0) return 0;
  const right =
    addSegments(space, file) &&
    addRegion(space, STACK_TOP - STACK_BYTES, STACK_TOP, true, 0, 0) &&
    resolveFault(space, STACK_TOP - <u64>PAGE, true) === RESOLVED;
  if (!right) {
    destroySpace(space);
    return 0;
  }
  placeArguments(space, words, count);
  activateSpace(space);
  return space;
}

function addSegments(space: usize, file: EmbeddedFile): bool {
  const data = file.data;
  if (file.dataBytes < HEADER_BYTES || load<u32>(data) !== ELF_MAGIC) return false;
  if (load<u16>(data, 4) !== CLASS_64_LITTLE || load<u16>(data, 18) !== MACHINE_X86_64) return false;
  entry = load<u64>(data, ENTRY);
  const headers = load<u64>(data, PROGRAM_HEADERS);
  const count = <u64>load<u16>(data, PROGRAM_HEADER_COUNT);
  if (headers > <u64>file.dataBytes || headers + count * PROGRAM_HEADER_BYTES > <u64>file.dataBytes)
    return false;
  for (let i: u64 = 0; i < count; i++) {
    const header = data + <usize>(headers + i * PROGRAM_HEADER_BYTES);
    if (load<u32>(header) === LOADED && !addSegment(space, file, header)) return false;
  }
  return true;
}

/** The file may begin in the middle of a page; the bytes before are the file's too, or nobody's. */
function addSegment(space: usize, file: EmbeddedFile, header: usize): bool {
  const offset = load<u64>(header, 8);
  const address = load<u64>(header, 16);
  const fileBytes = load<u64>(header, 32);
  const memoryBytes = load<u64>(header, 40);
  const before = address & (<u64>PAGE - 1);
  const size = <u64>file.dataBytes;
  if (fileBytes > memoryBytes || offset > size || fileBytes > size - offset || before > offset) return false;
  return addRegion(
    space,
    address - before,
    address + memoryBytes,
    (load<u32>(header, 4) & SEGMENT_WRITABLE) !== 0,
    file.data + <usize>(offset - before),
    fileBytes === 0 ? 0 : before + fileBytes,
  );
}

/** From the stack pointer up: argc, the addresses of the arguments, 0, an empty environment's 0, the end of auxv. */
function placeArguments(space: usize, words: usize, count: u32): void {
  let bytes: usize = 0;
  for (let i: u32 = 0; i < count; i++) bytes += textBytes(words + bytes) + 1;
  const text = STACK_TOP - ((<u64>bytes + 15) & ~15);
  stack = (text - (<u64>count + 6) * 8) & ~15;
  const page = kernelPlace(space, STACK_TOP - <u64>PAGE) - <usize>(STACK_TOP - <u64>PAGE);
  memory.copy(page + <usize>text, words, bytes);
  let at = page + <usize>stack;
  store<u64>(at, <u64>count);
  bytes = 0;
  for (let i: u32 = 0; i < count; i++) {
    at += 8;
    store<u64>(at, text + <u64>bytes);
    bytes += textBytes(words + bytes) + 1;
  }
}

function startFrame(at: usize): void {
  memory.fill(at, 0, TRAP_FRAME_BYTES);
  const frame = changetype<TrapFrame>(at);
  frame.rip = entry;
  frame.cs = <u64>userCs;
  frame.ss = <u64>userSs;
  frame.rsp = stack;
  frame.rflags = USER_FLAGS;
}

/** How a task begins that is to run a user's code: its frame stands at the top of its stack. */
export function enterUser(frame: usize): void {
  resumeFrame(frame);
}

/** A new task that runs a program; null if it cannot. With interrupts disabled. */
export function spawn(file: EmbeddedFile, words: usize, count: u32, parent: usize): Task | null {
  const space = buildSpace(file, words, count);
  if (space === 0) return null;
  const task = newTask(parent);
  if (task === null) {
    destroySpace(space);
    return null;
  }
  task.space = space;
  renameTask(task, words);
  const frame = task.stackTop - TRAP_FRAME_BYTES;
  startFrame(frame);
  setStart(task, frame, enterUser, frame);
  return task;
}

/** Has the system call of `frame` return into a program. Returns its space, which is not loaded yet; 0: it cannot be. */
export function replaceProgram(file: EmbeddedFile, words: usize, count: u32, frame: usize): usize {
  const space = buildSpace(file, words, count);
  if (space !== 0) startFrame(frame);
  return space;
}
