/*
 * Asks the processor it runs on for the answers that float.test.ts expects. x86-64, gcc, Linux:
 *
 *     gcc -O1 -o generate generate.c -lquadmath
 *     ./generate > float.json                                          hashes for all operations and modes
 *     ./generate transcendental > transcendental.json                  references, to be met within a bound
 *     ./generate OPERATION MODE COUNT                                  full records, for diagnosis
 *
 * Operands come from a generator that operands.ts repeats, seeded by the operation's name and the mode, so only
 * hashes of the answers need to be kept. A record's answer is a list of 32-bit words; see each run function.
 */
#define _GNU_SOURCE
#include <quadmath.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { RECORDS = 100, FULL_RECORDS = 4 };

/* ---------------------------------------------------------------- operands */

static uint32_t seed;
static uint32_t previous; /* exponent field of the operand before, relative to the bias */

static uint32_t next(void) {
  uint32_t t = (seed += 0x6d2b79f5u);
  t = (t ^ t >> 15) * (t | 1);
  t ^= t + (t ^ t >> 7) * (t | 61);
  return t ^ t >> 14;
}

static uint64_t next64(void) {
  uint64_t high = next();
  return high << 32 | next();
}

/* A fraction of the given width, often with few bits, or one that ends near a rounding boundary. */
static uint64_t fraction(int bits) {
  uint64_t all = bits == 64 ? ~0ull : (1ull << bits) - 1;
  uint32_t r = next();
  uint64_t random = next64();
  uint32_t place = (r >> 8) % bits;
  switch (r & 7) {
    case 0: return 0;
    case 1: return all;
    case 2: return 1ull << place;
    case 3: return all & ~(1ull << place);
    case 4: return (random & all) >> place << place;
    case 5: return all & ((random << 41) | (1ull << 40) | ((random >> 32) & 1));
    default: return random & all;
  }
}

/* An exponent field for a format with this bias; the extremes 0 and 2 * bias + 1 are zeros, denormals, infinities, NaNs. */
static uint32_t exponent(uint32_t bias) {
  uint32_t r = next();
  uint32_t field;
  switch (r & 15) {
    case 0: case 1: field = 0; break;
    case 2: field = 2 * bias + 1; break;
    case 3: field = 1 + ((r >> 8) & 3); break;
    case 4: field = 2 * bias - ((r >> 8) & 3); break;
    case 5: case 6: case 7: field = bias + previous + ((r >> 8) & 7) - 3; break;
    case 8: case 9: field = bias + ((r >> 8) & 63); break;
    case 10: case 11: field = bias - 32 + ((r >> 8) & 63); break;
    case 12: field = bias - previous + ((r >> 8) & 7) - 3; break;
    default: field = (r >> 8) & (2 * bias + 1);
  }
  if (field > 2 * bias + 1) field = bias;
  previous = field - bias;
  return field;
}

static uint32_t single(void) {
  uint32_t field = exponent(127);
  uint32_t bits = (uint32_t)fraction(23);
  return (next() & 0x80000000u) | field << 23 | bits;
}

static uint64_t dbl(void) {
  uint64_t field = exponent(1023);
  uint64_t bits = fraction(52);
  return (uint64_t)(next() & 0x80000000u) << 32 | field << 52 | bits;
}

static uint64_t integer(int bits) {
  uint64_t value = fraction(64);
  uint32_t r = next();
  if (r & 1) value = (int64_t)value >> ((r >> 8) & 63);
  return bits == 64 ? value : value & ((1ull << bits) - 1);
}

/* ---------------------------------------------------------------- answers */

static uint32_t answer[16];
static int answers;

static void say(uint32_t word) { answer[answers++] = word; }
static void say64(uint64_t word) { say((uint32_t)word); say((uint32_t)(word >> 32)); }

static uint32_t mix(uint32_t hash, uint32_t word) {
  hash = (hash ^ word) * 0x9e3779b1u;
  return hash ^ hash >> 15;
}

