/* Exact nearest rows by way of whole numbers of eight bits.

   Rows x become codes: x = origin + step * (code + error), each code from -127 to 127, and the
   length of the error of each row is known.  By the triangle inequality two rows lie at least
   step * (|code - code'| - error - error') apart.  The distance of codes is a sum of products of
   whole numbers, which processors with VNNI make four times as fast as those of float32, and
   without rounding.  A pair that cannot be nearer than what is known already is passed over; of
   the others the distance is computed from the rows themselves, in double precision.

   Nothing here allocates, locks or keeps anything: the caller brings all memory, and may run
   parts of one task in several threads. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { PANEL = 32 };        /* columns side by side: codes of 4 dimensions of each, then the next 4 */
enum { SIDE_BY_SIDE = 4 };  /* panels that one row meets at once */
#define FLOAT_ROUNDING 1e-4 /* relative; far above what sums of 4096 squares can lose */
enum { NEVER = 1 << 29, ALWAYS = -(1 << 29) };      /* thresholds */
enum { PADDING = -(1 << 30), SURELY = 1 << 30 };    /* offsets of columns */

/* Rows and their codes. */
typedef struct {
    int64_t d, width;           /* numbers of a row; codes of a row, a multiple of 4 */
    double step;
    double error_limit;         /* of the rows that are screened as columns; others always pass */
    const float *values;        /* (n, d) */
    const int8_t *codes;        /* (n, width), and room to read beyond */
    const int32_t *norms;       /* (n) sum of squares of the codes */
    const int32_t *sums;        /* (n) sum of the codes */
    const float *errors;        /* (n) */
} coded;

/* Find for each row the nearest of the columns. */
typedef struct {
    coded rows;
    int64_t n_columns;
    const float *column_values; /* (n_columns, d) */
    const uint8_t *panels;
    const int32_t *offsets;     /* (n_columns, padded to whole panels) */
    const uint8_t *skipped;     /* (n_columns) or NULL */
    int64_t k;
    double *best;               /* (n, k) squared distances, ascending */
    int64_t *best_columns;      /* (n, k) or NULL */
    const int32_t *row_groups;  /* (n) or NULL */
    const int32_t *column_groups;
    double *others;             /* (n) nearest of another group */
} search;

/* Pick the farthest of some candidates, again and again. */
typedef struct {
    coded rows;
    int64_t count;
    const uint8_t *panels;      /* of the same rows, padded to SIDE_BY_SIDE panels */
    int32_t *thresholds;        /* as many */
    double *gaps;               /* (count) squared distance to the nearest pick */
} block;

static inline int32_t four_codes(const int8_t *codes)
{
    int32_t four;
    memcpy(&four, codes, 4);
    return four;
}

/* What a pair must be nearer than to matter for a row. */
static inline double row_bound(const search *s, int64_t i)
{
    return s->others ? s->others[i] : s->best[i * s->k + s->k - 1];
}

static int32_t within(double threshold)
{
    if (threshold < ALWAYS)
        return ALWAYS;
    return threshold < NEVER / 2 ? (int32_t)threshold : NEVER / 2;
}

/* With codes x of the row and y of the column, |x - y|^2 <= reach^2 is the same as
   x.y - |y|^2 / 2 >= (|x|^2 - reach^2) / 2; the column holds y + 128, which adds 128 sum(x). */
static int32_t row_threshold(const search *s, int64_t i)
{
    double gap = row_bound(s, i);
    if (gap < 0)
        return NEVER;
    double reach = sqrt(gap) / s->rows.step + s->rows.errors[i] + s->rows.error_limit;
    return within(floor((s->rows.norms[i] - reach * reach) / 2 - 1) + 128.0 * s->rows.sums[i]);
}

static int32_t candidate_threshold(const block *b, int64_t i)
{
    if (b->gaps[i] < 0)
        return NEVER;
    double reach = sqrt(b->gaps[i]) / b->rows.step + b->rows.errors[i] + b->rows.error_limit;
    return within(floor((b->rows.norms[i] - reach * reach) / 2 - 1));
}

