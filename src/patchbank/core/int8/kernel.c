/* Exact nearest rows; an int8 lower bound prunes most pairs.  __init__.py explains the idea.

   A row x is kept as x = origin + step * (code + error): a vector of small integers, and the length
   of the error.  By the triangle inequality the distance of two rows is at least
   step * (|code - code'| - |error| - |error'|).  The distance of codes needs only a dot product,
   which processors compute two to four times as fast as one of float32, and exactly.  A pair
   whose lower bound is above the distance known so far is skipped; for the others the distance is
   computed from the rows themselves, in float64.

   In every loop the "queries" are the rows whose nearest neighbour is sought, and the "candidates"
   are the rows that may be it.

   Distances are right for all finite values: squares of float32 numbers neither overflow nor
   underflow in float64, and a row whose error length overflows is always checked.  With NaN or
   infinity they mean nothing, but nothing outside the arrays is read or written.

   No function here allocates, locks or keeps anything: the caller owns all memory, and may run
   parts of one task in several threads. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#include <windows.h>
#endif
#endif

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Packed candidates are stored in panels: 4 codes of each of PANEL_WIDTH rows, then the next 4. */
enum { PANEL_WIDTH = 32 };
enum { STEP = 8 }; /* codes of a row: rounded up to a multiple */
enum { PANELS_AT_ONCE = 4 };                                /* in `update_candidates` */
enum { NEVER_CHECK = 1 << 29, MIN_THRESHOLD = -(1 << 29) }; /* thresholds of queries */
enum { PADDING = -(1 << 30), ALWAYS_CHECK = 1 << 30 };      /* offsets of packed rows */
#define FLOAT_ROUNDING 1e-4 /* relative; far above the rounding error of a sum of 4096 squares */

/* Instructions that the loops can be made of, each with the codes that suit it; binding.py has the
   same numbers. */
#define NEON 1
#define NEON_DOT 2
#define AVX2 3
#define AVX_VNNI 4
#define AVX512_VNNI 5
enum { N_LEVELS = AVX512_VNNI + 1 };

/* Codes go from -largest to largest, packed ones from bias - largest to bias + largest.  The
   instructions of x86 multiply unsigned by signed bytes, so packed codes have a bias there.  Where
   products of two bytes are added in 16 bits, `largest` is such that no sum of four of them leaves
   these. */
static const struct {
    int32_t largest, bias;
} CODES[N_LEVELS] = {
    [NEON] = {63, 0},
    [NEON_DOT] = {127, 0},
    [AVX2] = {63, 64},
    [AVX_VNNI] = {127, 128},
    [AVX512_VNNI] = {127, 128},
};

/* Quantized rows; binding.py declares the same structure. */
typedef struct {
    int64_t level;       /* the instructions that work on them */
    int64_t d, width;    /* numbers of a row; codes of a row, d rounded up to a multiple of STEP */
    double step;
    double error_limit;  /* packed rows of larger error are always checked */
    const float *values; /* (n, d) */
    int8_t *codes;       /* (n, width), and spare rows that may be read */
    int32_t *norms;      /* (n) sum of the squared codes */
    int32_t *sums;       /* (n) sum of the codes */
    float *errors;       /* (n) length of the error, in steps */
} quantized_rows;

/* Update the nearest candidates of each query. */
typedef struct {
    quantized_rows queries;
    int64_t n_candidates;
    const float *candidate_values; /* (n_candidates, d) */
    const uint8_t *panels;
    const int32_t *offsets;        /* (n_candidates, padded to whole panels) */
    const uint8_t *exclude;        /* (n_candidates) or NULL */
    int64_t k;
    double *min_distances;         /* (n, k) squared, ascending */
    int64_t *nearest;              /* (n, k) candidates at these distances, or NULL */
    const int32_t *query_groups;   /* (n) or NULL */
    const int32_t *candidate_groups;
    double *min_distances_other;   /* (n) squared distance to the nearest of another group */
} nearest_task;

/* Select the farthest of some rows, again and again; each row is query and candidate. */
typedef struct {
    quantized_rows rows;
    int64_t n;
    const uint8_t *panels; /* of the same rows, padded to a multiple of PANELS_AT_ONCE panels */
    int32_t *thresholds;   /* as many as the padded panels have rows */
    double *min_distances; /* (n) squared distance to the nearest centre */
} centre_task;

static inline int32_t load_4_codes(const int8_t *codes)
{
    int32_t four;
    memcpy(&four, codes, 4);
    return four;
}

/* The squared distance below which a candidate changes the result of a query. */
static inline double query_bound(const nearest_task *t, int64_t i)
{
    return t->min_distances_other ? t->min_distances_other[i]
                                  : t->min_distances[i * t->k + t->k - 1];
}

/* Kept far from the limits of int32: sums with an offset and a dot product cannot overflow. */
static int32_t clamp(double threshold)
{
    if (threshold < MIN_THRESHOLD)
        return MIN_THRESHOLD;
    return threshold < NEVER_CHECK / 2 ? (int32_t)threshold : NEVER_CHECK / 2;
}

