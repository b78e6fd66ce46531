/*
 * Asks the real processor: reads forms from standard input (see `inputs.ts`, which draws the same operands), executes
 * each of them on random operands, and writes hashes of what came out, and the first outcomes in full.
 *
 * Registers are loaded and read back by the kernel: every record ends in INT3 or in a fault, whose signal handler takes
 * the state from the signal's context, puts the next record's into it and returns. Compatibility mode is a matter of
 * the code selector in that context (0x23). Linux on x86-64 only.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { CODE_PAGE = 0x100000, CODE = 0x100800, CODE_TARGET = 0x100900, WINDOW = 0x110f00, MIDDLE = 0x111000 };
enum { WINDOW_WORDS = 128, GROUP = 10 };

typedef struct {
  char name[160], code[256], registers[24], fixups[8], count[8], limits[8];
  char memory, xmm, x87;
  int bits, direction;
  uint32_t flags, status;
} Form;

typedef struct {
  int64_t general[16];
  uint32_t flags, memory[WINDOW_WORDS], xmm[64], mxcsr, x87[24], control, status, tags;
  uint8_t code[96];
  int code_length, outcome;
  uint32_t segments[7];
  int64_t rip;
  /* What a form with limits is executed with: ES CS SS DS FS GS, and the base of that CS. */
  uint32_t selectors[6], code_base;
} Registers;

static Form form;
static int16_t template[96];
static int template_length, records, shown, done;
static Registers inputs, outputs;
void on_signal(int number, siginfo_t *info, void *given);
static ucontext_t *context, home;

/* ---------------------------------------------------------------- the generator: xoshiro128** */

static uint32_t state[4];

static void seed(const char *text) {
  for (uint32_t i = 0; i < 4; i++) {
    uint32_t h = 0x811c9dc5 + i * 0x9e3779b9;
    for (const char *p = text; *p; p++) h = (h ^ (uint8_t)*p) * 0x01000193;
    state[i] = h | 1;
  }
}
static uint32_t next(void) {
  uint32_t five = state[1] * 5, result = (five << 7 | five >> 25) * 9, t = state[1] << 9;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= t;
  state[3] = state[3] << 11 | state[3] >> 21;
  return result;
}

static uint32_t low, high, extra;
static void set(uint32_t l, uint32_t h) { low = l, high = h; }
static uint32_t sign_of(uint32_t w) { return (int32_t)w >> 31; }
#define PICK(table, r) (table[(r) % (sizeof table / sizeof *table)])

static const uint32_t CORNERS[][2] = {
  {0, 0}, {1, 0}, {-1, -1}, {0x7f, 0}, {0x80, 0}, {0xff, 0}, {0x100, 0}, {0x7fff, 0}, {0x8000, 0}, {0xffff, 0},
  {0x10000, 0}, {0x7fffffff, 0}, {0x80000000, 0}, {-1, 0}, {0, 1}, {-1, 0x7fffffff}, {0, 0x80000000},
  {0x80000000, -1}, {0x55555555, 0x55555555}, {0xff00ff, 0xff00ff}, {-2, -1}, {2, 0}, {-128, -1}, {-32768, -1},
};
static void biased(void) {
  uint32_t r = next(), l, h, k;
  switch (r & 7) {
  case 0: set(PICK(CORNERS, r >> 3)[0], PICK(CORNERS, r >> 3)[1]); break;
  case 1: low = (r >> 3 & 0xff) - 128, high = sign_of(low); break;
  case 2:
  case 3:
    l = next(), h = next(), k = r >> 3 & 63;
    low = k == 0 ? l : k < 32 ? l >> k | h << (32 - k) : h >> (k - 32);
    high = k < 32 ? h >> k : 0;
    if (r >> 9 & 1) low = ~low, high = ~high;
    break;
  case 4: low = high = (r >> 3 & 0xff) * 0x01010101; break;
  case 5: low = next(), high = sign_of(low); break;
  default: low = next(), high = next();
  }
}
static void sparse(void) {
  if ((next() & 3) == 0) biased();
  else low = high = 0;
}