static int32_t pick_offset(const block *b, int64_t pick)
{
    if (b->rows.errors[pick] > b->rows.error_limit)
        return SURELY;
    return -128 * b->rows.sums[pick] - b->rows.norms[pick] / 2;
}

/* Keep what was found out about a pair; tell whether the row's threshold changes. */
static int note(const search *s, int64_t row, int64_t column, double squared)
{
    if (s->skipped && s->skipped[column])
        return 0;
    double *best = s->best + row * s->k;
    int changed = 0;
    if (squared < best[s->k - 1]) {
        int64_t place = s->k - 1;
        for (; place > 0 && squared < best[place - 1]; place--) {
            best[place] = best[place - 1];
            if (s->best_columns)
                s->best_columns[row * s->k + place] = s->best_columns[row * s->k + place - 1];
        }
        best[place] = squared;
        if (s->best_columns)
            s->best_columns[row * s->k + place] = column;
        changed = 1;
    }
    if (s->others && s->row_groups[row] != s->column_groups[column] && squared < s->others[row]) {
        s->others[row] = squared;
        changed = 1;
    }
    return changed;
}

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vnni,fma")))
#define SUFFIX _512
#define VECTOR __m512i
#define LANES 16
#define ROWS 12
#define LOAD(address) _mm512_loadu_si512((const void *)(address))
#define STORE(address, vector) _mm512_storeu_si512((void *)(address), vector)
#define SPREAD(number) _mm512_set1_epi32(number)
#define MINUS(a, b) _mm512_sub_epi32(a, b)
#define BOTH(a, b) _mm512_and_si512(a, b)
#define DOT(sum, bytes, codes) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(bytes), "v"(codes))
#define PASSED(vector) (0xffffu & ~(uint32_t)_mm512_movepi32_mask(vector))
#define REALS __m512
#define NO_REALS _mm512_setzero_ps()
#define REALS_AT(address) _mm512_loadu_ps(address)
#define SOME_REALS_AT(address, n) \
    _mm512_maskz_loadu_ps((n) < 16 ? (__mmask16)((1u << (n)) - 1) : (__mmask16)0xffff, address)
#define LESS(a, b) _mm512_sub_ps(a, b)
#define SQUARE_ADDED(sum, a) _mm512_fmadd_ps(a, a, sum)
#define SUM_OF(a, b) _mm512_reduce_add_ps(_mm512_add_ps(a, b))
#include "kernel_simd.h"
#undef TARGET
#undef SUFFIX
#undef VECTOR
#undef LANES
#undef ROWS
#undef LOAD
#undef STORE
#undef SPREAD
#undef MINUS
#undef BOTH
#undef DOT
#undef PASSED
#undef REALS
#undef NO_REALS
#undef REALS_AT
#undef SOME_REALS_AT
#undef LESS
#undef SQUARE_ADDED
#undef SUM_OF

#define TARGET __attribute__((target("avx2,fma,avxvnni")))
#define SUFFIX _256
#define VECTOR __m256i
#define LANES 8
#define ROWS 6
#define LOAD(address) _mm256_loadu_si256((const __m256i *)(address))
#define STORE(address, vector) _mm256_storeu_si256((__m256i *)(address), vector)
#define SPREAD(number) _mm256_set1_epi32(number)
#define MINUS(a, b) _mm256_sub_epi32(a, b)
#define BOTH(a, b) _mm256_and_si256(a, b)
#define DOT(sum, bytes, codes) __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(bytes), "x"(codes))
#define PASSED(vector) (0xffu & ~(uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(vector)))
#define REALS __m256
#define NO_REALS _mm256_setzero_ps()
#define REALS_AT(address) _mm256_loadu_ps(address)
#define SOME_REALS_AT(address, n) _mm256_maskload_ps(address, first_lanes(n))
#define LESS(a, b) _mm256_sub_ps(a, b)
#define SQUARE_ADDED(sum, a) _mm256_fmadd_ps(a, a, sum)
#define SUM_OF(a, b) sum_of_256(_mm256_add_ps(a, b))