/* The lower bound as an integer threshold.  A candidate can only matter if the distance of the
   codes is at most `reach`: the known distance in steps, plus the errors of both rows.
   With codes x of the query and y of the candidate, |x - y|^2 <= reach^2 is equivalent to
   x.y - |y|^2 / 2 >= (|x|^2 - reach^2) / 2.  Packed rows hold y + bias, which adds bias * sum(x) to
   the left side.  One less allows for the rounding of |y|^2 / 2 to an integer. */
static int32_t query_threshold(const nearest_task *t, int64_t i)
{
    const quantized_rows *q = &t->queries;
    double bound = query_bound(t, i);
    if (bound < 0)
        return NEVER_CHECK;
    double reach = sqrt(bound) / q->step + q->errors[i] + q->error_limit;
    return clamp(floor((q->norms[i] - reach * reach) / 2 - 1) +
                 (double)CODES[q->level].bias * q->sums[i]);
}

/* The same where the packed row is the query, and the centre the candidate; see `centre_offset`. */
static int32_t packed_threshold(const centre_task *t, int64_t i)
{
    if (t->min_distances[i] < 0)
        return NEVER_CHECK;
    double reach = sqrt(t->min_distances[i]) / t->rows.step + t->rows.errors[i];
    reach += t->rows.error_limit;
    return clamp(floor((t->rows.norms[i] - reach * reach) / 2 - 1));
}

static int32_t centre_offset(const centre_task *t, int64_t centre)
{
    if (t->rows.errors[centre] > t->rows.error_limit)
        return ALWAYS_CHECK;
    return -CODES[t->rows.level].bias * t->rows.sums[centre] - t->rows.norms[centre] / 2;
}

/* Insert the exact distance of a pair where it is among the smallest of its query.  On ties the
   candidate that came first stays.  -> whether anything changed. */
static int update_best(const nearest_task *t, int64_t query, int64_t candidate, double squared)
{
    if (t->exclude && t->exclude[candidate])
        return 0;
    double *distances = t->min_distances + query * t->k;
    int64_t *nearest = t->nearest ? t->nearest + query * t->k : NULL;
    int changed = 0;
    if (squared < distances[t->k - 1]) {
        int64_t rank = t->k - 1;
        for (; rank > 0 && squared < distances[rank - 1]; rank--) {
            distances[rank] = distances[rank - 1];
            if (nearest)
                nearest[rank] = nearest[rank - 1];
        }
        distances[rank] = squared;
        if (nearest)
            nearest[rank] = candidate;
        changed = 1;
    }
    if (t->min_distances_other && t->query_groups[query] != t->candidate_groups[candidate] &&
        squared < t->min_distances_other[query]) {
        t->min_distances_other[query] = squared;
        changed = 1;
    }
    return changed;
}

/* The loops, compiled for some instructions. */
typedef struct {
    void (*update_nearest)(const nearest_task *, int64_t, int64_t, int32_t *);
    void (*update_candidates)(const centre_task *, int64_t);
    void (*squared_distances)(const float *, int64_t, int64_t, const float *, double *);
    int64_t (*argmax)(const double *, int64_t);
} loops;

#if defined(__x86_64__)
#define LEVEL AVX512_VNNI
#include "kernel_simd.h"
#define LEVEL AVX_VNNI
#include "kernel_simd.h"
#define LEVEL AVX2
#include "kernel_simd.h"

static const loops *const LOOPS[N_LEVELS] = {
    [AVX2] = &loops_avx2, [AVX_VNNI] = &loops_avx_vnni, [AVX512_VNNI] = &loops_avx512_vnni};
#elif defined(__aarch64__)
#define LEVEL NEON_DOT
#include "kernel_simd.h"
#define LEVEL NEON
#include "kernel_simd.h"

static const loops *const LOOPS[N_LEVELS] = {[NEON] = &loops_neon, [NEON_DOT] = &loops_neon_dot};
#else
#error "no instructions for this processor"
#endif

/* Raised whenever a function, a result or a structure here changes, so that binding.py can refuse a
   library that was compiled from another version of this file. */
EXPORT int int8_interface(void)
{
    return 5;
}

#if defined(__x86_64__)
enum { EAX, EBX, ECX };

/* A bit of what the processor says of itself.  Compilers have __builtin_cpu_supports for it, but
   that of zig always answers no. */
static int has(unsigned leaf, unsigned part, int answer, int bit)
{
    unsigned answers[4];
    return __get_cpuid_count(leaf, part, &answers[0], &answers[1], &answers[2], &answers[3]) &&
           (answers[answer] >> bit & 1);
}

/* Whether processor and system keep these registers: 0x06 those of AVX, 0xe6 those of AVX-512. */
static int has_vectors(unsigned registers)
{
    unsigned low, high;
    if (!has(1, 0, ECX, 27)) /* OSXSAVE: the system says which it keeps */
        return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & registers) == registers;
}
#endif