static const uint32_t SINGLES[] = {
  0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001,
  0xffa00000, 0x00000001, 0x807fffff, 0x00800000, 0x7f7fffff, 0x3f000000, 0xbfc00000, 0x4effffff, 0x4f000000,
  0xcf000000, 0x4b000000, 0x4b7fffff, 0x5f000000, 0x33800000, 0x34000000,
};
static uint32_t single_value(void) {
  uint32_t r = next(), sign = r & 0x80000000;
  switch (r & 7) {
  case 0:
  case 1: return PICK(SINGLES, r >> 3);
  case 2:
  case 3: return sign | (115 + (r >> 3) % 24) << 23 | (next() & 0x7fffff);
  case 4: return sign | (127 + (r >> 3 & 63)) << 23 | (next() & 0x7f0000);
  case 5: return sign | (next() & 0x7fffff) >> (r >> 3) % 24;
  default: return next();
  }
}
static const uint32_t DOUBLES[][2] = {
  {0, 0}, {0, 0x80000000}, {0, 0x3ff00000}, {0, 0xbff00000}, {0, 0x7ff00000}, {0, 0xfff00000}, {0, 0x7ff80000},
  {0, 0xfff80000}, {1, 0x7ff00000}, {0, 0xfff40000}, {1, 0}, {0xffffffff, 0x800fffff}, {0, 0x00100000},
  {0xffffffff, 0x7fefffff}, {0, 0x3fe00000}, {0, 0xbff80000}, {0xffc00000, 0x41dfffff}, {0, 0x41e00000},
  {0, 0xc1e00000}, {0, 0x43e00000}, {0, 0xc3e00000}, {0, 0x43300000}, {0xe0000000, 0x47efffff}, {0, 0x36a00000},
};
static void double_value(void) {
  uint32_t r = next(), sign = r & 0x80000000;
  switch (r & 7) {
  case 0:
  case 1: set(PICK(DOUBLES, r >> 3)[0], PICK(DOUBLES, r >> 3)[1]); break;
  case 2:
  case 3: low = next(), high = sign | (1011 + (r >> 3) % 24) << 20 | (next() & 0xfffff); break;
  case 4: low = 0, high = sign | (1023 + (r >> 3 & 63)) << 20 | (next() & 0xfffff); break;
  case 5: low = next(), high = sign | (next() & 0xfffff) >> (r >> 3) % 21; break;
  case 6: low = next(), high = next(); break;
  default: low = next() & 0xf0000000, high = sign | (870 + (r >> 3) % 300) << 20 | (next() & 0xfffff);
  }
}
static const uint32_t EXTENDEDS[][3] = {
  {0, 0, 0}, {0, 0, 0x8000}, {0, 0x80000000, 0x3fff}, {0, 0x80000000, 0xbfff}, {0, 0x80000000, 0x7fff},
  {0, 0x80000000, 0xffff}, {0, 0xc0000000, 0x7fff}, {0, 0xc0000000, 0xffff}, {1, 0x80000000, 0x7fff},
  {0, 0xa0000000, 0xffff}, {1, 0, 0}, {0xffffffff, 0x7fffffff, 0x8000}, {0, 0x80000000, 1},
  {0xffffffff, 0xffffffff, 0x7ffe}, {0, 0x80000000, 0x3ffe}, {0, 0xc0000000, 0xbfff}, {0, 0x80000000, 0x401e},
  {0, 0x80000000, 0xc03e}, {0xffffffff, 0xffffffff, 0x403d}, {0, 0x80000000, 0}, {0, 0x40000000, 0x4000},
  {0, 0, 0x7fff}, {1, 0x40000000, 0x7fff}, {0, 0, 0x4000},
};
static void extended_value(void) {
  uint32_t r = next(), sign = r >> 16 & 0x8000;
  switch (r & 7) {
  case 0:
  case 1: set(PICK(EXTENDEDS, r >> 3)[0], PICK(EXTENDEDS, r >> 3)[1]), extra = PICK(EXTENDEDS, r >> 3)[2]; break;
  case 2:
  case 3: low = next(), high = next() | 0x80000000, extra = sign | (16371 + (r >> 3) % 24); break;
  case 4: low = 0, high = next() | 0x80000000, extra = sign | (16383 + (r >> 3) % 70); break;
  case 5: low = next(), high = (next() & 0x7fffffff) >> (r >> 3 & 31), extra = sign; break;
  case 6: low = next(), high = next() | (r & 8 ? 0x80000000 : 0), extra = r >> 8 & 0xffff; break;
  default: low = next() & 0xfffff800, high = next() | 0x80000000, extra = sign | (15300 + (r >> 3) % 2200);
  }
}

/* ---------------------------------------------------------------- the inputs of a record */

static const uint32_t SELECTORS[] = {0x23, 0x2b, 0x33, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x4f,
                                    0, 1, 2, 3, 0x20, 0x28, 0x0c, 0x24, 0xffff, 0xfff8, 0x44};