TARGET static inline __m256i first_lanes(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

TARGET static inline float sum_of_256(__m256 a)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

#include "kernel_simd.h"

/* Raised whenever a function or a structure here changes: a library of another one is left alone. */
EXPORT int screen_interface(void)
{
    return 2;
}

/* Whether this processor has the instructions of a level: 1, vectors of 256 bits; 2, of 512. */
EXPORT int screen_supports(int level)
{
    __builtin_cpu_init();
    if (level == 1)
        return __builtin_cpu_supports("avxvnni") && __builtin_cpu_supports("fma");
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
}

/* Codes of rows (n, d), the sum of each row's codes and of their squares, and its error. */
EXPORT void screen_quantise(const float *rows, int64_t n, int64_t d, int64_t width,
                            const float *origin, double step, int8_t *codes, int32_t *sums,
                            int32_t *norms, float *errors)
{
    const float per_step = (float)(1 / step);
    for (int64_t i = 0; i < n; i++) {
        const float *row = rows + i * d;
        int8_t *code = codes + i * width;
        int32_t sum = 0, norm = 0;
        float error = 0, size = 0;
        for (int64_t k = 0; k < d; k++) {
            float steps = (row[k] - origin[k]) * per_step;
            float near = steps < -127 ? -127 : steps > 127 ? 127 : steps;
            int32_t whole = (int32_t)(near + (near < 0 ? -0.5f : 0.5f));
            code[k] = (int8_t)whole;
            sum += whole;
            norm += whole * whole;
            error += (steps - whole) * (steps - whole);
            size += steps * steps;
        }
        for (int64_t k = d; k < width; k++)
            code[k] = 0;
        sums[i] = sum;
        norms[i] = norm;
        /* What float32 rounds here is far below a thousandth of these. */
        errors[i] = sqrtf(error) * 1.001f + sqrtf(size) * 1e-5f + 1e-3f;
    }
}

/* Panels of some rows: their codes + 128, PANEL rows side by side. */
EXPORT void screen_pack(const int8_t *codes, const int32_t *norms, const float *errors, int64_t n,
                        int64_t width, double error_limit, int64_t n_padded, uint8_t *panels,
                        int32_t *offsets)
{
    for (int64_t i = 0; i < n_padded; i++) {
        uint8_t *panel = panels + i / PANEL * PANEL * width + i % PANEL * 4;
        for (int64_t k = 0; k < width; k++)
            panel[k / 4 * 4 * PANEL + k % 4] = i < n ? (uint8_t)(codes[i * width + k] + 128) : 128;
        offsets[i] = i >= n ? PADDING : errors[i] > error_limit ? SURELY : -(norms[i] / 2);
    }
}

/* Rows [begin, end) of a search; `thresholds` has room for 16 numbers more than rows. */
EXPORT void screen_nearest(int level, const search *s, int64_t begin, int64_t end,
                           int32_t *thresholds)
{
    if (level == 2)
        nearest_512(s, begin, end, thresholds);
    else
        nearest_256(s, begin, end, thresholds);
}

/* Pick while the farthest candidate lies at `outside` or beyond, and beyond `stop`.
   -> how many; their places and their gaps before they were picked. */
EXPORT int64_t screen_pick(int level, const block *b, int64_t most, double outside, double stop,
                           int64_t *places, double *gaps)
{
    for (int64_t i = 0; i < b->count; i++)
        b->thresholds[i] = candidate_threshold(b, i);
    int64_t n = 0;
    while (n < most) {
        int64_t best = level == 2 ? largest_512(b->gaps, b->count) : largest_256(b->gaps, b->count);
        if (b->gaps[best] < outside || b->gaps[best] <= stop)
            break;
        places[n] = best;
        gaps[n++] = b->gaps[best];
        if (level == 2)
            lower_512(b, best);
        else
            lower_256(b, best);
        b->gaps[best] = -1;
        b->thresholds[best] = NEVER;
    }
    return n;
}

/* Squared distances of rows to one point. */
EXPORT void screen_distances(int level, const float *rows, int64_t n, int64_t d,
                             const float *point, double *squared)
{
    if (level == 2)
        distances_512(rows, n, d, point, squared);
    else
        distances_256(rows, n, d, point, squared);
}