/* ---------------------------------------------------------------- operands of an operation */

typedef struct { uint64_t significand; uint16_t top; } __attribute__((packed)) extended;

/* Mostly sound; sometimes a pseudo-denormal, an unnormal or another encoding that the x87 refuses. */
static extended ext(void) {
  extended x;
  uint32_t field = exponent(16383);
  uint64_t bits = fraction(63);
  uint32_t r = next();
  int odd = (r & 0x1f0) == 0;
  x.top = (uint16_t)((r & 1) << 15 | field);
  x.significand = ((field != 0) != odd ? 1ull << 63 : 0) | bits;
  return x;
}

/* A finite number with an exponent from lowest to lowest + count - 1. */
static extended ordinary(int lowest, uint32_t count) {
  extended x;
  uint32_t r = next();
  x.top = (uint16_t)((r & 1) << 15 | (uint32_t)(16383 + lowest + (int)((r >> 8) % count)));
  x.significand = 1ull << 63 | fraction(63);
  return x;
}

/* Any encoding but finite numbers with exponents from lowest to highest, which are brought below. */
static extended without(int lowest, int highest) {
  extended x = ext();
  int field = (x.top & 0x7fff) - 16383;
  if (field >= lowest && field <= highest) x.top = (uint16_t)((x.top & 0x8000) | (16383 + lowest - 1));
  return x;
}

/*
 * Operands of the transcendental functions: u below 1, n below 1/4, v angles below 2^63, p positive, g of any sign,
 * e a any but those that are too large, or so large that the processor's π would show.
 * The operand letters of the tables below: s d single and double, w i l integers, x extended, b packed BCD.
 */
typedef struct { uint32_t s; uint64_t d, l; extended x; } operands;
static operands operand[4];

/* Eighteen decimal digits in l, the sign byte in the low half of x.top; bits 0-6 of it are ignored. */
static operands bcd(void) {
  operands o = {0};
  for (int i = 0; i < 8; i++) {
    uint32_t r = next();
    o.l |= (uint64_t)(r % 10 << 4 | (r >> 8) % 10) << 8 * i;
  }
  uint32_t r = next();
  o.x.top = (uint16_t)((r >> 16) << 8 | (r % 10 << 4 | (r >> 8) % 10));
  return o;
}

static void draw(const char *letters) {
  previous = 0;
  for (int i = 0; letters[i]; i++) {
    switch (letters[i]) {
      case 's': operand[i].s = single(); break;
      case 'd': operand[i].d = dbl(); break;
      case 'x': operand[i].x = ext(); break;
      case 'w': operand[i].l = integer(16); break;
      case 'i': operand[i].l = integer(32); break;
      case 'l': operand[i].l = integer(64); break;
      case 'b': operand[i] = bcd(); break;
      case 'e': operand[i].x = without(-2, 16383); break;
      case 'a': operand[i].x = without(8, 62); break;
      case 'u': operand[i].x = ordinary(-70, 70); break;
      case 'n': operand[i].x = ordinary(-70, 68); break;
      case 'v': operand[i].x = ordinary(-40, 103); break;
      case 'p': operand[i].x = ordinary(-4, 8), operand[i].x.top &= 0x7fff; break;
      case 'g': operand[i].x = ordinary(-40, 80); break;
    }
  }
}

/* ---------------------------------------------------------------- SSE */

typedef union { uint32_t s[4]; uint64_t d[2]; } __attribute__((aligned(16))) xmm;
static xmm left, right, result;
static uint64_t general;
static uint32_t mxcsr_in, mxcsr_out;
static const uint32_t default_mxcsr = 0x1f80;
static void *resume;
static volatile uint32_t trapped;

static void on_fpe(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)resume;
  trapped = 1;
}