static const uint32_t CODE_SELECTORS[] = {0x23, 0x33, 0x27};
static uint32_t selector(uint32_t r) { return PICK(SELECTORS, r); }
static uint32_t code_selector(uint32_t r) { return r & 1 ? PICK(CODE_SELECTORS, r >> 1) : selector(r >> 1); }
static uint32_t stack_selector(uint32_t r) {
  uint32_t s = r & 3 ? 0x2b : selector(r >> 2);
  return s == 0x3f ? 0x2b : s;
}

static void register_value(char kind) {
  uint32_t r;
  switch (kind) {
  case 'p':
  case 'P':
    r = next(), low = MIDDLE - 32 + (r & 1 ? r >> 1 & 63 : 32), high = 0;
    if (kind == 'P') high = next();
    break;
  case 'q': r = next(), low = (MIDDLE - WINDOW - 32 + (r & 63)) | (r & 0x7fff0000), high = 0; break;
  case 'a': set(MIDDLE - 32 + ((next() & 3) << 4), 0); break;
  case 'w': set(WINDOW, 0); break;
  case 'i': low = (next() & 7) - 4, high = sign_of(low); break;
  case 'c': set(next() % 13, 0); break;
  case 'C': low = next() % 13, high = next(); break;
  case 'n': low = next(), high = next(); break;
  case 'm': low = next() % 17, high = next(); break;
  case 'b': low = (next() & 0x7ff) - 0x400, high = sign_of(low); break;
  case 'S': set(selector(next()), 0); break;
  case 'j': set(CODE_TARGET + (next() & 0xff), 0); break;
  case '=':
    if ((next() & 1) == 0) biased();
    else set(inputs.general[0], inputs.general[0] >> 32);
    break;
  case 'z': sparse(); break;
  case 'd':
    r = next();
    if ((r & 3) == 0) biased();
    else if ((r & 3) == 1) low = high = 0;
    else if ((r & 3) == 2) low = high = sign_of(r & 4 ? inputs.general[0] >> 32 : inputs.general[0]);
    else low = next() >> (r >> 2 & 31), high = 0;
    break;
  default: biased();
  }
}

static uint32_t decimal_digits(void) {
  uint32_t r = next();
  for (int shift = 0; shift < 32; shift += 4) {
    if ((r >> shift & 15) > 9) r -= 6u << shift;
  }
  return r;
}

static void fill_memory(void) {
  for (int i = 0; i < WINDOW_WORDS; i += 2) {
    if (form.memory == 'z') sparse();
    else if (form.memory == 'b') {
      inputs.memory[i] = decimal_digits(), inputs.memory[i + 1] = decimal_digits(), i += 2;
      set(decimal_digits() & 0x80ff, 0);
    }
    else if (form.memory == 's') low = single_value(), high = single_value();
    else if (form.memory == 'd') double_value();
    else if (form.memory == 'x') {
      extended_value();
      inputs.memory[i] = low, inputs.memory[i + 1] = high, i += 2;
      set(extra, 0);
    } else biased();
    inputs.memory[i] = low, inputs.memory[i + 1] = high;
  }
}

