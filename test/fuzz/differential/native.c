/*
 * Runs differential programs on the real processor: reads them from standard input as `native.ts` writes them, executes
 * each one instruction at a time, and writes what was seen at every fault and at the end.
 *
 * RFLAGS.TF makes a trap of every instruction and of every iteration of a `rep`; the signal's context holds the state. What
 * the handler does after a fault is what the host of `machine.ts` does. Linux on x86-64 only.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGE = 4096, TF = 0x100, COMPARED_FLAGS = 0xcc5 };
enum { STACK_LOW = 0x120000, STACK_HIGH = 0x122000, STACK_TOP = 0x121800, TWIN = 0x400000, CODE = 0x100000, CODE_END = 0x105000 };

typedef struct { uint32_t address, frame, rights; } Page; /* rights: 1 read, 2 write, 4 execute, 8 absent until wanted */
typedef struct {
  uint32_t compatible, limit, exit_limit, verbose, rip, flags, mxcsr, control, landings, pages, frames;
  uint64_t general[16];
  uint8_t xmm[256];
} Header;

static Header header;
static uint32_t landings[4096];
static Page pages[64];
static int memory, steps, exits, diversions, mended[64];
static uint32_t hash;
static ucontext_t home;

static const int ORDER[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void die(const char *what) { perror(what), exit(2); }
static void take(void *into, size_t bytes) {
  if (bytes && fread(into, bytes, 1, stdin) != 1) die("input");
}
static uint32_t mix(uint32_t h, uint32_t word) {
  h = (h ^ word) * 0x9e3779b1u;
  return h << 13 | h >> 19;
}
static struct _xstate *fpu_of(ucontext_t *c) { return (struct _xstate *)c->uc_mcontext.fpregs; }

static int general_registers(void) { return header.compatible ? 8 : 16; }

/* Registers and RIP, into the running hash. */
static void note_step(greg_t *g) {
  hash = mix(mix(hash, g[REG_RIP]), g[REG_RIP] >> 32);
  for (int n = 0; n < general_registers(); n++) hash = mix(mix(hash, g[ORDER[n]]), g[ORDER[n]] >> 32);
}

static void show(ucontext_t *c, const char *what) {
  greg_t *g = c->uc_mcontext.gregs;
  struct _xstate *x = fpu_of(c);
  /* But at faults flags may be undefined: in the middle of a piece. */
  long long flags = what[0] != 'e' || what[1] != 'x' ? 0 : g[REG_EFL] & COMPARED_FLAGS;
  printf("%s steps=%d hash=%08x rip=%llx flags=%llx", what, steps, hash, g[REG_RIP], flags);
  for (int n = 0; n < general_registers(); n++) printf(" r%d=%llx", n, g[ORDER[n]]);
  uint32_t h = 1, words[64];
  memcpy(words, x->fpstate._xmm, 256);
  for (int i = 0; i < (header.compatible ? 32 : 64); i++) h = mix(h, words[i]);
  printf(" xmm=%08x mxcsr=%x fcw=%x fsw=%x ftw=%x", h, x->fpstate.mxcsr, x->fpstate.cwd, x->fpstate.swd, x->fpstate.ftw & 255);
  h = 1;
  for (int i = 0; i < 8; i++) {
    uint32_t st[3] = {0};
    memcpy(st, &x->fpstate._st[i], 10);
    h = mix(mix(mix(h, st[0]), st[1]), st[2]);
  }
  printf(" st=%08x\n", h);
}

static void finish(ucontext_t *c) {
  show(c, "end");
  for (uint32_t i = 0; i < header.pages; i++) {
    if (pages[i].address >= TWIN) continue;
    void *at = (void *)(uintptr_t)pages[i].address;
    mprotect(at, PAGE, PROT_READ);
    uint32_t h = 1;
    for (int k = 0; k < PAGE / 4; k++) h = mix(h, ((uint32_t *)at)[k]);
    printf("page %x %08x\n", pages[i].address, h);
  }
  printf("done\n");
  fflush(stdout);
  memcpy(c->uc_mcontext.gregs, home.uc_mcontext.gregs, sizeof home.uc_mcontext.gregs);
  fpu_of(c)->fpstate.mxcsr = 0x1f80, fpu_of(c)->fpstate.cwd = 0x37f, fpu_of(c)->fpstate.swd = fpu_of(c)->fpstate.ftw = 0;
}

static void go_on(greg_t *g) {
  int64_t rip = g[REG_RIP];
  int64_t twin = rip >= TWIN && rip < TWIN + CODE_END ? TWIN : 0, next = 0;
  for (uint32_t i = 0; i < header.landings && next == 0; i++) if (landings[i] > rip - twin) next = landings[i];
  if (next == 0 || rip - twin < CODE) next = landings[7u * ++diversions % header.landings];
  g[REG_RIP] = next + twin;
  int64_t stack = g[REG_RSP];
  if (stack < STACK_LOW + 64 || stack > STACK_HIGH - 64) g[REG_RSP] = STACK_TOP;
}

/* A page that is absent until somebody wants it: maps it, once. */
static int mend(uint64_t address, uint64_t error) {
  for (uint32_t i = 0; i < header.pages; i++) {
    if (pages[i].address != (address & -PAGE) || !(pages[i].rights & 8) || mended[i] || error & 1) continue;
    mended[i] = 1;
    if (mprotect((void *)(address & -PAGE), PAGE, PROT_READ | PROT_WRITE | PROT_EXEC)) die("mprotect");
    return 1;
  }
  return 0;
}

/* As FNINIT: what the physical registers hold stays. */
static void reset_x87(struct _xstate *x) {
  char st[8][16];
  int top = x->fpstate.swd >> 11 & 7;
  memcpy(st, x->fpstate._st, 128);
  for (int i = 0; i < 8; i++) memcpy(&x->fpstate._st[i], st[(i - top) & 7], 16);
  x->fpstate.cwd = 0x37f, x->fpstate.swd = 0, x->fpstate.ftw = 0, x->fpstate.mxcsr = 0x1f80;
}

static void handle(int signal, siginfo_t *info, void *context) {
  ucontext_t *c = context;
  greg_t *g = c->uc_mcontext.gregs;
  struct _xstate *x = fpu_of(c);
  uint64_t trap = g[REG_TRAPNO], error = g[REG_ERR];
  (void)signal, (void)info;
  x->xstate_hdr.xstate_bv |= 3;
  if (trap == 1) {
    steps++;
    note_step(g);
    if (header.verbose) show(c, "step");
    if (steps >= (int)header.limit) finish(c);
    return;
  }
  char what[80];
  int64_t address = trap == 14 ? g[REG_CR2] : 0;
  /* Linux calls every page of its own half present. */
  int shown = trap != 14 || address < 0 ? 0 : (int)error;
  snprintf(what, sizeof what, "exit vector=%d error=%x cr2=%lx", (int)trap, shown, (long)address);
  show(c, what);
  exits++;
  if (exits >= (int)header.exit_limit) {
    finish(c);
    return;
  }
  if (trap == 16) reset_x87(x);
  else if (trap == 19) x->fpstate.mxcsr = 0x1f80;
  else if (trap != 14 || !mend(address, error)) go_on(g);
  g[REG_EFL] |= TF;
}

/* The state before, put into the context of a trap of our own. */
static void begin(int signal, siginfo_t *info, void *context) {
  ucontext_t *c = context;
  greg_t *g = c->uc_mcontext.gregs;
  struct _xstate *x = fpu_of(c);
  (void)signal, (void)info;
  memcpy(home.uc_mcontext.gregs, g, sizeof home.uc_mcontext.gregs);
  for (int n = 0; n < 16; n++) g[ORDER[n]] = header.general[n];
  g[REG_RIP] = header.rip;
  g[REG_EFL] = header.flags | 0x202 | TF;
  g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffLL) | (header.compatible ? 0x23 : 0x33);
  x->xstate_hdr.xstate_bv |= 3;
  x->fpstate.mxcsr = header.mxcsr;
  memcpy(x->fpstate._xmm, header.xmm, 256);
  memset(x->fpstate._st, 0, 128);
  x->fpstate.cwd = header.control, x->fpstate.swd = 0, x->fpstate.ftw = 0;
}