/* Runs one instruction on xmm0, xmm1 and rcx; if it traps, it is left out. */
#define EXECUTE(instruction)                                                                      \
  asm volatile("movaps %[l], %%xmm0\n movaps %[r], %%xmm1\n movq %[g], %%rcx\n"                   \
               "leaq 1f(%%rip), %%rax\n movq %%rax, %[resume]\n ldmxcsr %[in]\n" instruction "\n" \
               "1: stmxcsr %[out]\n ldmxcsr %[def]\n movaps %%xmm0, %[x]\n movq %%rcx, %[g]\n"     \
               : [out] "=m"(mxcsr_out), [x] "=m"(result), [g] "+m"(general), [resume] "=m"(resume) \
               : [l] "m"(left), [r] "m"(right), [in] "m"(mxcsr_in), [def] "m"(default_mxcsr)       \
               : "rax", "rcx", "xmm0", "xmm1", "memory", "cc")

#define COMPARE(instruction) instruction " %%xmm1, %%xmm0\n lahf\n movzbl %%ah, %%ecx"

/* name, operands, kind of answer (c: flags of a compare), instruction */
#define SSE_OPERATIONS(_)                                      \
  _(f32Add, "ss", 's', "addss %%xmm1, %%xmm0")                 \
  _(f32Subtract, "ss", 's', "subss %%xmm1, %%xmm0")            \
  _(f32Multiply, "ss", 's', "mulss %%xmm1, %%xmm0")            \
  _(f32Divide, "ss", 's', "divss %%xmm1, %%xmm0")              \
  _(f32Sqrt, "s", 's', "sqrtss %%xmm0, %%xmm0")                \
  _(f32Min, "ss", 's', "minss %%xmm1, %%xmm0")                 \
  _(f32Max, "ss", 's', "maxss %%xmm1, %%xmm0")                 \
  _(f32Compare, "ss", 'c', COMPARE("comiss"))                  \
  _(f32CompareQuiet, "ss", 'c', COMPARE("ucomiss"))            \
  _(f32Predicate0, "ss", 's', "cmpss $0, %%xmm1, %%xmm0")      \
  _(f32Predicate1, "ss", 's', "cmpss $1, %%xmm1, %%xmm0")      \
  _(f32Predicate2, "ss", 's', "cmpss $2, %%xmm1, %%xmm0")      \
  _(f32Predicate3, "ss", 's', "cmpss $3, %%xmm1, %%xmm0")      \
  _(f32Predicate4, "ss", 's', "cmpss $4, %%xmm1, %%xmm0")      \
  _(f32Predicate5, "ss", 's', "cmpss $5, %%xmm1, %%xmm0")      \
  _(f32Predicate6, "ss", 's', "cmpss $6, %%xmm1, %%xmm0")      \
  _(f32Predicate7, "ss", 's', "cmpss $7, %%xmm1, %%xmm0")      \
  _(f32Round0, "s", 's', "roundss $0, %%xmm0, %%xmm0")         \
  _(f32Round1, "s", 's', "roundss $1, %%xmm0, %%xmm0")         \
  _(f32Round4, "s", 's', "roundss $4, %%xmm0, %%xmm0")         \
  _(f32Round10, "s", 's', "roundss $10, %%xmm0, %%xmm0")       \
  _(f32ToF64, "s", 'd', "cvtss2sd %%xmm0, %%xmm0")             \
  _(f32ToI32, "s", 'i', "cvtss2si %%xmm0, %%ecx")              \
  _(f32ToI64, "s", 'l', "cvtss2si %%xmm0, %%rcx")              \
  _(f32TruncateToI32, "s", 'i', "cvttss2si %%xmm0, %%ecx")     \
  _(f32TruncateToI64, "s", 'l', "cvttss2si %%xmm0, %%rcx")     \
  _(f64Add, "dd", 'd', "addsd %%xmm1, %%xmm0")                 \
  _(f64Subtract, "dd", 'd', "subsd %%xmm1, %%xmm0")            \
  _(f64Multiply, "dd", 'd', "mulsd %%xmm1, %%xmm0")            \
  _(f64Divide, "dd", 'd', "divsd %%xmm1, %%xmm0")              \
  _(f64Sqrt, "d", 'd', "sqrtsd %%xmm0, %%xmm0")                \
  _(f64Min, "dd", 'd', "minsd %%xmm1, %%xmm0")                 \
  _(f64Max, "dd", 'd', "maxsd %%xmm1, %%xmm0")                 \
  _(f64Compare, "dd", 'c', COMPARE("comisd"))                  \
  _(f64CompareQuiet, "dd", 'c', COMPARE("ucomisd"))            \
  _(f64Predicate1, "dd", 'd', "cmpsd $1, %%xmm1, %%xmm0")      \
  _(f64Predicate4, "dd", 'd', "cmpsd $4, %%xmm1, %%xmm0")      \
  _(f64Predicate6, "dd", 'd', "cmpsd $6, %%xmm1, %%xmm0")      \
  _(f64Round2, "d", 'd', "roundsd $2, %%xmm0, %%xmm0")         \
  _(f64Round3, "d", 'd', "roundsd $3, %%xmm0, %%xmm0")         \
  _(f64Round4, "d", 'd', "roundsd $4, %%xmm0, %%xmm0")         \
  _(f64Round8, "d", 'd', "roundsd $8, %%xmm0, %%xmm0")         \
  _(f64ToF32, "d", 's', "cvtsd2ss %%xmm0, %%xmm0")             \
  _(f64ToI32, "d", 'i', "cvtsd2si %%xmm0, %%ecx")              \
  _(f64ToI64, "d", 'l', "cvtsd2si %%xmm0, %%rcx")              \
  _(f64TruncateToI32, "d", 'i', "cvttsd2si %%xmm0, %%ecx")     \
  _(f64TruncateToI64, "d", 'l', "cvttsd2si %%xmm0, %%rcx")     \
  _(i32ToF32, "i", 's', "cvtsi2ssl %%ecx, %%xmm0")             \
  _(i64ToF32, "l", 's', "cvtsi2ssq %%rcx, %%xmm0")             \
  _(i32ToF64, "i", 'd', "cvtsi2sdl %%ecx, %%xmm0")             \
  _(i64ToF64, "l", 'd', "cvtsi2sdq %%rcx, %%xmm0")             \
  _(packedDivide, "ssss", 'S', "divps %%xmm1, %%xmm0")