static void store(int64_t address, int bytes, uint32_t l, uint32_t h) {
  int reach = strchr(form.limits, 'd') ? 16 : 0;
  for (int place = -reach; place <= reach; place += 16) {
    uint8_t *at = (uint8_t *)inputs.memory + (address - WINDOW) + place;
    memcpy(at, &l, 4);
    if (bytes == 8) memcpy(at + 4, &h, 4);
  }
}
static void fix_up(void) {
  int64_t rax = inputs.general[0], rdx = inputs.general[2], rbx = inputs.general[3], rsp = inputs.general[4];
  int width = form.bits == 64 ? 8 : 4;
  if (strchr(form.limits, 'w')) rbx = WINDOW + (rbx & 0xffff), rsp = WINDOW + (rsp & 0xffff);
  for (const char *p = form.fixups; *p; p++) {
    uint32_t r = *p == '-' ? 0 : next();
    switch (*p) {
    case 'x': if (r & 1) store(rbx, 8, rax, rax >> 32); break;
    case 'y': if (r & 1) store(rbx, 8, rax, rdx); break;
    case 'z': if (r & 1) store(rbx, 8, rax, rax >> 32), store(rbx + 8, 8, rdx, rdx >> 32); break;
    case 'J': store(rbx, width, CODE_TARGET + (r & 0xff), 0); break;
    case 'R': store(rsp, width, CODE_TARGET + (r & 0xff), 0); break;
    case 'm': store(rbx, 4, (r & 0xffff) | (r & 0xf0000 ? 0 : 0x100000), 0); break;
    case 'M': store(WINDOW + 24, 4, (r & 0xffff) | (r & 0xf0000 ? 0 : 0x100000), 0); break;
    case 'k': store(rbx, 4, selector(r), 0); break;
    case 'K': store(rsp, 4, selector(r), 0); break;
    case 't': store(rbx + 4, 4, selector(r), 0); break;
    case 'u': store(rbx + 2, 4, selector(r), 0); break;
    case 'T': store(rbx, 8, CODE_TARGET + (r & 0xff), code_selector(r >> 8)); break;
    case 'V': store(rsp, 8, CODE_TARGET + (r & 0xff), code_selector(r >> 8)); break;
    case 'W':
    case 'I':
      store(rsp, 8, CODE_TARGET + (r & 0xff), 0), store(rsp + 8, 8, code_selector(r >> 8), 0);
      if (*p == 'W') break;
      store(rsp + 16, 8, (next() & 0xcd5) | 0x202, 0);
      low = next(), high = next(), store(rsp + 24, 8, low, high);
      store(rsp + 32, 8, stack_selector(next()), 0);
      break;
    case 'o':
    case 'i':
      store(rsp, 8, CODE_TARGET + (r & 0xff), code_selector(r >> 8));
      store(rsp + 8, 4, (next() & 0xcd5) | 0x202, 0);
      if (*p == 'o') break;
      low = next(), store(rsp + 12, 8, low, stack_selector(next()));
      break;
    case 'F': store(rsp, 8, (r & 0xcd5) | 0x202, 0); break;
    }
  }
}

/* Selectors of the LDT that `fill_ldt` makes: data and stacks around the window, and code, with limits that are met. */
#define LOCAL(entry) ((entry) << 3 | 7)
static const uint32_t WIDE_DATA[] = {0x2b, 0x2b, LOCAL(10), LOCAL(11), LOCAL(12), LOCAL(13), LOCAL(2), LOCAL(4), LOCAL(3), 0};
static const uint32_t WIDE_STACKS[] = {0x2b, 0x2b, LOCAL(10), LOCAL(11), LOCAL(12), LOCAL(13)};
static const uint32_t NARROW_DATA[] = {LOCAL(16), LOCAL(16), LOCAL(14), LOCAL(15), LOCAL(18), LOCAL(19), 0};
static const uint32_t NARROW_STACKS[] = {LOCAL(16), LOCAL(16), LOCAL(14), LOCAL(15), LOCAL(17)};
static const uint32_t CODE32[] = {0x23, 0x23, LOCAL(20), LOCAL(21), LOCAL(22), LOCAL(23)};
static const uint32_t CODE16[] = {LOCAL(24), LOCAL(24), LOCAL(25)};
/* Letters of limits: d wide data, w narrow data and stacks, c 32-bit code, h 16-bit code, a AC. */
static void draw_limits(void) {
  static const uint32_t FLAT[6] = {0x2b, 0x23, 0x2b, 0x2b, 0, 0};
  static const int DATA[] = {0, 3, 4, 5};
  memcpy(inputs.selectors, FLAT, sizeof FLAT);
  if (form.bits == 64) inputs.selectors[1] = 0x33;
  for (const char *p = form.limits; *p; p++) {
    uint32_t r = *p == '-' ? 0 : next();
    for (int i = 0; i < 4; i++) {
      if (*p == 'd') inputs.selectors[DATA[i]] = PICK(WIDE_DATA, r >> 8 * i & 0xff);
      if (*p == 'w') inputs.selectors[DATA[i]] = PICK(NARROW_DATA, r >> 8 * i & 0xff);
    }
    if (*p == 'd') inputs.selectors[2] = PICK(WIDE_STACKS, next());
    if (*p == 'w') inputs.selectors[2] = PICK(NARROW_STACKS, next());
    if (*p == 'c') inputs.selectors[1] = PICK(CODE32, r);
    if (*p == 'h') inputs.selectors[1] = PICK(CODE16, r);
    if (*p == 'a' && r & 1) inputs.flags |= 0x40000;
  }
  inputs.code_base = inputs.selectors[1] >= LOCAL(21) && inputs.selectors[1] <= LOCAL(25) ? CODE_PAGE : 0;
}

