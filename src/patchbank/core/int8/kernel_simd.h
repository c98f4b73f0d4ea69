/* The loops of kernel.c for some instructions; kernel.c includes this file once for each LEVEL.

   VEC_I32 holds LANES integers of 32 bits.  DOT multiplies 4 * GROUPS packed codes by as many codes
   in each lane, and adds the sum to the lane.  A tile of TILE_QUERIES queries by two vectors of
   candidates has as many sums as the registers hold.  Every sum starts at its candidate's offset
   less its query's threshold, so that a pair survives the bound exactly where its sum is not
   negative, and one test of sign bits covers the whole tile. */

#if defined(__x86_64__)
#include "instructions_x86.h"
#else
#include "instructions_arm.h"
#endif

#define STRIP (2 * LANES) /* candidates of a tile */

/* The exact squared distance, in float64.  The order of the sum is fixed: 16 partial sums, which
   the compiler turns into vectors, added in pairs. */
TARGET static double NAME(squared_distance)(const float *a, const float *b, int64_t d)
{
    double partial[16] = {0};
    int64_t k = 0;
    for (; k + 16 <= d; k += 16)
        for (int j = 0; j < 16; j++) {
            double difference = (double)a[k + j] - (double)b[k + j];
            partial[j] += difference * difference;
        }
    for (int j = 0; k + j < d; j++) {
        double difference = (double)a[k + j] - (double)b[k + j];
        partial[j] += difference * difference;
    }
    for (int half = 8; half; half /= 2)
        for (int j = 0; j < half; j++)
            partial[j] += partial[j + half];
    return partial[0];
}

/* A number that is surely not above it, in float32, at a third of the cost: it rejects most pairs
   that survive the int8 bound.  Where the sum overflows nothing is known of the distance, and where
   squares underflow each may be rounded up by half of the smallest number. */
TARGET static double NAME(squared_distance_floor)(const float *a, const float *b, int64_t d)
{
    VEC_PS even = ZERO_PS, odd = ZERO_PS;
    int64_t k = 0;
    for (; k + 2 * LANES <= d; k += 2 * LANES) {
        VEC_PS first = SUB_PS(LOAD_PS(a + k), LOAD_PS(b + k));
        VEC_PS second = SUB_PS(LOAD_PS(a + k + LANES), LOAD_PS(b + k + LANES));
        even = ADD_SQUARE_PS(even, first);
        odd = ADD_SQUARE_PS(odd, second);
    }
    for (; k < d; k += LANES) {
        VEC_PS last = SUB_PS(LOAD_FIRST_PS(a + k, d - k), LOAD_FIRST_PS(b + k, d - k));
        even = ADD_SQUARE_PS(even, last);
    }
    double sum = REDUCE_SUM_PS(even, odd);
    return sum <= FLT_MAX ? sum * (1 - FLOAT_ROUNDING) - (double)d * FLT_TRUE_MIN : 0;
}

/* Check the candidates of one strip that survive the bound of one query.  Its threshold rises as
   nearer ones are found, so a later candidate of the strip may no longer survive. */
TARGET static void NAME(check_survivors)(const nearest_task *t, int64_t query, int64_t first,
                                         const int32_t *sums, int32_t *threshold)
{
    const int64_t d = t->queries.d;
    const int32_t old_threshold = *threshold;
    const float *value = t->queries.values + query * d;
    double bound = query_bound(t, query);
    uint32_t survivors = NONNEGATIVE_MASK(LOAD(sums));
    survivors |= NONNEGATIVE_MASK(LOAD(sums + LANES)) << LANES;
    for (; survivors; survivors &= survivors - 1) {
        int c = __builtin_ctz(survivors);
        const float *other = t->candidate_values + (first + c) * d;
        if (sums[c] + (int64_t)old_threshold < *threshold ||
            NAME(squared_distance_floor)(value, other, d) >= bound)
            continue;
        if (update_best(t, query, first + c, NAME(squared_distance)(value, other, d))) {
            bound = query_bound(t, query);
            *threshold = query_threshold(t, query);
        }
    }
}

TARGET static void NAME(update_nearest)(const nearest_task *t, int64_t begin, int64_t end,
                                        int32_t *thresholds)
{
    const int64_t width = t->queries.width, n_queries = end - begin;
    for (int64_t i = 0; i < n_queries; i++)
        thresholds[i] = query_threshold(t, begin + i);
    for (int64_t i = n_queries; i < n_queries + TILE_QUERIES; i++)
        thresholds[i] = NEVER_CHECK;
    for (int64_t panel = 0; panel * PANEL_WIDTH < t->n_candidates; panel++)
        for (int64_t i = 0; i < n_queries; i += TILE_QUERIES) {
            const int8_t *queries = t->queries.codes + (begin + i) * width;
            for (int strip = 0; strip < PANEL_WIDTH; strip += STRIP) {
                const int64_t first = panel * PANEL_WIDTH + strip;
                const uint8_t *packed = t->panels + panel * PANEL_WIDTH * width + strip * 4;
                const int32_t *offsets = t->offsets + first;
                VEC_I32 sums[TILE_QUERIES][2];
#pragma GCC unroll 16
                for (int q = 0; q < TILE_QUERIES; q++) {
                    VEC_I32 threshold = BROADCAST(thresholds[i + q]);
                    sums[q][0] = SUB(LOAD(offsets), threshold);
                    sums[q][1] = SUB(LOAD(offsets + LANES), threshold);
                }
                for (int64_t k = 0; k < width; k += 4 * GROUPS) {
                    VEC_I32 left[GROUPS], right[GROUPS], codes[GROUPS];
                    for (int g = 0; g < GROUPS; g++) {
                        left[g] = LOAD(packed + (k + 4 * g) * PANEL_WIDTH);
                        right[g] = LOAD(packed + (k + 4 * g) * PANEL_WIDTH + 4 * LANES);
                    }
#pragma GCC unroll 16
                    for (int q = 0; q < TILE_QUERIES; q++) {
                        for (int g = 0; g < GROUPS; g++)
                            codes[g] = BROADCAST(load_4_codes(queries + q * width + k + 4 * g));
                        DOT(sums[q][0], left, codes);
                        DOT(sums[q][1], right, codes);
                    }
                }
                /* The sign bit of the AND is set only where all sums of a lane are negative. */
                VEC_I32 all = AND(sums[0][0], sums[0][1]);
#pragma GCC unroll 16
                for (int q = 1; q < TILE_QUERIES; q++)
                    all = AND(all, AND(sums[q][0], sums[q][1]));
                if (!NONNEGATIVE_MASK(all))
                    continue;
                int32_t stored[TILE_QUERIES][STRIP];
#pragma GCC unroll 16
                for (int q = 0; q < TILE_QUERIES; q++) {
                    STORE(&stored[q][0], sums[q][0]);
                    STORE(&stored[q][LANES], sums[q][1]);
                }
                for (int q = 0; q < TILE_QUERIES && i + q < n_queries; q++)
                    if (NONNEGATIVE_MASK(AND(LOAD(&stored[q][0]), LOAD(&stored[q][LANES]))))
                        NAME(check_survivors)(t, begin + i + q, first, stored[q],
                                              &thresholds[i + q]);
            }
        }
}