/* Whether this processor has the instructions of a level. */
EXPORT int int8_supports(int level)
{
#if defined(__x86_64__)
    const int avx2 = has_vectors(0x06) && has(1, 0, ECX, 12) && has(7, 0, EBX, 5); /* FMA, AVX2 */
    if (level == AVX2)
        return avx2;
    if (level == AVX_VNNI)
#ifdef EMULATE_VNNI
        return avx2;
#else
        return avx2 && has(7, 1, EAX, 4);
#endif
    return level == AVX512_VNNI && avx2 && has_vectors(0xe6) && has(7, 0, EBX, 16) && /* F */
           has(7, 0, EBX, 17) && has(7, 0, EBX, 30) && has(7, 0, ECX, 11); /* DQ, BW, VNNI */
#else
    if (level == NEON)
        return 1;
    if (level != NEON_DOT)
        return 0;
#if defined(__linux__)
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__APPLE__)
    int present = 0;
    size_t size = sizeof present;
    return !sysctlbyname("hw.optional.arm.FEAT_DotProd", &present, &size, NULL, 0) && present;
#elif defined(_WIN32)
    return IsProcessorFeaturePresent(43) != 0; /* PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE */
#else
    return 0;
#endif
#endif
}

/* The largest code of a level. */
EXPORT int int8_largest_code(int level)
{
    return CODES[level].largest;
}

/* Fill codes, norms, sums and errors of n rows from their values and the origin (d). */
EXPORT void int8_quantize(const quantized_rows *rows, const float *origin, int64_t n)
{
    const int64_t d = rows->d, width = rows->width;
    const float *values = rows->values;
    const float per_step = (float)(1 / rows->step), largest = (float)CODES[rows->level].largest;
    for (int64_t i = 0; i < n; i++) {
        const float *row = values + i * d;
        int8_t *codes = rows->codes + i * width;
        int32_t sum = 0, norm = 0;
        float error = 0, size = 0;
        for (int64_t k = 0; k < d; k++) {
            float steps = (row[k] - origin[k]) * per_step;
            float clipped = steps > -largest ? (steps < largest ? steps : largest) : -largest; /* NaN too */
            int32_t code = (int32_t)(clipped + (clipped < 0 ? -0.5f : 0.5f));
            codes[k] = (int8_t)code;
            sum += code;
            norm += code * code;
            error += (steps - code) * (steps - code);
            size += steps * steps;
        }
        for (int64_t k = d; k < width; k++)
            codes[k] = 0;
        rows->sums[i] = sum;
        rows->norms[i] = norm;
        /* Larger than the true length, whatever float32 rounds in the sums above. */
        rows->errors[i] = sqrtf(error) * 1.001f + sqrtf(size) * 1e-5f + 1e-3f;
    }
}

/* Pack n quantized rows into panels, as codes + bias, and fill up to n_padded with rows that are
   never checked. */
EXPORT void int8_pack(const quantized_rows *rows, int64_t n, int64_t n_padded, uint8_t *panels,
                      int32_t *offsets)
{
    const int64_t width = rows->width;
    const int8_t *codes = rows->codes;
    const int32_t bias = CODES[rows->level].bias;
    for (int64_t i = 0; i < n_padded; i++) {
        uint8_t *panel = panels + i / PANEL_WIDTH * PANEL_WIDTH * width + i % PANEL_WIDTH * 4;
        for (int64_t k = 0; k < width; k++)
            panel[k / 4 * 4 * PANEL_WIDTH + k % 4] =
                (uint8_t)(bias + (i < n ? codes[i * width + k] : 0));
        if (i >= n)
            offsets[i] = PADDING;
        else
            offsets[i] = rows->errors[i] > rows->error_limit ? ALWAYS_CHECK : -(rows->norms[i] / 2);
    }
}

/* Update queries [begin, end); `thresholds` holds 16 numbers more than there are queries. */
EXPORT void int8_update_nearest(const nearest_task *t, int64_t begin, int64_t end,
                                int32_t *thresholds)
{
    LOOPS[t->queries.level]->update_nearest(t, begin, end, thresholds);
}

/* Greedy k-centre among the rows of a task: select the row of largest min-distance while that is at
   least `outside` and larger than `stop`; on ties the first.
   -> how many were selected; their indices, and the min-distance of each before its selection. */
EXPORT int64_t int8_select_centres(const centre_task *t, int64_t n_max, double outside, double stop,
                                   int64_t *centres, double *distances_before)
{
    const loops *level = LOOPS[t->rows.level];
    for (int64_t i = 0; i < t->n; i++)
        t->thresholds[i] = packed_threshold(t, i);
    int64_t n = 0;
    while (n < n_max) {
        int64_t farthest = level->argmax(t->min_distances, t->n);
        if (t->min_distances[farthest] < outside || t->min_distances[farthest] <= stop)
            break;
        centres[n] = farthest;
        distances_before[n++] = t->min_distances[farthest];
        level->update_candidates(t, farthest);
        t->min_distances[farthest] = -1;
        t->thresholds[farthest] = NEVER_CHECK;
    }
    return n;
}

/* Squared distances of n rows (n, d) to one point (d). */
EXPORT void int8_squared_distances(int level, const float *rows, int64_t n, int64_t d,
                                   const float *point, double *squared)
{
    LOOPS[level]->squared_distances(rows, n, d, point, squared);
}