static void fill_xmm(void) {
  uint32_t r = next();
  for (int i = 0; i < 64; i += 2) {
    if (form.xmm == 'i' || form.xmm == 'I') biased();
    else if (form.xmm == 'd') double_value();
    else if (form.xmm == 'c') low = next() & 0x03030303, high = next() & 0x03030303;
    else low = single_value(), high = single_value();
    inputs.xmm[i] = low, inputs.xmm[i + 1] = high;
  }
  inputs.mxcsr = 0x1f80;
  if (form.xmm == 'i' || form.xmm == 'c') return;
  inputs.mxcsr = (r & 0x6000) | (r & 0x30000 ? 0 : 0x8000) | (r & 0xc0000 ? 0 : 0x40) | (r & 0x700000 ? 0x1f80 : r & 0x1f80);
  if (r & 0x1000000) inputs.mxcsr |= r & 0x3f;
}

static void fill_x87(void) {
  uint32_t r = next(), top = r >> 8 & 7, precision = r >> 11 & 3;
  for (int i = 0; i < 24; i += 3) {
    if (form.x87 == 'm') biased(), extra = 0xffff;
    else extended_value();
    inputs.x87[i] = low, inputs.x87[i + 1] = high, inputs.x87[i + 2] = extra;
  }
  if (form.x87 == 'm') {
    inputs.control = 0x37f, inputs.status = top << 11, inputs.tags = r & 0xff;
    return;
  }
  uint32_t masks = r & 0x38000 ? 0x3f : r >> 18 & 0x3f;
  inputs.control = masks | 0x40 | (precision == 1 ? 3 : precision) << 8 | (r >> 13 & 3) << 10;
  uint32_t sticky = r & 0x1000000 ? next() & 0x3f & (r & 0x1c000000 ? masks : 0x3f) : 0;
  inputs.status = top << 11 | (r >> 8 & 0x4700) | sticky | (sticky & ~masks ? 0x8080 : 0);
  inputs.tags = r & 0x2000000 ? 0xff : next() & 0xff;
}

static void draw_inputs(void) {
  uint32_t choice = next() & 7, r;
  inputs.code_length = template_length;
  for (int i = 0; i < template_length; i++) {
    int byte = template[i];
    if (byte < 0) {
      int last = i == template_length - 1 || template[i + 1] >= 0, random = next() & 0xff;
      byte = choice == 0 ? 0 : choice == 1 ? 0xff : choice == 2 ? (last ? 0x7f : 0xff) : choice == 3 ? (last ? 0x80 : 0) : random;
    }
    inputs.code[i] = byte;
  }
  for (int n = 0; n < 16; n++) {
    register_value(form.registers[n]);
    inputs.general[n] = form.bits == 64 ? (int64_t)((uint64_t)high << 32 | low) : low;
  }
  r = next();
  inputs.flags = (r & 0x8d5) | (form.direction && r & 0x10000 ? 0x400 : 0);
  fill_memory();
  fix_up();
  if (form.xmm != '-') fill_xmm();
  if (form.x87 != '-') fill_x87();
  draw_limits();
}

static uint32_t defined_flags(void) {
  if (form.count[0] == '-') return form.flags;
  int bits = atoi(form.count + 2);
  int n = (form.count[1] == 'c' ? inputs.general[1] : inputs.code[inputs.code_length - 1]) & (bits == 64 ? 63 : 31);
  if (n == 0) return form.flags;
  uint32_t undefined = n > 1 ? 0x800 : 0;
  if (form.count[0] != 'r') undefined |= 0x10;
  if (form.count[0] == 's' && n >= bits) undefined |= 1;
  return form.flags & ~undefined;
}

/* ---------------------------------------------------------------- hashing and showing outcomes */

typedef struct { uint32_t a, b; } Hash;
static Hash total, group;
static const Hash EMPTY = {0x12345678, 0x9abcdef0};
static char groups[400];