#define DEFINE(name, letters, kind, instruction) \
  static void run_##name(void) { EXECUTE(instruction); }
SSE_OPERATIONS(DEFINE)

typedef struct { const char *name, *letters; char kind; void (*run)(void); uint16_t status; } operation;

#define ENTRY(name, letters, kind, instruction) {#name, letters, kind, run_##name, 0},
static const operation sse_operations[] = {SSE_OPERATIONS(ENTRY){0}};

/* Modes: rounding x (FTZ, DAZ) x exceptions all masked or none, then each exception alone unmasked. */
enum { SSE_MODES = 38, ALL_MODES = 32 };

static uint32_t sse_mode(int mode) {
  if (mode >= ALL_MODES) return 0x1f80 & ~(0x80u << (mode - ALL_MODES));
  return (uint32_t)(mode & 3) << 13 | (mode & 4 ? 0x8000 : 0) | (mode & 8 ? 0x40 : 0) | (mode & 16 ? 0 : 0x1f80);
}

/* The answer: 1 if it trapped, else 0 and the result; then the exception flags. */
static void run_sse(const operation *o) {
  memset(&left, 0, sizeof left), memset(&right, 0, sizeof right);
  for (int i = 0; o->letters[i]; i++) {
    xmm *target = o->kind == 'S' ? (i & 1 ? &right : &left) : i ? &right : &left;
    if (o->letters[i] == 's') target->s[o->kind == 'S' ? i >> 1 : 0] = operand[i].s;
    if (o->letters[i] == 'd') target->d[0] = operand[i].d;
    general = operand[i].l;
  }
  if (o->kind == 'S') left.s[2] = left.s[3] = right.s[2] = right.s[3] = 0x3f800000;
  trapped = 0;
  o->run();
  say(trapped);
  if (!trapped) {
    if (o->kind == 's') say(result.s[0]);
    if (o->kind == 'd') say64(result.d[0]);
    if (o->kind == 'i') say((uint32_t)general);
    if (o->kind == 'l') say64(general);
    if (o->kind == 'c') say(general & 4 ? 2 : general & 1 ? -1 : general & 0x40 ? 0 : 1);
    if (o->kind == 'S') say64(result.d[0]);
  }
  say(mxcsr_out & 0x3f);
}

