/* The loops of the screen for one instruction set; kernel.c includes this once for each.

   VECTOR holds LANES whole numbers.  ROWS rows meet two vectors of columns at a time: as many sums
   as the registers hold.  Every sum starts at what is missing to the threshold, so that a pair
   passes where its sum is not negative, and one test tells of all of them. */

#define JOINED_(a, b) a##b
#define JOINED(a, b) JOINED_(a, b)
#define NAME(name) JOINED(name, SUFFIX)
#define COLUMNS (2 * LANES)

TARGET static double NAME(squared)(const float *one, const float *other, int64_t d)
{
    double parts[16] = {0};
    int64_t k = 0;
    for (; k + 16 <= d; k += 16)
        for (int j = 0; j < 16; j++) {
            double difference = (double)one[k + j] - (double)other[k + j];
            parts[j] += difference * difference;
        }
    for (int j = 0; k + j < d; j++) {
        double difference = (double)one[k + j] - (double)other[k + j];
        parts[j] += difference * difference;
    }
    for (int half = 8; half; half /= 2)
        for (int j = 0; j < half; j++)
            parts[j] += parts[j + half];
    return parts[0];
}

/* The same in float32, and sure to be no larger than it: most pairs need not be looked at longer. */
TARGET static double NAME(at_least)(const float *one, const float *other, int64_t d)
{
    REALS even = NO_REALS, odd = NO_REALS;
    int64_t k = 0;
    for (; k + 2 * LANES <= d; k += 2 * LANES) {
        REALS first = LESS(REALS_AT(one + k), REALS_AT(other + k));
        REALS second = LESS(REALS_AT(one + k + LANES), REALS_AT(other + k + LANES));
        even = SQUARE_ADDED(even, first);
        odd = SQUARE_ADDED(odd, second);
    }
    for (; k < d; k += LANES) {
        REALS last = LESS(SOME_REALS_AT(one + k, d - k), SOME_REALS_AT(other + k, d - k));
        even = SQUARE_ADDED(even, last);
    }
    return SUM_OF(even, odd) * (1 - FLOAT_ROUNDING);
}

/* Look at the columns of one row that passed. */
TARGET static void NAME(look)(const search *s, int64_t row, int64_t column, const int32_t *sums,
                              int32_t *threshold)
{
    const int32_t old = *threshold;
    const float *value = s->rows.values + row * s->rows.d;
    double bound = row_bound(s, row);
    uint32_t passed = PASSED(LOAD(sums)) | PASSED(LOAD(sums + LANES)) << LANES;
    for (; passed; passed &= passed - 1) {
        int c = __builtin_ctz(passed);
        const float *other = s->column_values + (column + c) * s->rows.d;
        if (sums[c] + (int64_t)old < *threshold || NAME(at_least)(value, other, s->rows.d) >= bound)
            continue;
        if (note(s, row, column + c, NAME(squared)(value, other, s->rows.d))) {
            bound = row_bound(s, row);
            *threshold = row_threshold(s, row);
        }
    }
}