static void word(Hash *h, uint32_t w) {
  uint32_t a = (h->a ^ w) * 0x9e3779b1, b = (h->b + w) * 0x85ebca6b;
  h->a = a << 13 | a >> 19, h->b = b ^ b >> 15;
}
/* Every word of the outcome in a fixed order: `replay.ts` has the same list. */
static void each_word(void visit(const char *name, int index, uint32_t now, uint32_t before)) {
  visit("outcome", -1, outputs.outcome, 3);
  visit("rip", -1, outputs.rip, 0);
  if (form.limits[0] != '-') visit("error", -1, outputs.segments[6], 0);
  for (int n = 0; n < (form.bits == 64 ? 16 : 8); n++) {
    visit("r", 2 * n, outputs.general[n], inputs.general[n]);
    if (form.bits == 64) visit("r", 2 * n + 1, outputs.general[n] >> 32, inputs.general[n] >> 32);
  }
  visit("flags", -1, outputs.flags, inputs.flags & defined_flags());
  for (int i = 0; i < WINDOW_WORDS; i++) visit("m", i, outputs.memory[i], inputs.memory[i]);
  for (int i = 0; i < 7 && strchr(form.fixups, 'G'); i++) visit("seg", i, outputs.segments[i], inputs.segments[i]);
  if (form.xmm != '-') {
    for (int i = 0; i < (form.bits == 64 ? 64 : 32); i++) visit("x", i, outputs.xmm[i], inputs.xmm[i]);
    visit("mxcsr", -1, outputs.mxcsr, inputs.mxcsr);
  }
  if (form.x87 == '-') return;
  for (int i = 0; i < 24; i++) visit("st", i, outputs.x87[i], inputs.x87[i]);
  visit("fcw", -1, outputs.control, inputs.control);
  visit("fsw", -1, outputs.status, inputs.status & form.status);
  visit("ftw", -1, outputs.tags, inputs.tags);
}
static void hash_word(const char *name, int index, uint32_t now, uint32_t before) {
  (void)name, (void)index, (void)before;
  word(&total, now), word(&group, now);
}
static void show_word(const char *name, int index, uint32_t now, uint32_t before) {
  if (now == before) return;
  if (index < 0) printf(" %s=%x", name, now);
  else printf(" %s%d=%x", name, index, now);
}

/* ---------------------------------------------------------------- running */

static struct _xstate *fpu_of(ucontext_t *c) { return (struct _xstate *)c->uc_mcontext.fpregs; }