/* ---------------------------------------------------------------- x87 */

static uint16_t control;
static struct { uint32_t words[7]; extended st[8]; } __attribute__((packed)) saved;
static uint8_t memory[16];

/* Loads b and a (a is ST0), or one of them, or none; runs one instruction, rcx = memory; saves everything. */
#define X87(loads, instruction)                                                          \
  asm volatile("fninit\n" loads "fldcw %[cw]\n" instruction "\n fnsave %[saved]\n fninit" \
               : [saved] "=m"(saved), "+m"(memory)                                        \
               : [a] "m"(operand[0].x), [b] "m"(operand[1].x), [cw] "m"(control), "c"(memory) \
               : "memory", "st")
#define NONE ""
#define ONE "fldt %[a]\n"
#define TWO "fldt %[b]\n fldt %[a]\n"

enum { ARITHMETIC = 0x82ff, CODES = 0xc7ff, SPECIAL = 0x84ff };

/* name, operands, kind of answer (1 2: ST0, and ST1; m: memory), what of the status word counts, loads, instruction */
#define X87_OPERATIONS(_)                                                        \
  _(f80Add, "xx", '1', ARITHMETIC, TWO, "fadd %%st(1), %%st")                    \
  _(f80Subtract, "xx", '1', ARITHMETIC, TWO, "fsub %%st(1), %%st")               \
  _(f80Multiply, "xx", '1', ARITHMETIC, TWO, "fmul %%st(1), %%st")               \
  _(f80Divide, "xx", '1', ARITHMETIC, TWO, "fdiv %%st(1), %%st")                 \
  _(f80Sqrt, "x", '1', ARITHMETIC, ONE, "fsqrt")                                 \
  _(f80Compare, "xx", '1', CODES, TWO, "fcom %%st(1)")                           \
  _(f80CompareQuiet, "xx", '1', CODES, TWO, "fucom %%st(1)")                     \
  _(f80Examine, "x", '1', CODES, ONE, "fxam")                                    \
  _(f80Round, "x", '1', ARITHMETIC, ONE, "frndint")                              \
  _(f80Scale, "xx", '1', ARITHMETIC, TWO, "fscale")                              \
  _(f80Remainder, "xx", '1', CODES, TWO, "fprem")                                \
  _(f80RemainderNearest, "xx", '1', CODES, TWO, "fprem1")                        \
  _(f80Extract, "x", '2', ARITHMETIC, ONE, "fxtract")                            \
  _(f80FromF32, "s", '1', ARITHMETIC, NONE, "flds (%%rcx)")                      \
  _(f80FromF64, "d", '1', ARITHMETIC, NONE, "fldl (%%rcx)")                      \
  _(f80AddF32, "xs", '1', ARITHMETIC, ONE, "fadds (%%rcx)")                      \
  _(f80MultiplyF64, "xd", '1', ARITHMETIC, ONE, "fmull (%%rcx)")                 \
  _(f80DivideF32, "xs", '1', ARITHMETIC, ONE, "fdivs (%%rcx)")                   \
  _(f80CompareF64, "xd", '1', CODES, ONE, "fcoml (%%rcx)")                       \
  _(f80FromI16, "w", '1', ARITHMETIC, NONE, "filds (%%rcx)")                     \
  _(f80FromI32, "i", '1', ARITHMETIC, NONE, "fildl (%%rcx)")                     \
  _(f80FromI64, "l", '1', ARITHMETIC, NONE, "fildll (%%rcx)")                    \
  _(f80FromBcd, "b", '1', ARITHMETIC, NONE, "fbld (%%rcx)")                      \
  _(f80ToF32, "x", 'm', ARITHMETIC, ONE, "fstps (%%rcx)")                        \
  _(f80ToF64, "x", 'm', ARITHMETIC, ONE, "fstpl (%%rcx)")                        \
  _(f80ToI16, "x", 'm', ARITHMETIC, ONE, "fistps (%%rcx)")                       \
  _(f80ToI32, "x", 'm', ARITHMETIC, ONE, "fistpl (%%rcx)")                       \
  _(f80ToI64, "x", 'm', ARITHMETIC, ONE, "fistpll (%%rcx)")                      \
  _(f80TruncateToI16, "x", 'm', ARITHMETIC, ONE, "fisttps (%%rcx)")              \
  _(f80TruncateToI32, "x", 'm', ARITHMETIC, ONE, "fisttpl (%%rcx)")              \
  _(f80TruncateToI64, "x", 'm', ARITHMETIC, ONE, "fisttpll (%%rcx)")             \
  _(f80ToBcd, "x", 'm', ARITHMETIC, ONE, "fbstp (%%rcx)")