TARGET static void NAME(nearest)(const search *s, int64_t begin, int64_t end, int32_t *thresholds)
{
    const int64_t width = s->rows.width, count = end - begin;
    for (int64_t i = 0; i < count; i++)
        thresholds[i] = row_threshold(s, begin + i);
    for (int64_t i = count; i < count + ROWS; i++)
        thresholds[i] = NEVER;
    for (int64_t panel = 0; panel * PANEL < s->n_columns; panel++)
        for (int64_t i = 0; i < count; i += ROWS) {
            const int8_t *rows = s->rows.codes + (begin + i) * width;
            for (int strip = 0; strip < PANEL; strip += COLUMNS) {
                const uint8_t *columns = s->panels + panel * PANEL * width + strip * 4;
                const int32_t *offsets = s->offsets + panel * PANEL + strip;
                VECTOR sums[ROWS][2];
#pragma GCC unroll 16
                for (int r = 0; r < ROWS; r++) {
                    VECTOR threshold = SPREAD(thresholds[i + r]);
                    sums[r][0] = MINUS(LOAD(offsets), threshold);
                    sums[r][1] = MINUS(LOAD(offsets + LANES), threshold);
                }
                for (int64_t k = 0; k < width; k += 4) {
                    VECTOR left = LOAD(columns + k * PANEL);
                    VECTOR right = LOAD(columns + k * PANEL + 4 * LANES);
#pragma GCC unroll 16
                    for (int r = 0; r < ROWS; r++) {
                        VECTOR four = SPREAD(four_codes(rows + r * width + k));
                        DOT(sums[r][0], left, four);
                        DOT(sums[r][1], right, four);
                    }
                }
                VECTOR together = BOTH(sums[0][0], sums[0][1]);
#pragma GCC unroll 16
                for (int r = 1; r < ROWS; r++)
                    together = BOTH(together, BOTH(sums[r][0], sums[r][1]));
                if (!PASSED(together))
                    continue;
                int32_t kept[ROWS][COLUMNS];
#pragma GCC unroll 16
                for (int r = 0; r < ROWS; r++) {
                    STORE(&kept[r][0], sums[r][0]);
                    STORE(&kept[r][LANES], sums[r][1]);
                }
                for (int r = 0; r < ROWS && i + r < count; r++)
                    if (PASSED(BOTH(LOAD(&kept[r][0]), LOAD(&kept[r][LANES]))))
                        NAME(look)(s, begin + i + r, panel * PANEL + strip, kept[r],
                                   &thresholds[i + r]);
            }
        }
}

/* Lower the gaps of all candidates to a pick, which is one of them. */
TARGET static void NAME(lower)(const block *b, int64_t pick)
{
    const int64_t width = b->rows.width;
    const int8_t *row = b->rows.codes + pick * width;
    const float *value = b->rows.values + pick * b->rows.d;
    const VECTOR start = SPREAD(pick_offset(b, pick));
    for (int64_t panel = 0; panel * PANEL < b->count; panel += SIDE_BY_SIDE) {
        const uint8_t *columns = b->panels + panel * PANEL * width;
        enum { VECTORS = SIDE_BY_SIDE * PANEL / LANES };
        VECTOR sums[VECTORS];
        for (int group = 0; group < VECTORS; group += 8) {
#pragma GCC unroll 8
            for (int v = 0; v < 8; v++)
                sums[group + v] = start;
            for (int64_t k = 0; k < width; k += 4) {
                VECTOR four = SPREAD(four_codes(row + k));
#pragma GCC unroll 8
                for (int v = 0; v < 8; v++) {
                    int place = (group + v) * LANES;
                    const uint8_t *codes = columns + place / PANEL * PANEL * width;
                    VECTOR bytes = LOAD(codes + k * PANEL + place % PANEL * 4);
                    DOT(sums[group + v], bytes, four);
                }
            }
        }
        for (int v = 0; v < VECTORS; v++) {
            int64_t first = panel * PANEL + v * LANES;
            VECTOR above = MINUS(sums[v], LOAD(b->thresholds + first));
            for (uint32_t passed = PASSED(above); passed; passed &= passed - 1) {
                int64_t i = first + __builtin_ctz(passed);
                if (i >= b->count)
                    break;
                double exact = NAME(squared)(value, b->rows.values + i * b->rows.d, b->rows.d);
                if (exact < b->gaps[i]) {
                    b->gaps[i] = exact;
                    b->thresholds[i] = candidate_threshold(b, i);
                }
            }
        }
    }
}

TARGET static void NAME(distances)(const float *rows, int64_t n, int64_t d, const float *point,
                                   double *squared)
{
    for (int64_t i = 0; i < n; i++)
        squared[i] = NAME(squared)(rows + i * d, point, d);
}

TARGET static int64_t NAME(largest)(const double *numbers, int64_t n)
{
    double most[8];
    for (int j = 0; j < 8; j++)
        most[j] = -INFINITY;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            most[j] = numbers[i + j] > most[j] ? numbers[i + j] : most[j];
    for (; i < n; i++)
        most[0] = numbers[i] > most[0] ? numbers[i] : most[0];
    double top = most[0];
    for (int j = 1; j < 8; j++)
        top = most[j] > top ? most[j] : top;
    for (i = 0; numbers[i] != top;)
        i++;
    return i;
}

#undef COLUMNS
#undef NAME
#undef JOINED
#undef JOINED_