static void load_context(void) {
  static const int ORDER[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  greg_t *g = context->uc_mcontext.gregs;
  for (int n = 0; n < 16; n++) g[ORDER[n]] = inputs.general[n];
  g[REG_EFL] = inputs.flags | 0x202;
  g[REG_RIP] = CODE - inputs.code_base;
  g[REG_CSGSFS] = (int64_t)inputs.selectors[2] << 48 | inputs.selectors[1];
  memset((void *)CODE, 0xcc, 128);
  memcpy((void *)CODE, inputs.code, inputs.code_length);
  memcpy((void *)WINDOW, inputs.memory, sizeof inputs.memory);
  struct _xstate *x = fpu_of(context);
  x->xstate_hdr.xstate_bv |= 3;
  if (form.xmm != '-') {
    x->fpstate.mxcsr = inputs.mxcsr;
    memcpy(x->fpstate._xmm, inputs.xmm, sizeof inputs.xmm);
  }
  if (form.x87 == '-') return;
  x->fpstate.cwd = inputs.control, x->fpstate.swd = inputs.status, x->fpstate.ftw = inputs.tags;
  for (int i = 0; i < 8; i++) memcpy(&x->fpstate._st[i], &inputs.x87[3 * i], 10);
}

/* Fields of FPU images that differ from one processor to the next: instruction and data pointers, MXCSR_MASK. */
static void forget(int from, int to) { memset((uint8_t *)outputs.memory + from, 0, to - from); }
static void forget_pointers(void) {
  for (const char *p = form.fixups; *p; p++) {
    if (*p == 'X') forget(6, 24), forget(28, 32), forget(416, 512);
    if (*p == 'E') forget(12, 28);
    if (*p == 'e') forget(6, 14);
  }
}

static void read_context(void) {
  static const int ORDER[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  greg_t *g = context->uc_mcontext.gregs;
  for (int n = 0; n < 16; n++) outputs.general[n] = g[ORDER[n]];
  /* What compatibility mode leaves in the upper half of RSP is lost when a signal is delivered. */
  if (strchr(form.fixups, 'G') && form.bits == 64 && outputs.segments[1] != 0x33) outputs.general[4] &= 0xffffffff;
  outputs.outcome = g[REG_TRAPNO];
  outputs.rip = g[REG_RIP] - (CODE - inputs.code_base);
  outputs.flags = g[REG_EFL] & defined_flags();
  memcpy(outputs.memory, (void *)WINDOW, sizeof outputs.memory);
  forget_pointers();
  struct _fpstate *x = &fpu_of(context)->fpstate;
  outputs.mxcsr = x->mxcsr;
  memcpy(outputs.xmm, x->_xmm, sizeof outputs.xmm);
  outputs.control = x->cwd, outputs.status = x->swd & form.status, outputs.tags = x->ftw & 0xff;
  memset(outputs.x87, 0, sizeof outputs.x87);
  for (int i = 0; i < 8; i++) memcpy(&outputs.x87[3 * i], &x->_st[i], 10);
}

/* Reads the selectors, and puts back those that 64-bit code needs; the base of FS holds the C library's variables. */
static uint64_t fs_base;
static void take_segments(void) {
  uint32_t es, ds, fs, gs;
  __asm__ volatile("mov %%es, %0; mov %%ds, %1; mov %%fs, %2; mov %%gs, %3" : "=r"(es), "=r"(ds), "=r"(fs), "=r"(gs));
  __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %1, %%fs; mov %1, %%gs" ::"r"(0x2b), "r"(0));
  __asm__ volatile("wrfsbase %0" ::"r"(fs_base));
  greg_t *g = context->uc_mcontext.gregs;
  uint32_t error = g[REG_TRAPNO] == 3 ? 0 : g[REG_ERR], cs = g[REG_CSGSFS] & 0xffff, ss = (uint64_t)g[REG_CSGSFS] >> 48;
  uint32_t now[7] = {es & 0xffff, cs, ss, ds & 0xffff, fs & 0xffff, gs & 0xffff, error};
  uint32_t before[7] = {0};
  memcpy(before, inputs.selectors, sizeof inputs.selectors);
  /* A return from the kernel leaves null selectors zero. */
  for (int i = 0; i < 6; i++) {
    if ((now[i] & 0xfffc) == 0) now[i] = 0;
  }
  memcpy(outputs.segments, now, sizeof now);
  memcpy(inputs.segments, before, sizeof before);
}

/* The last thing before a return to a form with limits: the C library's variables are out of reach from then on. */
static void load_segments(void) {
  uint32_t *s = inputs.selectors;
  if (form.limits[0] == '-') return;
  __asm__ volatile("mov %0, %%es; mov %1, %%ds; mov %2, %%fs; mov %3, %%gs" ::"r"(s[0]), "r"(s[3]), "r"(s[4]), "r"(s[5]));
}

/* One LDT entry of each kind: `segments.ts` has the descriptors that Linux makes of them. */
static int fill_ldt(void) {
  static const struct user_desc KINDS[] = {
    {.entry_number = 1, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1},
    {.entry_number = 2, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .read_exec_only = 1},
    {.entry_number = 3, .limit = 0xfff, .seg_32bit = 1, .limit_in_pages = 1, .contents = 1},
    {.entry_number = 4, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .contents = 2},
    {.entry_number = 5, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .contents = 2, .read_exec_only = 1},
    {.entry_number = 6, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .seg_not_present = 1},
    {.entry_number = 7, .base_addr = 0x12345678, .limit = 0x1234},
    {.entry_number = 9, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .contents = 2, .seg_not_present = 1},
    /* Data that ends, and that begins, in the middle of the window; then the same with a base. */
    {.entry_number = 10, .limit = 0x110, .seg_32bit = 1, .limit_in_pages = 1},
    {.entry_number = 11, .limit = 0x110, .seg_32bit = 1, .limit_in_pages = 1, .contents = 1},
    {.entry_number = 12, .base_addr = 0x10, .limit = 0x110, .seg_32bit = 1, .limit_in_pages = 1},
    {.entry_number = 13, .base_addr = -0x10, .limit = 0x110, .seg_32bit = 1, .limit_in_pages = 1, .contents = 1},
    /* Data and stacks that 16-bit offsets reach: the window, all but its end, and all but its beginning. */
    {.entry_number = 14, .base_addr = WINDOW, .limit = 0x103},
    {.entry_number = 15, .base_addr = WINDOW, .limit = 0xfb, .contents = 1},
    {.entry_number = 16, .base_addr = WINDOW, .limit = 0x1ff},
    {.entry_number = 17, .base_addr = WINDOW, .limit = 0x1ff, .seg_32bit = 1},
    {.entry_number = 18, .base_addr = WINDOW, .limit = 0x1ff, .read_exec_only = 1},
    {.entry_number = 19, .base_addr = WINDOW, .limit = 0x1ff, .contents = 2},
    /* Code with no base; with one, and a limit soon after the code, within it, and far away; 16-bit code. */
    {.entry_number = 20, .limit = 0x100, .seg_32bit = 1, .limit_in_pages = 1, .contents = 2},
    {.entry_number = 21, .base_addr = CODE_PAGE, .limit = 0x87f, .seg_32bit = 1, .contents = 2},
    {.entry_number = 22, .base_addr = CODE_PAGE, .limit = 0x802, .seg_32bit = 1, .contents = 2},
    {.entry_number = 23, .base_addr = CODE_PAGE, .limit = 0x9ff, .seg_32bit = 1, .contents = 2, .read_exec_only = 1},
    {.entry_number = 24, .base_addr = CODE_PAGE, .limit = 0xffff, .contents = 2},
    {.entry_number = 25, .base_addr = CODE_PAGE, .limit = 0x87f, .contents = 2},
  };
  for (unsigned i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
    if (syscall(SYS_modify_ldt, 0x11, &KINDS[i], sizeof *KINDS) != 0) return perror("modify_ldt"), 0;
  }
  return (getauxval(AT_HWCAP2) & 2) != 0;
}

static void finish_record(void) {
  read_context();
  each_word(hash_word);
  if (done < shown) printf("\t%d", done), each_word(show_word);
  if (++done % GROUP == 0) {
    sprintf(groups + strlen(groups), "%04x", group.a & 0xffff);
    group = EMPTY;
  }
}

/* RFLAGS.AC stays set when a signal is delivered, and C does not heed it. */
__attribute__((naked)) static void enter(int number, siginfo_t *info, void *given) {
  (void)number, (void)info, (void)given;
  __asm__("pushfq; andl $~0x40000, (%rsp); popfq; jmp on_signal");
}

__attribute__((used)) void on_signal(int number, siginfo_t *info, void *given) {
  (void)number, (void)info;
  context = given;
  take_segments();
  if (done < 0) home = *context, done = 0;
  else finish_record();
  if (done == records) {
    memcpy(context->uc_mcontext.gregs, home.uc_mcontext.gregs, sizeof home.uc_mcontext.gregs);
    struct _xstate *x = fpu_of(context);
    x->fpstate.cwd = 0x37f, x->fpstate.swd = 0, x->fpstate.ftw = 0, x->fpstate.mxcsr = 0x1f80;
    return;
  }
  draw_inputs();
  load_context();
  load_segments();
}

static int read_form(char *line) {
  char memory[4], fpu[4];
  form.fixups[0] = 0;
  strcpy(form.limits, "-");
  seed(line);
  int n = sscanf(line, "%159[^\t]\t%d\t%255s\t%23s\t%3s\t%7s\t%3s\t%x\t%7s\t%d\t%x\t%7s", form.name, &form.bits, form.code,
                 form.registers, memory, form.fixups, fpu, &form.flags, form.count, &form.direction, &form.status,
                 form.limits);
  form.memory = memory[0], form.xmm = fpu[0], form.x87 = fpu[1];
  template_length = strlen(form.code) / 2;
  for (int i = 0; i < template_length; i++) {
    unsigned byte;
    template[i] = sscanf(form.code + 2 * i, "%2x", &byte) == 1 ? (int)byte : -1;
  }
  return n >= 11 && template_length <= 96;
}

int main(int argc, char **argv) {
  records = argc > 1 ? atoi(argv[1]) : 200;
  shown = argc > 2 ? atoi(argv[2]) : 2;
  void *pages = mmap((void *)CODE_PAGE, 0x30000, PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (pages != (void *)CODE_PAGE) return perror("mmap"), 1;
  memset(pages, 0xcc, 0x1000);
  __asm__ volatile("mov %%fs:0, %0" : "=r"(fs_base));
  if (!fill_ldt()) return fprintf(stderr, "this kernel lacks modify_ldt or FSGSBASE\n"), 1;
  stack_t stack = {.ss_sp = malloc(1 << 20), .ss_size = 1 << 20};
  sigaltstack(&stack, 0);
  struct sigaction action = {.sa_sigaction = enter, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  int signals[] = {SIGTRAP, SIGSEGV, SIGFPE, SIGILL, SIGBUS};
  for (int i = 0; i < 5; i++) sigaction(signals[i], &action, 0);
  /* Compatibility mode needs data segments; 64-bit code does not look at them. */
  __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(0x2b));

  static char line[900];
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!read_form(line)) return fprintf(stderr, "form not understood: %s\n", line), 1;
    memset(&inputs, 0, sizeof inputs);
    total = group = EMPTY, groups[0] = 0, done = -1;
    printf("%s", form.name);
    __asm__ volatile("int3" ::: "memory");
    printf("\t%08x%08x\t%s\n", total.a, total.b, groups);
  }
  return 0;
}