#define DEFINE_X87(name, letters, kind, status, loads, instruction) \
  static void run_##name(void) { X87(loads, instruction); }
X87_OPERATIONS(DEFINE_X87)
#define ENTRY_X87(name, letters, kind, status, loads, instruction) {#name, letters, kind, run_##name, status},
static const operation x87_operations[] = {X87_OPERATIONS(ENTRY_X87){0}};

/* Modes: rounding x precision (24, 53, 64) x exceptions all masked or none; then each exception alone unmasked. */
enum { X87_MODES = 30, ALL_X87_MODES = 24 };

static uint16_t x87_mode(int mode) {
  static const uint16_t precisions[] = {0x300, 0x200, 0x000};
  if (mode >= ALL_X87_MODES) return 0x33f & ~(1 << (mode - ALL_X87_MODES));
  return (uint16_t)((mode & 3) << 10 | precisions[(mode >> 2) % 3] | (mode >= 12 ? 0 : 0x3f));
}

static void say_extended(extended x) { say64(x.significand), say(x.top); }

/*
 * Of a transcendental result the sign counts, and whether it is a zero, an infinity or a NaN; of the status word all but C1,
 * which tells how it was rounded.
 */
static void say_special(extended x) {
  int exact = (x.top & 0x7fff) == 0x7fff || x.significand == 0;
  if (exact) say_extended(x);
  else say(x.top >> 15);
}

/* The answer: the status word, TOP, then registers that are not empty or memory. */
static void run_x87(const operation *o) {
  memset(memory, 0x55, sizeof memory);
  for (int i = 0; o->letters[i]; i++) {
    if (o->letters[i] == 's') memcpy(memory, &operand[i].s, 4);
    if (o->letters[i] == 'd') memcpy(memory, &operand[i].d, 8);
    if (strchr("wilb", o->letters[i])) memcpy(memory, &operand[i].l, 8);
    if (o->letters[i] == 'b') memcpy(memory + 8, &operand[i].x.top, 2);
  }
  o->run();
  uint16_t status = (uint16_t)saved.words[1];
  uint32_t depth = (8 - (status >> 11)) & 7;
  say(status & o->status);
  say(depth);
  if (o->kind == 's') {
    say_special(saved.st[0]);
    if (depth > strlen(o->letters)) say_special(saved.st[1]);
    return;
  }
  if (o->kind != 'm' && depth > 0) say_extended(saved.st[0]);
  if (o->kind == '2' && depth > 1) say_extended(saved.st[1]);
  if (o->kind == 'm') for (int i = 0; i < 12; i += 4) say(memory[i] | memory[i + 1] << 8 | memory[i + 2] << 16 | (uint32_t)memory[i + 3] << 24);
}