/* Update the min-distances of all rows of a task with one centre, which is one of them. */
TARGET static void NAME(update_candidates)(const centre_task *t, int64_t centre)
{
    const int64_t width = t->rows.width, d = t->rows.d;
    const int8_t *centre_codes = t->rows.codes + centre * width;
    const float *value = t->rows.values + centre * d;
    const VEC_I32 offset = BROADCAST(centre_offset(t, centre));
    for (int64_t panel = 0; panel * PANEL_WIDTH < t->n; panel += PANELS_AT_ONCE) {
        const uint8_t *packed = t->panels + panel * PANEL_WIDTH * width;
        enum { VECTORS = PANELS_AT_ONCE * PANEL_WIDTH / LANES };
        VEC_I32 sums[VECTORS];
        for (int group = 0; group < VECTORS; group += 8) {
#pragma GCC unroll 8
            for (int v = 0; v < 8; v++)
                sums[group + v] = offset;
            for (int64_t k = 0; k < width; k += 4 * GROUPS) {
                VEC_I32 codes[GROUPS], bytes[GROUPS];
                for (int g = 0; g < GROUPS; g++)
                    codes[g] = BROADCAST(load_4_codes(centre_codes + k + 4 * g));
#pragma GCC unroll 8
                for (int v = 0; v < 8; v++) {
                    int row = (group + v) * LANES;
                    const uint8_t *rows = packed + row / PANEL_WIDTH * PANEL_WIDTH * width;
                    rows += row % PANEL_WIDTH * 4;
                    for (int g = 0; g < GROUPS; g++)
                        bytes[g] = LOAD(rows + (k + 4 * g) * PANEL_WIDTH);
                    DOT(sums[group + v], bytes, codes);
                }
            }
        }
        for (int v = 0; v < VECTORS; v++) {
            int64_t first = panel * PANEL_WIDTH + v * LANES;
            VEC_I32 above = SUB(sums[v], LOAD(t->thresholds + first));
            uint32_t survivors = NONNEGATIVE_MASK(above);
            for (; survivors; survivors &= survivors - 1) {
                int64_t i = first + __builtin_ctz(survivors);
                if (i >= t->n)
                    break;
                double exact = NAME(squared_distance)(value, t->rows.values + i * d, d);
                if (exact < t->min_distances[i]) {
                    t->min_distances[i] = exact;
                    t->thresholds[i] = packed_threshold(t, i);
                }
            }
        }
    }
}

TARGET static void NAME(squared_distances)(const float *rows, int64_t n, int64_t d,
                                           const float *point, double *squared)
{
    for (int64_t i = 0; i < n; i++)
        squared[i] = NAME(squared_distance)(rows + i * d, point, d);
}

/* Index of the largest of one number or more, the first of equals. */
TARGET static int64_t NAME(argmax)(const double *numbers, int64_t n)
{
    double largest[8];
    for (int j = 0; j < 8; j++)
        largest[j] = -INFINITY;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            largest[j] = numbers[i + j] > largest[j] ? numbers[i + j] : largest[j];
    for (; i < n; i++)
        largest[0] = numbers[i] > largest[0] ? numbers[i] : largest[0];
    double top = largest[0];
    for (int j = 1; j < 8; j++)
        top = largest[j] > top ? largest[j] : top;
    for (i = 0; i < n - 1 && numbers[i] != top;)
        i++;
    return i;
}

static const loops NAME(loops) = {NAME(update_nearest), NAME(update_candidates),
                                  NAME(squared_distances), NAME(argmax)};

#undef TARGET
#undef NAME
#undef LANES
#undef TILE_QUERIES
#undef VEC_I32
#undef LOAD
#undef STORE
#undef BROADCAST
#undef SUB
#undef AND
#undef DOT
#undef GROUPS
#undef NONNEGATIVE_MASK
#undef VEC_PS
#undef ZERO_PS
#undef LOAD_PS
#undef LOAD_FIRST_PS
#undef SUB_PS
#undef ADD_SQUARE_PS
#undef REDUCE_SUM_PS
#undef STRIP
#undef LEVEL