static void on(int signal, void (*handler)(int, siginfo_t *, void *)) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  if (sigaction(signal, &action, 0)) die("sigaction");
}

static void map_pages(void) {
  for (uint32_t i = 0; i < header.pages; i++) {
    Page *p = &pages[i];
    void *at = (void *)(uintptr_t)p->address;
    int rights = (p->rights & 1 ? PROT_READ : 0) | (p->rights & 2 ? PROT_WRITE : 0) | (p->rights & 4 ? PROT_EXEC : 0);
    void *got = mmap(at, PAGE, rights | PROT_READ, MAP_SHARED | MAP_FIXED | MAP_POPULATE, memory, (off_t)p->frame * PAGE);
    if (got != at) die("mmap");
    /* A page that was never written may trap without the present bit: touch it while that is allowed. */
    if (rights & PROT_WRITE) ((volatile uint8_t *)at)[0] = ((volatile uint8_t *)at)[0];
    if (p->rights & 8 && mprotect(at, PAGE, PROT_NONE)) die("mprotect");
    mended[i] = 0;
  }
}

int main(void) {
  static uint8_t stack[1 << 16], frame[PAGE];
  /* 64-bit processes start with null selectors, which are no segments in compatibility mode. */
  __asm__ volatile("movl %0, %%ds; movl %0, %%es" ::"r"(0x2b));
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  if (sigaltstack(&alternate, 0)) die("sigaltstack");
  memory = memfd_create("frames", 0);
  if (memory < 0 || ftruncate(memory, 64 * PAGE)) die("memfd");
  while (fread(&header, sizeof header, 1, stdin) == 1) {
    take(landings, header.landings * 4);
    take(pages, header.pages * sizeof *pages);
    for (uint32_t i = 0; i < header.frames; i++) {
      take(frame, PAGE);
      if (pwrite(memory, frame, PAGE, (off_t)i * PAGE) != PAGE) die("pwrite");
    }
    map_pages();
    steps = exits = diversions = 0, hash = 1;
    on(SIGUSR1, begin);
    int caught[] = {SIGTRAP, SIGSEGV, SIGILL, SIGFPE, SIGBUS};
    for (int i = 0; i < 5; i++) on(caught[i], handle);
    raise(SIGUSR1);
  }
  return 0;
}