/* ---------------------------------------------------------------- all of it */

static uint32_t name_hash(const char *name) {
  uint32_t hash = 0;
  while (*name) hash = mix(hash, (uint8_t)*name++);
  return hash;
}

/* ---------------------------------------------------------------- transcendental functions */

static __float128 quad(int i) {
  long double value = 0;
  memcpy(&value, &operand[i].x, 10);
  return value;
}

static __float128 power_minus_1(void) { return expm1q(quad(0) * M_LN2q); }
static __float128 logarithm(void) { return quad(1) * (log1pq(quad(0) - 1) * M_LOG2Eq); }
static __float128 logarithm_plus_1(void) { return quad(1) * (log1pq(quad(0)) * M_LOG2Eq); }
static __float128 arc_tangent(void) { return atan2q(quad(1), quad(0)); }
static __float128 sine(void) { return sinq(quad(0)); }
static __float128 cosine(void) { return cosq(quad(0)); }
static __float128 tangent(void) { return tanq(quad(0)); }

/* name, operands (ST0, ST1), reference, loads, instruction that leaves the answer in ST0 */
#define TRANSCENDENTALS(_)                                           \
  _(f80PowerMinus1, "u", power_minus_1, ONE, "f2xm1")                \
  _(f80Logarithm, "pg", logarithm, TWO, "fyl2x")                     \
  _(f80LogarithmPlus1, "ng", logarithm_plus_1, TWO, "fyl2xp1")       \
  _(f80ArcTangent, "gg", arc_tangent, TWO, "fpatan")                 \
  _(f80Sine, "v", sine, ONE, "fsin")                                 \
  _(f80Cosine, "v", cosine, ONE, "fcos")                             \
  _(f80Tangent, "v", tangent, ONE, "fptan\n fstp %%st(0)")

/* The special cases: any operands, but only zeros, infinities and NaNs of the answer count; see `special`. */
#define SPECIALS(_)                                                    \
  _(f80PowerMinus1Special, "x", 's', SPECIAL, ONE, "f2xm1")             \
  _(f80LogarithmSpecial, "xx", 's', SPECIAL, TWO, "fyl2x")              \
  _(f80LogarithmPlus1Special, "ex", 's', SPECIAL, TWO, "fyl2xp1")       \
  _(f80ArcTangentSpecial, "xx", 's', SPECIAL, TWO, "fpatan")            \
  _(f80SineSpecial, "a", 's', SPECIAL, ONE, "fsin")                     \
  _(f80CosineSpecial, "a", 's', SPECIAL, ONE, "fcos")                   \
  _(f80SineCosineSpecial, "a", 's', SPECIAL, ONE, "fsincos")            \
  _(f80TangentSpecial, "a", 's', SPECIAL, ONE, "fptan")
SPECIALS(DEFINE_X87)
static const operation special_operations[] = {SPECIALS(ENTRY_X87){0}};

#define DEFINE_TRANSCENDENTAL(name, letters, reference, loads, instruction) \
  static void run_##name(void) { X87(loads, instruction); }
TRANSCENDENTALS(DEFINE_TRANSCENDENTAL)
#define ENTRY_TRANSCENDENTAL(name, letters, reference, loads, instruction) {#name, letters, reference, run_##name},
static const struct {
  const char *name, *letters;
  __float128 (*reference)(void);
  void (*run)(void);
} transcendentals[] = {TRANSCENDENTALS(ENTRY_TRANSCENDENTAL){0}};

/*
 * For each function a list of references, sign and exponent : significand with 16 bits more than the format has, and how far
 * the processor's answer is from it, in units of the last place.
 */
static void print_transcendentals(int count) {
  printf("{\n");
  for (int f = 0; transcendentals[f].name; f++) {
    printf("  \"%s\": [\n", transcendentals[f].name);
    seed = name_hash(transcendentals[f].name);
    control = 0x33f;
    for (int n = 0; n < count; n++) {
      draw(transcendentals[f].letters);
      union { __float128 value; unsigned __int128 bits; } reference = {transcendentals[f].reference()};
      transcendentals[f].run();
      long double native = 0;
      memcpy(&native, &saved.st[0], 10);
      uint32_t top = (uint32_t)(reference.bits >> 112);
      unsigned __int128 significand = ((unsigned __int128)1 << 112 | (reference.bits & (((unsigned __int128)1 << 112) - 1))) >> 33;
      double away = (double)((native - reference.value) / ldexpq(1, (int)(top & 0x7fff) - 16383 - 63));
      printf("    [\"%04x:%04x%016llx\", %.3f]%s\n", top, (uint32_t)(significand >> 64), (unsigned long long)significand, away,
             n + 1 < count ? "," : "");
    }
    printf("  ]%s\n", transcendentals[f + 1].name ? "," : "");
  }
  printf("}\n");
}

static void record(const operation *o, int mode) {
  draw(o->letters);
  answers = 0;
  if (o->status) {
    control = x87_mode(mode);
    run_x87(o);
  } else {
    mxcsr_in = sse_mode(mode);
    run_sse(o);
  }
}

static void print_answer(void) {
  for (int i = 0; i < answers; i++) printf("%s%x", i ? " " : "", answer[i]);
}

static void print_records(const operation *o, int mode, int count) {
  seed = mix(name_hash(o->name), (uint32_t)mode);
  for (int n = 0; n < count; n++) {
    record(o, mode);
    print_answer();
    printf("\n");
  }
}

/* The first records of mode 0 in full, then a hash for each mode. */
static void print_hashes(const operation *o, int modes) {
  seed = mix(name_hash(o->name), 0);
  printf("  \"%s\": {\n    \"first\": [", o->name);
  for (int n = 0; n < FULL_RECORDS; n++) {
    record(o, 0);
    printf("%s\"", n ? ", " : "");
    print_answer();
    printf("\"");
  }
  printf("],\n    \"hashes\": [");
  for (int mode = 0; mode < modes; mode++) {
    uint32_t hash = 0;
    seed = mix(name_hash(o->name), (uint32_t)mode);
    for (int n = 0; n < RECORDS; n++) {
      record(o, mode);
      for (int i = 0; i < answers; i++) hash = mix(hash, answer[i]);
    }
    printf("%s%u", mode ? ", " : "", hash);
  }
  printf("]\n  }");
}

int main(int count, char **arguments) {
  struct sigaction action = {.sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGFPE, &action, 0);
  if (count >= 2 && !strcmp(arguments[1], "transcendental")) {
    print_transcendentals(count > 2 ? atoi(arguments[2]) : 100);
    return 0;
  }
  if (count == 1) printf("{\n");
  static const operation *const tables[] = {sse_operations, x87_operations, special_operations};
  for (int table = 0; table < 3; table++) {
    for (const operation *o = tables[table]; o->name; o++) {
      if (count == 1) {
        print_hashes(o, o->status ? X87_MODES : SSE_MODES);
        printf("%s", o[1].name || table < 2 ? ",\n" : "\n}\n");
      } else if (!strcmp(o->name, arguments[1])) {
        print_records(o, atoi(arguments[2]), atoi(arguments[3]));
      }
    }
  }
  return 0;
}
